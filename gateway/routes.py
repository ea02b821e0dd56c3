"""The one table of what is shown to whom. What stands in no row is reached by nobody; the two edges have no operation in common.

Scopes are those the service itself asks for, so each is checked twice; a test compares. What the public edge shows customers and the
operator's systems, the internal edge shows staff under `/staff`.
"""

from gateway.table import WRITES, Row

CUSTOMER = frozenset({"customer"})
STAFF = frozenset({"staff"})
MACHINE = frozenset({"client"})

# service → its package, for generating the documents; the processes' catalogue lists the same.
SERVICES = {
    "identity": "services.identity",
    "registry": "services.registry",
    "consent": "services.consent",
    "rights": "services.requests.rights",
    "disclosure": "services.requests.disclosure",
    "anonymizer": "services.anonymizer",
    "webhooks": "services.webhooks",
}
# Whose ledgers anybody may check from outside. Disclosure's is not among them: the time of its entries is the time of orders.
LEDGERS_IN_PUBLIC = ("identity", "registry", "consent", "rights", "anonymizer", "webhooks")


def _row(edge: str, operation: str, service: str, scopes: str = "", **more: object) -> Row:
    """`operation` is "GET /path". A write needs an Idempotency-Key unless it says `key=False`."""
    method, path = operation.split(" ")
    usual = {"key": method in WRITES, "rate": "write" if method in WRITES else "read"}
    return Row(edge, method, path, service, frozenset(scopes.split()), **(usual | more))


def public(operation: str, service: str, scopes: str = "", **more: object) -> Row:
    return _row("public", operation, service, scopes, **more)


def internal(operation: str, service: str, scopes: str = "", **more: object) -> Row:
    return _row("internal", operation, service, scopes, **more)


def staff(operation: str, service: str, scopes: str = "", **more: object) -> Row:
    """An operation that the public edge has too, for staff under /staff."""
    method, path = operation.split(" ")
    return internal(f"{method} /staff{path}", service, scopes, inner=path, kinds=STAFF, **more)


def _ledger(edge: str, service: str, prefix: str = "", **who: object) -> tuple[Row, ...]:
    proofs = ("checkpoint", "entries", "inclusion/{event_id}", "consistency")
    return tuple(
        _row(edge, f"GET {prefix}/ledger/{service}/{proof}", service, "ledger.read", inner=f"/ledger/{proof}", **who)
        for proof in proofs
    ) + (_row(edge, f"GET {prefix}/keys/{service}", service, inner="/keys", rate="page"),)


PUBLIC = (
    # Logging in is the issuer's own business: it takes no token, it gives them.
    public("GET /.well-known/openid-configuration", "identity", rate="page"),
    public("GET /.well-known/oauth-authorization-server", "identity", rate="page"),
    public("GET /jwks", "identity", rate="page"),
    public("GET /authorize", "identity", rate="page"),
    public("POST /login", "identity", rate="login", key=False),
    public("POST /login/eid", "identity", rate="login", key=False),
    public("GET /login/eid/callback", "identity", rate="page"),
    public("POST /logout", "identity", rate="login", key=False),
    public("POST /token", "identity", rate="page", key=False),
    # Consent.
    public("GET /v1/notices", "consent", "consent.read"),
    public("GET /v1/notices/{notice}/versions/{version}", "consent", "consent.read"),
    public("POST /v1/notices", "consent", "notice.publish", kinds=MACHINE),
    public("GET /v1/consents", "consent", "consent.read"),
    public("POST /v1/consents", "consent", "consent.write"),
    public("POST /v1/withdrawals", "consent", "consent.write"),
    public("POST /v1/refusals", "consent", "consent.write"),
    public("POST /v1/asks", "consent", "consent.write", kinds=MACHINE),
    public("POST /v1/signals", "consent", "consent.write", kinds=CUSTOMER),
    public("GET /v1/consequences/{purpose}", "consent", "consent.read"),
    public("GET /v1/receipts/{record}", "consent", "consent.read"),
    public("GET /v1/standing/{principal}", "consent", "consent.read"),
    public("PUT /v1/standing/{principal}/objections/{purpose}", "consent", "consent.write"),
    public("PUT /v1/standing/{principal}/restriction", "consent", "consent.write"),
    public("PUT /v1/duties/{purpose}", "consent", "notice.publish", kinds=MACHINE),
    public("POST /v1/calls", "consent", "call.write", kinds=MACHINE, rate="decision"),
    public("GET /v1/calls/{call}", "consent", "call.write", kinds=MACHINE),
    public("POST /v1/calls/{call}/indications", "consent", "call.write", kinds=MACHINE, rate="decision"),
    public("POST /v1/calls/{call}/end", "consent", "call.write", kinds=MACHINE, rate="decision"),
    public("POST /v1/replays", "consent", "decision.ask", kinds=MACHINE, key=False),
    public("POST /v1/imports", "consent", "notice.publish", kinds=MACHINE),
    public("GET /v1/imports/{name}", "consent", "notice.publish", kinds=MACHINE),
    public("PUT /v1/imports/{name}/chunks/{number}", "consent", "notice.publish", kinds=MACHINE, rate="decision"),
    public("POST /v1/imports/{name}/end", "consent", "notice.publish", kinds=MACHINE),
    public("GET /v1/imports/{name}/refused", "consent", "notice.publish", kinds=MACHINE, rate="bulk"),
    public("POST /consent-info/v0.2/retrieve", "consent", "consent-info:retrieve", rate="decision", key=False),
    # The page behind a captureUrl: people have no token there, and log in on the way.
    public("GET /v1/captures/return", "consent", rate="page"),
    public("GET /v1/captures/{capture}", "consent", rate="made"),
    public("POST /v1/captures/{capture}/answer", "consent", rate="login", key=False),
    public("GET /v1/snapshot", "consent", "snapshot.read", kinds=MACHINE, rate="bulk"),
    public("GET /v1/changes", "consent", "snapshot.read", kinds=MACHINE),
    public("GET /.well-known/authzen-configuration", "consent", rate="page"),
    public("POST /access/v1/evaluation", "consent", "decision.ask", kinds=MACHINE, rate="decision", key=False),
    public("POST /access/v1/evaluations", "consent", "decision.ask", kinds=MACHINE, rate="decision", key=False),
    # A person's requests.
    public("POST /v1/requests", "rights", "rights.request"),
    public("GET /v1/requests", "rights", "rights.request"),
    public("GET /v1/requests/{request_id}", "rights", "rights.request"),
    public("GET /v1/passphrase", "rights", "rights.request"),
    public("POST /v1/requests/{request_id}/passphrase", "rights", "rights.request", kinds=CUSTOMER),
    public("POST /v1/requests/{request_id}/key", "rights", "rights.request", kinds=CUSTOMER),
    public("POST /v1/requests/{request_id}/paper", "rights", "rights.request", kinds=CUSTOMER),
    public("POST /v1/requests/{request_id}/code", "rights", "rights.request"),
    public("POST /v1/requests/{request_id}/code/check", "rights", "rights.request"),
    public("POST /v1/requests/{request_id}/replies", "rights", "rights.request"),
    public("GET /v1/requests/{request_id}/letters", "rights", "rights.request"),
    public("POST /v1/requests/{request_id}/evidence", "rights", "rights.request"),
    public("GET /v1/requests/{request_id}/preview", "rights", "rights.request"),
    public("POST /v1/requests/{request_id}/confirm", "rights", "rights.request"),
    public("POST /v1/requests/{request_id}/withdraw", "rights", "rights.request"),
    public("GET /v1/requests/{request_id}/answer", "rights", "rights.request"),
    public("GET /v1/requests/{request_id}/answer/page", "rights", "rights.request"),
    public("GET /v1/requests/{request_id}/certificate", "rights", "rights.request"),
    public("GET /v1/requests/{request_id}/package", "rights", "rights.request", rate="bulk", kinds=CUSTOMER),
    public("GET /v1/operators", "rights", "rights.request"),
    public("POST /v1/receptions", "rights", "rights.request", kinds=CUSTOMER),
    public("GET /v1/receptions/{reception}", "rights", "rights.request", kinds=CUSTOMER),
    public("GET /v1/receptions/{reception}/content", "rights", "rights.request", rate="bulk", kinds=CUSTOMER),
    # Another operator that brings what a person asked it to: known by its signature on each statement, not by a token of ours.
    public("GET /v1/portability", "rights", rate="page"),
    public("PUT /v1/receptions/{reception}/parts/{part}", "rights", rate="page", key=False),
    public("POST /v1/receptions/{reception}/end", "rights", rate="login", key=False),
    public("POST /v1/tickets", "rights", "ticket.post", kinds=MACHINE),
    public("POST /v1/zendesk/tickets", "rights", "ticket.post", kinds=MACHINE),
    # What the operator says of itself.
    public("GET /privacy", "registry", rate="made"),
    public("GET /privacy/history", "registry", rate="made"),
    public("GET /v1/pack/subprocessors", "registry", "pack.read", kinds=CUSTOMER),
    public("GET /v1/ropa", "registry", "registry.read"),
    public("GET /v1/subprocessors", "registry", "registry.read"),
    public("GET /v1/transfers", "registry", "registry.read"),
    public("GET /v1/completeness", "registry", "registry.read"),
    public("GET /v1/diff", "registry", "registry.read"),
    public("GET /v1/subprocessor-changes", "registry", "registry.read"),
    public("GET /v1/subprocessor-changes/{change}", "registry", "registry.read"),
    public("GET /v1/feed.atom", "registry", "registry.read"),
    public("GET /v1/policy/current", "registry", "policy.read"),
    public("GET /v1/policy/versions", "registry", "policy.read"),
    public("GET /v1/exports", "registry", "registry.export", rate="bulk"),
    # Who wants to be told.
    public("POST /v1/endpoints", "webhooks", "webhooks.manage", kinds=MACHINE),
    public("GET /v1/endpoints", "webhooks", "webhooks.manage", kinds=MACHINE),
    public("GET /v1/endpoints/{endpoint}/secrets", "webhooks", "webhooks.manage", kinds=MACHINE),
    public("POST /v1/endpoints/{endpoint}/rotation", "webhooks", "webhooks.manage", kinds=MACHINE),
    public("POST /v1/endpoints/{endpoint}/disable", "webhooks", "webhooks.manage", kinds=MACHINE),
    public("GET /v1/deliveries", "webhooks", "webhooks.manage", kinds=MACHINE),
    public("POST /v1/deliveries/{delivery}/replay", "webhooks", "webhooks.manage", kinds=MACHINE),
    *(row for service in LEDGERS_IN_PUBLIC for row in _ledger("public", service)),
)

INTERNAL = (
    # An empty installation is filled through here.
    internal("POST /v1/accounts", "identity", "accounts.write", kinds=MACHINE),
    internal("POST /v1/accounts/{account}/eid", "identity", "accounts.write", kinds=MACHINE),
    internal("POST /v1/principals", "anonymizer", "data.resolve", kinds=MACHINE),
    # Orders from authorities: their own clients, and staff in four duties.
    internal("POST /v1/authorities", "disclosure", "order.intake", kinds=STAFF),
    internal("GET /v1/authorities", "disclosure", "order.read", kinds=STAFF),
    internal("POST /v1/authorities/{authority}/confirmation", "disclosure", "order.approve", kinds=STAFF),
    internal("POST /v1/orders", "disclosure", "order.submit order.intake"),
    internal("GET /v1/orders", "disclosure", "order.read"),
    internal("GET /v1/orders/{order}", "disclosure", "order.read"),
    internal("PUT /v1/orders/{order}", "disclosure", "order.submit order.intake"),
    internal("POST /v1/orders/{order}/reviews", "disclosure", "order.approve", kinds=STAFF),
    internal("POST /v1/orders/{order}/cancellation", "disclosure", "order.submit order.intake"),
    internal("POST /v1/orders/{order}/collection", "disclosure", "order.collect", kinds=STAFF),
    internal("GET /v1/orders/{order}/packages", "disclosure", "order.read"),
    internal("GET /v1/transparency/{year}", "disclosure", "order.read", kinds=STAFF),
    internal("GET /v1/packages/{package}", "disclosure", "order.read"),
    internal("POST /v1/packages/{package}/release", "disclosure", "order.release", kinds=STAFF),
    internal("GET /v1/packages/{package}/content", "disclosure", "order.read", kinds=MACHINE, rate="bulk"),
    internal("POST /v1/packages/{package}/acknowledgement", "disclosure", "order.submit", kinds=MACHINE),
    # The helpdesk's and privacy officers' side of requests and consents.
    staff("POST /v1/requests", "rights", "rights.handle"),
    staff("GET /v1/passphrase", "rights", "rights.handle"),
    staff("GET /v1/requests", "rights", "rights.handle"),
    staff("GET /v1/requests/{request_id}", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/identity", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/code", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/code/check", "rights", "rights.handle"),
    staff("POST /v1/mandates", "rights", "rights.handle"),
    staff("GET /v1/mandates", "rights", "rights.handle"),
    staff("GET /v1/mandates/waiting", "rights", "rights.handle"),
    staff("POST /v1/mandates/{mandate_id}/confirmation", "rights", "rights.handle"),
    staff("POST /v1/mandates/{mandate_id}/revocation", "rights", "rights.handle"),
    staff("PUT /v1/people/{principal}/protection", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/questions", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/replies", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/extension", "rights", "rights.handle"),
    staff("GET /v1/requests/{request_id}/letters", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/evidence", "rights", "rights.handle"),
    staff("GET /v1/requests/{request_id}/evidence", "rights", "rights.handle"),
    staff("GET /v1/requests/{request_id}/evidence/{file}", "rights", "rights.handle"),
    staff("GET /v1/requests/{request_id}/preview", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/confirm", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/withdraw", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/refusal", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/fee", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/payment", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/paper", "rights", "rights.handle"),
    staff("GET /v1/requests/{request_id}/print", "rights", "rights.handle", rate="bulk"),
    staff("POST /v1/requests/{request_id}/posting", "rights", "rights.handle"),
    staff("POST /v1/requests/{request_id}/letters/{letter}/posting", "rights", "rights.handle"),
    staff("GET /v1/operators", "rights", "rights.handle"),
    staff("PUT /v1/operators/{operator}", "rights", "rights.handle"),
    staff("GET /v1/receptions/{reception}", "rights", "rights.handle"),
    staff("GET /v1/receptions/{reception}/content", "rights", "rights.handle", rate="bulk"),
    staff("GET /v1/tasks", "rights", "rights.handle"),
    staff("GET /v1/worklist", "rights", "rights.handle"),
    staff("GET /v1/reports/{month}", "rights", "rights.handle"),
    staff("POST /v1/tasks/{task_id}/proposal", "rights", "rights.handle"),
    staff("POST /v1/tasks/{task_id}/review", "rights", "rights.handle"),
    staff("PUT /v1/controller", "rights", "rights.handle"),
    staff("GET /v1/controller", "rights", "rights.handle"),
    staff("GET /v1/requests/{request_id}/answer", "rights", "rights.handle"),
    staff("GET /v1/requests/{request_id}/answer/page", "rights", "rights.handle"),
    staff("GET /v1/requests/{request_id}/certificate", "rights", "rights.handle"),
    staff("GET /v1/notices", "consent", "consent.read"),
    staff("POST /v1/notices", "consent", "notice.publish"),
    staff("PUT /v1/duties/{purpose}", "consent", "notice.publish"),
    staff("GET /v1/consents", "consent", "consent.read"),
    staff("POST /v1/consents", "consent", "consent.write"),
    staff("POST /v1/withdrawals", "consent", "consent.write"),
    staff("PUT /v1/callbacks/{client}", "consent", "notice.publish"),
    staff("POST /v1/refusals", "consent", "consent.write"),
    staff("POST /v1/asks", "consent", "consent.write"),
    staff("POST /v1/invalidations", "consent", "notice.publish"),
    staff("PUT /v1/guardians/{principal}", "consent", "consent.write"),
    staff("POST /v1/guardians/{principal}/end", "consent", "consent.write"),
    staff("GET /v1/consequences/{purpose}", "consent", "consent.read"),
    staff("GET /v1/standing/{principal}", "consent", "consent.read"),
    # The registry for those who keep it.
    staff("GET /v1/ropa", "registry", "registry.read"),
    staff("GET /v1/subprocessors", "registry", "registry.read"),
    staff("GET /v1/transfers", "registry", "registry.read"),
    staff("GET /v1/completeness", "registry", "registry.read"),
    staff("GET /v1/diff", "registry", "registry.read"),
    staff("GET /v1/subprocessor-changes", "registry", "registry.read registry.write pack.manage"),
    internal("POST /v1/subprocessor-changes", "registry", "registry.write", kinds=STAFF),
    staff("GET /v1/subprocessor-changes/{change}", "registry", "registry.read registry.write pack.manage"),
    internal("POST /v1/subprocessor-changes/{change}/notice", "registry", "registry.write", kinds=STAFF),
    internal("POST /v1/subprocessor-changes/{change}/objections", "registry", "pack.manage", kinds=STAFF),
    internal("POST /v1/objections/{customer}/{objection}/resolution", "registry", "registry.write", kinds=STAFF),
    internal("POST /v1/activities", "registry", "registry.write", kinds=STAFF),
    internal("POST /v1/contracts", "registry", "registry.write", kinds=STAFF),
    internal("POST /v1/transfers", "registry", "registry.write", kinds=STAFF),
    internal("PUT /v1/transparency-reports/{year}", "registry", "registry.write", kinds=STAFF),
    staff("GET /v1/policy/current", "registry", "policy.read"),
    staff("GET /v1/policy/versions", "registry", "policy.read"),
    staff("GET /v1/exports", "registry", "registry.export", rate="bulk"),
    # Work by hand: what waits in mailboxes and archives, and what was done there.
    internal("GET /v1/steps/waiting", "anonymizer", "data.attest", kinds=STAFF),
    internal("POST /v1/steps/{step}/attestation", "anonymizer", "data.attest", kinds=STAFF),
    # The book's life: proposed by one, approved by another.
    internal("POST /v1/policy/proposals", "registry", "policy.propose", kinds=STAFF),
    internal("GET /v1/policy/proposals", "registry", "policy.read", kinds=STAFF),
    internal("GET /v1/policy/proposals/{proposal}", "registry", "policy.read", kinds=STAFF),
    internal(
        "POST /v1/policy/proposals/{proposal}/simulation", "registry", "policy.propose policy.approve", kinds=STAFF
    ),
    internal("POST /v1/policy/proposals/{proposal}/approval", "registry", "policy.approve", kinds=STAFF),
    internal(
        "POST /v1/policy/proposals/{proposal}/rejection", "registry", "policy.propose policy.approve", kinds=STAFF
    ),
    # Who may do what: the access register.
    internal("POST /v1/access/founding", "registry", "access.found", kinds=MACHINE),
    internal("POST /v1/access/grants", "registry", "access.request", kinds=STAFF),
    internal("GET /v1/access/grants", "registry", "access.read", kinds=STAFF),
    internal("GET /v1/access/grants/{grant}", "registry", "access.read", kinds=STAFF),
    internal("POST /v1/access/grants/{grant}/decision", "registry", "access.decide", kinds=STAFF),
    internal("POST /v1/access/grants/{grant}/end", "registry", "access.decide", kinds=STAFF),
    internal("POST /v1/access/departures", "registry", "access.decide", kinds=STAFF),
    internal("POST /v1/access/clearances", "registry", "access.decide", kinds=STAFF),
    internal("GET /v1/access/clearances", "registry", "access.read", kinds=STAFF),
    internal("POST /v1/access/clearances/{clearance}/end", "registry", "access.decide", kinds=STAFF),
    internal("GET /v1/access/reviews", "registry", "access.read", kinds=STAFF),
    internal("GET /v1/access/reviews/{review}", "registry", "access.read", kinds=STAFF),
    internal("POST /v1/access/reviews", "registry", "access.decide", kinds=STAFF),
    internal("POST /v1/access/reviews/{review}/decisions", "registry", "access.decide", kinds=STAFF),
    internal("GET /v1/findings", "registry", "registry.read", kinds=STAFF),
    internal("PUT /v1/findings/{kind}/{about}", "registry", "policy.propose policy.approve", kinds=STAFF),
    # A customer organisation's own pack, Art. 28, by its privacy contact; and what operations hand over when it ends.
    internal("GET /v1/pack", "registry", "pack.manage", kinds=STAFF, rate="bulk"),
    staff("GET /v1/pack/subprocessors", "registry", "pack.manage"),
    internal("GET /v1/pack/breaches", "registry", "pack.manage", kinds=STAFF),
    internal("GET /v1/pack/periods", "registry", "pack.manage", kinds=STAFF),
    internal("POST /v1/pack/periods/preview", "registry", "pack.manage", kinds=STAFF),
    internal("PUT /v1/pack/periods", "registry", "pack.manage", kinds=STAFF),
    internal("GET /v1/pack/ending", "registry", "pack.manage", kinds=STAFF),
    internal("POST /v1/pack/ending", "registry", "pack.manage", kinds=STAFF),
    internal("GET /v1/pack/return", "registry", "pack.manage", kinds=STAFF),
    internal("GET /v1/pack/return/{store}", "registry", "pack.manage", kinds=STAFF, rate="bulk"),
    internal("POST /v1/pack/return/receipt", "registry", "pack.manage", kinds=STAFF),
    internal("POST /v1/pack/endings/{tenant}/handover", "registry", "pack.return", kinds=STAFF),
    # Breaches, and assessments of what processing does to people.
    internal("POST /v1/breaches", "registry", "breach.write", kinds=STAFF),
    internal("GET /v1/breaches", "registry", "breach.read", kinds=STAFF),
    internal("GET /v1/breaches/{breach}", "registry", "breach.read", kinds=STAFF),
    internal("POST /v1/breaches/{breach}/statements", "registry", "breach.write", kinds=STAFF),
    internal("POST /v1/breaches/{breach}/notices", "registry", "breach.write", kinds=STAFF),
    internal("POST /v1/breaches/{breach}/letters", "registry", "breach.write", kinds=STAFF),
    internal("GET /v1/breaches/{breach}/letters", "registry", "breach.read", kinds=STAFF),
    internal("POST /v1/breaches/{breach}/closing", "registry", "breach.write", kinds=STAFF),
    internal("GET /v1/breaches/{breach}/forms/{clock}", "registry", "breach.read", kinds=STAFF),
    internal("PUT /v1/assessments/{reference}", "registry", "assessment.write", kinds=STAFF),
    internal("GET /v1/assessments", "registry", "assessment.read", kinds=STAFF),
    internal("GET /v1/assessments/{reference}", "registry", "assessment.read", kinds=STAFF),
    # Retention over whole stores.
    internal("GET /v1/stores", "anonymizer", "data.read", kinds=STAFF),
    internal("GET /v1/drift", "anonymizer", "data.read", kinds=STAFF),
    internal("POST /v1/simulations", "anonymizer", "data.sweep", kinds=STAFF),
    internal("POST /v1/simulations/picture", "anonymizer", "data.sweep", kinds=STAFF),
    internal("POST /v1/sweeps", "anonymizer", "data.sweep", kinds=STAFF),
    internal("GET /v1/sweeps/{sweep}", "anonymizer", "data.sweep", kinds=STAFF),
    internal("GET /v1/sweep-schedules", "anonymizer", "data.sweep", kinds=STAFF),
    internal("PUT /v1/sweep-schedules", "anonymizer", "data.sweep", kinds=STAFF),
    internal("GET /v1/backups", "anonymizer", "data.read data.sweep", kinds=STAFF),
    # Webhooks, for who is on call.
    staff("GET /v1/endpoints", "webhooks", "webhooks.manage"),
    staff("POST /v1/endpoints/{endpoint}/disable", "webhooks", "webhooks.manage"),
    staff("GET /v1/deliveries", "webhooks", "webhooks.manage"),
    staff("POST /v1/deliveries/{delivery}/replay", "webhooks", "webhooks.manage"),
    # Development only: this edge answers it itself.
    internal("PUT /v1/clock", "internal", "clock.set", roles=frozenset({"operations"}), key=False),
    # Whoever answers people's requests or runs the house may check every ledger but this one: it says when orders came.
    *_ledger("internal", "disclosure", roles=frozenset({"auditor"})),
    *(row for service in LEDGERS_IN_PUBLIC for row in _ledger("internal", service, prefix="/staff")),
)

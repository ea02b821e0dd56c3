"""Every operation of both edges, as somebody who may not: no token, a bent one, one for somewhere else, one of a lesser role."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
import yaml
from joserfc.jwk import ECKey

from chassis.auth import Caller
from chassis.errors import PROBLEM_JSON, Forbidden
from gateway.routes import INTERNAL, PUBLIC, SERVICES
from gateway.table import Row
from ops.home import ROOT
from services.consent.contract import CONSENT_INFO
from tests.attacks.mint import Mint, operation

GUARDED = [row for row in (*PUBLIC, *INTERNAL) if not row.public]
TABLE = yaml.safe_load((ROOT / "services" / "identity" / "clients.yaml").read_text())
# What each sort of caller holds at most at each edge, as identity's table gives it.
HOLDERS = [
    *(("staff", "staff", role, {"internal": set(scopes)}) for role, scopes in TABLE["roles"].items()),
    *(
        (
            "customer" if client["proof"] == "none" else "client",
            id,
            None,
            {e: set(s) for e, s in client["audiences"].items()},
        )
        for id, client in TABLE["clients"].items()
        if id != "staff" and client["audiences"].keys() & {"public", "internal"}
    ),
]

every_guarded = pytest.mark.parametrize("row", GUARDED, ids=operation)
# A token is looked at before anybody looks what it is for: one row of each service's, at each edge, is tried with whatever may be wrong
# with one, and every row with none and with one thing that is, each in its turn.
OF_EACH_SERVICE = list({(row.edge, row.service): row for row in GUARDED}.values())
NOBODY = str(UUID(int=7))  # who is refused before the access register is asked about her
# How a refusal is said: (status, code, media type).
UNAUTHENTICATED = (401, "request.unauthenticated", PROBLEM_JSON)
FORBIDDEN = (403, "request.forbidden", PROBLEM_JSON)
AS_CAMARA_SAYS = {
    UNAUTHENTICATED: (401, "UNAUTHENTICATED", "application/json"),
    FORBIDDEN: (403, "PERMISSION_DENIED", "application/json"),
}


def is_refused(answer: httpx2.Response, row: Row, refusal: tuple[int, str, str]) -> bool:
    if row.path == CONSENT_INFO:
        refusal = AS_CAMARA_SAYS[refusal]
    return (answer.status_code, answer.json()["code"], answer.headers["content-type"]) == refusal


@every_guarded
def test_without_a_token_in_order_nobody_is_let_in(mint: Mint, row: Row):
    bent = out_of_order(mint, row)
    in_turn = list(bent)[GUARDED.index(row) % len(bent)]
    for what in bent if row in OF_EACH_SERVICE else (in_turn, "no token"):
        answer = mint.try_row(row, bent[what]())
        assert is_refused(answer, row, UNAUTHENTICATED), (what, answer.text)
        assert answer.headers["www-authenticate"] == "Bearer"


@every_guarded
def test_whoever_holds_all_other_scopes_is_refused(mint: Mint, row: Row):
    others = set(TABLE["audiences"][row.edge]) - row.scopes
    answer = mint.try_row(row, mint.rightful(row, scope=" ".join(sorted(others)), sub=NOBODY))
    assert is_refused(answer, row, FORBIDDEN), answer.text


@every_guarded
def test_whoever_the_row_is_not_for_is_refused_although_they_hold_its_scopes(mint: Mint, row: Row):
    bent: list[dict[str, Any]] = [{"kind": kind} for kind in {"customer", "staff", "client"} - row.kinds]
    bent += [{"roles": []}] if row.roles else []
    for said in bent:
        answer = mint.try_row(row, mint.rightful(row, sub=NOBODY, **said))
        assert is_refused(answer, row, FORBIDDEN), (said, answer.text)


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: holder[2] or holder[1])
def test_every_role_and_client_without_the_scope_is_refused(mint: Mint, holder: tuple[str, str, str | None, dict]):
    """The row itself says so of every one; over the wire some are asked, since whoever holds all other scopes was refused at each."""
    kind, client, role, scopes = holder
    roles, denied = [role] if role else [], []
    for row in GUARDED:
        held = scopes.get(row.edge, set())
        if not (held & row.scopes and kind in row.kinds):
            with pytest.raises(Forbidden):
                row.admit(Caller(client, client, NOBODY, kind, None, frozenset(held), frozenset(roles), None, 0))
            denied.append(row)
    tokens = {
        edge: mint.token(edge, scopes.get(edge, set()), kind=kind, client_id=client, roles=roles, sub=NOBODY)
        for edge in mint.edges
    }
    for row in denied[HOLDERS.index(holder) :: len(HOLDERS)]:
        answer = mint.try_row(row, tokens[row.edge])
        assert is_refused(answer, row, FORBIDDEN), (operation(row), answer.text)


@pytest.mark.parametrize("row", [row for row in GUARDED if row.key], ids=operation)
def test_a_write_without_an_idempotency_key_is_refused(mint: Mint, row: Row):
    answer = mint.http.request(
        row.method,
        mint.edges[row.edge] + row.path.replace("{", "").replace("}", ""),
        headers={"authorization": f"Bearer {mint.rightful(row)}"},
        json={},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "request.key_missing")


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "identity"])
def test_a_service_lets_in_only_its_listed_clients_with_tokens_for_itself(mint: Mint, service: str):
    """Whoever gets past the edges and speaks to a service directly."""
    url = mint.service(service) + "/events"
    scopes = {"events.read"}
    public = "internal" if service == "disclosure" else "public"
    refused = {
        "no token": (None, 401),
        "a token for an edge": (mint.token(public, scopes), 401),
        "a token for another service": (mint.token("consent" if service != "consent" else "rights", scopes), 401),
        "an unlisted client": (mint.token(service, scopes), 403),
        "an unlisted client behind the edge's name": (
            mint.token(service, scopes, client_id=public, act={"sub": "attacker"}),
            403,
        ),
        "a listed client without the scope": (mint.token(service, {"policy.read"}, client_id=public), 403),
    }
    for what, (token, status) in refused.items():
        answer = mint.http.get(url, headers={"authorization": f"Bearer {token}"} if token else {})
        assert answer.status_code == status, what
        assert answer.headers["content-type"] == PROBLEM_JSON


def out_of_order(mint: Mint, row: Row) -> dict[str, Callable[[], str | None]]:
    """Tokens with the right scopes, each with one thing wrong."""
    kind = next(kind for kind in ("client", "staff", "customer") if kind in row.kinds)
    claims = mint.claims(row.edge, row.scopes, kind=kind, roles=sorted(row.roles), sub=NOBODY)
    other_edge = {"public": "internal", "internal": "public"}[row.edge]
    behind = row.service if row.service != row.edge else "rights"
    now = int(time.time())
    return {
        "no token": lambda: None,
        "no JWT": lambda: "hello",
        "expired": lambda: mint.sign(claims | {"iat": now - 400, "exp": now - 100}),
        "from the future": lambda: mint.sign(claims | {"iat": now + 3600, "exp": now + 3900}),
        "for the other edge": lambda: mint.sign(claims | {"aud": other_edge}),
        "for the service behind": lambda: mint.sign(claims | {"aud": behind}),
        "for several at once": lambda: mint.sign(claims | {"aud": [row.edge, other_edge]}),
        "of another issuer": lambda: mint.sign(claims | {"iss": "https://issuer.example"}),
        "an ID token": lambda: mint.sign(claims, typ="JWT"),
        "of another key with the same kid": lambda: mint.sign(claims, key=_FOREIGN),
        "unsigned": lambda: unsigned(mint.sign(claims)),
        "changed": lambda: changed(mint.sign(claims)),
        "without a subject": lambda: mint.sign({name: value for name, value in claims.items() if name != "sub"}),
    }


_FOREIGN = ECKey.generate_key("P-256", private=True)


def unsigned(token: str) -> str:
    _, payload, _ = token.split(".")
    header = urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    return f"{header}.{payload}."


def changed(token: str) -> str:
    header, payload, signature = token.split(".")
    middle = len(payload) // 2
    other = "A" if payload[middle] != "A" else "B"
    return f"{header}.{payload[:middle]}{other}{payload[middle + 1 :]}.{signature}"

"""The one table: what it shows agrees with what the services ask for, and the two edges share nothing."""

from dataclasses import replace
from functools import cache

import pytest

from chassis.app import api_routes
from chassis.auth import Caller, PublicCheck, ScopeCheck
from chassis.errors import Forbidden, MethodNotAllowed, NotFound
from gateway import docs, openapi, routes
from gateway.limits import RATES
from gateway.routes import INTERNAL, PUBLIC, SERVICES
from gateway.table import WRITES, Row, Table
from ops.catalogue import BY_NAME, calls

ROWS = (*PUBLIC, *INTERNAL)


def ids(row: Row) -> str:
    return f"{row.edge} {row.method} {row.path}"


def test_the_edges_have_no_operation_in_common():
    assert len(Table(PUBLIC).rows) == len(PUBLIC) and len(Table(INTERNAL).rows) == len(INTERNAL)
    assert not {(row.method, row.path) for row in PUBLIC} & {(row.method, row.path) for row in INTERNAL}


def test_nothing_of_disclosure_is_at_the_public_edge():
    assert not [row for row in PUBLIC if row.service == "disclosure" or "order" in row.path or "hold" in row.path]
    assert not [scope for row in PUBLIC for scope in row.scopes if scope.startswith(("order.", "holds."))]


def test_the_services_are_the_catalogues():
    assert {name: BY_NAME[name].package for name in SERVICES} == SERVICES
    for edge, rows in (("public", PUBLIC), ("internal", INTERNAL)):
        assert {row.service for row in rows} - {edge} <= set(calls(BY_NAME[edge]))


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_a_row_asks_for_what_the_service_asks_for(row: Row):
    if row.service == row.edge:
        return
    asked = _asked(row.service).get((row.method, row.service_path))
    assert asked is not None, "the service has no such operation"
    assert row.scopes <= asked if asked else not row.scopes


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_a_write_needs_a_key_unless_it_changes_nothing_twice(row: Row):
    exempt = {
        "/login",
        "/login/eid",
        "/logout",
        "/token",
        "/access/v1/evaluation",
        "/access/v1/evaluations",
        "/v1/clock",
    }
    # CAMARA has no such header; a page's form is used up by its first answer.
    # Another operator's part or last word is the same again when it comes again.
    exempt |= {"/v1/receptions/{reception}/parts/{part}", "/v1/receptions/{reception}/end"}
    exempt |= {"/v1/replays", "/consent-info/v0.2/retrieve", "/v1/captures/{capture}/answer"}
    assert row.key == (row.method in WRITES and row.path not in exempt)
    assert row.rate in RATES


def test_staff_confirm_and_withdraw_for_who_has_no_login():
    rows = {row.path: row for row in INTERNAL if row.method == "POST"}
    for what in ("confirm", "withdraw"):
        assert rows[f"/staff/v1/requests/{{request_id}}/{what}"].kinds == {"staff"}


def test_the_ledger_of_orders_is_the_auditors_alone():
    rows = [row for row in ROWS if row.service == "disclosure" and row.scopes == {"ledger.read"}]
    assert rows and all(row.edge == "internal" and row.roles == {"auditor"} for row in rows)


def test_only_these_need_no_token():
    assert {row.path for row in ROWS if row.public and "/keys/" not in row.path} == {
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/authzen-configuration",
        "/jwks",
        "/authorize",
        "/login",
        "/login/eid",
        "/login/eid/callback",
        "/logout",
        "/token",
        "/privacy",
        "/privacy/history",
        "/v1/captures/return",
        "/v1/captures/{capture}",
        "/v1/captures/{capture}/answer",
        "/v1/portability",
        "/v1/receptions/{reception}/parts/{part}",
        "/v1/receptions/{reception}/end",
    }


@pytest.mark.parametrize("edge", ["public", "internal"])
def test_the_committed_document_is_what_the_services_say(edge: str):
    rows = PUBLIC if edge == "public" else INTERNAL
    fresh = openapi.document(edge, rows)
    assert fresh == docs.document(edge), "run python -m gateway.openapi"


def test_a_row_may_be_narrower_than_its_scope():
    row = routes.internal(
        "GET /x", "rights", "rights.handle", roles=frozenset({"helpdesk"}), clients=frozenset({"staff"})
    )
    caller = Caller(
        "staff", "staff", "s", "staff", None, frozenset({"rights.handle"}), frozenset({"helpdesk"}), None, 0
    )
    row.admit(caller)
    for other in ({"roles": frozenset()}, {"scopes": frozenset()}, {"original_client": "other"}):
        with pytest.raises(Forbidden):
            row.admit(_with(caller, **other))
    with pytest.raises(Forbidden):
        routes.public("GET /x", "rights", "rights.handle", kinds=routes.CUSTOMER).admit(caller)


def test_a_fixed_path_is_not_shadowed_by_one_with_a_value():
    table = Table([routes.public("GET /a/{b}", "consent", "s"), routes.public("GET /a/fixed", "rights", "s")])
    assert table.find("GET", "/a/fixed").service == "rights"
    assert table.find("GET", "/a/other").service == "consent"
    with pytest.raises(MethodNotAllowed):
        table.find("POST", "/a/other")
    for path in ("/a", "/a/", "/a/b/c", "/a/..", "/a/b%20c", "/a/b\n"):
        with pytest.raises(NotFound):
            table.find("GET", path)


def test_a_value_keeps_its_place_in_the_services_path():
    row = routes.staff("GET /v1/requests/{request_id}/answer", "rights", "rights.handle")
    assert row.inner_of("/staff/v1/requests/42/answer") == "/v1/requests/42/answer"


def test_one_operation_has_one_row():
    with pytest.raises(ValueError, match="two rows"):
        Table([routes.public("GET /a", "consent", "s"), routes.public("GET /a", "rights", "s")])


@cache
def _asked(service: str) -> dict[tuple[str, str], frozenset[str]]:
    """(method, path) → the scopes the service's own signature asks for; empty for those open to all."""
    app = openapi.app_of(service)
    return {
        (method, route.path_format): _scopes(route.dependant) for route in api_routes(app) for method in route.methods
    }


def _scopes(dependant) -> frozenset[str]:
    found = [need.call for need in dependant.dependencies]
    checks = [check for check in found if isinstance(check, ScopeCheck)]
    assert checks or any(isinstance(check, PublicCheck) for check in found), (
        "the signature says nothing of who may call"
    )
    return frozenset().union(*(check.scopes for check in checks))


def _with(caller: Caller, **changed) -> Caller:
    return replace(caller, **changed)

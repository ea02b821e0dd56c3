"""The two edges share nothing, believe no header, and an unknown path is an unknown path."""

import http.client
from uuid import UUID

import pytest

from chassis.errors import PROBLEM_JSON
from gateway.routes import INTERNAL, PUBLIC
from gateway.table import Row
from sample.actors import Person
from tests.attacks.mint import Mint, operation, sample_path
from tests.nordtel import Nordtel

PATHS = {"public": {row.path for row in PUBLIC}, "internal": {row.path for row in INTERNAL}}
ONE_SIDED = [
    row for row in (*PUBLIC, *INTERNAL) if row.path not in PATHS["internal" if row.edge == "public" else "public"]
]
SPOOFED = {
    "x-forwarded-for": "10.0.0.1",
    "x-forwarded-host": "attacker.example",
    "x-forwarded-proto": "https",
    "x-forwarded-prefix": "/staff",
    "x-forwarded-user": "operations",
    "x-original-url": "/staff/v1/requests",
    "x-rewrite-url": "/staff/v1/requests",
    "x-http-method-override": "DELETE",
    "x-user": "operations",
    "x-tenant": "01941f29-7c00-7000-8000-000000000002",
    "x-roles": "operations",
    "forwarded": "for=10.0.0.1;host=attacker.example;proto=https",
    "x-real-ip": "10.0.0.1",
}


def test_the_edges_have_no_operation_in_common_but_what_names_itself_differently():
    assert not {(r.method, r.path, r.service) for r in PUBLIC} & {(r.method, r.path, r.service) for r in INTERNAL}


@pytest.mark.parametrize("row", ONE_SIDED, ids=operation)
def test_an_operation_of_one_edge_does_not_exist_at_the_other(mint: Mint, row: Row):
    other = "internal" if row.edge == "public" else "public"
    for audience in (row.edge, other):
        said = {"kind": "staff", "roles": ["operations"], "sub": str(UUID(int=7))}  # nobody is asked about her
        token = mint.token(audience, row.scopes or {"registry.read"}, **said)
        answer = mint.http.request(
            row.method, mint.edges[other] + sample_path(row), headers={"authorization": f"Bearer {token}"}
        )
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM_JSON)


@pytest.mark.parametrize("edge", ["public", "internal"])
@pytest.mark.parametrize(
    "path",
    [
        "/events",
        "/v1/steps/01941f29-7c00-7000-8000-000000000001",
        "/v1/collections",
        "/v1/disclosures/collections",
        "/v1/holds/query",
        "/v1/principals/lookup",
        "/ledger/checkpoint",
        "/v1/requests/",
        "/v1//requests",
        "/v1/../v1/requests",
        "/v1/requests/..%2f..%2fevents",
        "/v1/requests%2f01941f29-7c00-7000-8000-000000000001",
        "/%76%31/requests",
        "/V1/REQUESTS",
        "/v1/requests/01941f29-7c00-7000-8000-000000000001/answer/../../../events",
    ],
)
def test_what_no_row_names_reaches_no_service(mint: Mint, edge: str, path: str):
    token = mint.token(edge, {"events.read", "data.work", "data.resolve", "rights.request", "ledger.read"})
    # Sent as it stands: clients would tidy the path up before it goes over the wire.
    connection = http.client.HTTPConnection(mint.edges[edge].removeprefix("http://"), timeout=30)
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {token}"})
        assert connection.getresponse().status == 404
    finally:
        connection.close()


def test_invented_headers_change_nothing(nordtel: Nordtel, mint: Mint):
    ines = nordtel.person("ines")
    for path in ("/v1/consents", "/v1/requests", "/.well-known/openid-configuration"):
        plain, spoofed = ines.try_to("GET", path), ines.try_to("GET", path, headers=SPOOFED)
        assert (spoofed.status_code, spoofed.json()) == (plain.status_code, plain.json())
        assert "attacker.example" not in spoofed.text + str(spoofed.headers)


@pytest.mark.parametrize("edge", ["public", "internal"])
def test_an_invented_header_is_no_login(mint: Mint, edge: str):
    path = {"public": "/v1/requests", "internal": "/staff/v1/requests"}[edge]
    assert mint.http.get(mint.edges[edge] + path, headers=SPOOFED).status_code == 401


def test_an_invented_tenant_is_not_written_to(nordtel: Nordtel):
    def notices(who: Person) -> set[str]:
        return {notice["notice"] for notice in who.send("GET", "/staff/v1/notices", headers=SPOOFED).json()["items"]}

    assert "service_quality" in notices(nordtel.person("helpdesk"))
    assert notices(nordtel.person("privacy.kustbanken")) == set()


@pytest.mark.parametrize("edge", ["public", "internal"])
def test_an_edge_tells_browsers_nothing_to_keep_or_to_guess(mint: Mint, edge: str):
    answer = mint.http.get(f"{mint.edges[edge]}/docs")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    refused = mint.http.get(mint.edges[edge] + "/nothing")
    assert refused.headers["cache-control"] == "no-store"
    assert "server" not in refused.headers

"""A portability package brought directly to another operator: here one house is both, for two organisations that know nothing of each other."""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from joserfc.jwk import OKPKey

from chassis.errors import Forbidden
from services.requests.rights import certificate
from services.requests.rights.client import RightsClient
from services.requests.rights.contract import (
    Kind,
    NotYours,
    OpenReception,
    OpenRequest,
    OperatorUnknown,
    PutOperator,
    Reception,
    ReceptionOpened,
    ReceptionUnknown,
    Request,
    SetPassphrase,
    StepUpNeeded,
    Transfer,
)
from services.requests.rights.statements import HANDING, RECEIPT, read, sign
from tests.rights.conftest import House
from tests.rights.gates import Gate, held_commits
from tests.rights.operator import Row

SECRET = "Sju sjösjuka sjömän"


def key() -> str:
    return str(uuid4())


async def ours(house: House) -> dict[str, Any]:
    return (await house.http.get(f"{house.url}/v1/portability")).json()


async def as_registered(house: House, url: str | None = None) -> PutOperator:
    said = await ours(house)
    wish = {"name": "Sydtel", "url": url or house.url, "signing": said["signing"], "sealing": said["sealing"]}
    return PutOperator.model_validate_json(json.dumps(wish))


async def known(house: House, tenant: UUID, name: str, url: str | None = None) -> None:
    await house.officer(tenant).put_operator(name, await as_registered(house, url), key=key())


@dataclass
class Two:
    """anna: where her data are · anna_there: where she wants them."""

    anna: RightsClient
    anna_there: RightsClient
    there: UUID
    opened: ReceptionOpened
    principal: UUID

    def wish(self, **bent: Any) -> OpenRequest:
        to = {"operator": "sydtel", "reception": self.opened.reception, "code": self.opened.code} | bent
        return OpenRequest(kind=Kind.portability, transfer=Transfer(**to))

    async def reception(self) -> Reception:
        return await self.anna_there.reception(self.opened.reception)


@pytest.fixture
async def two(house: House, tenant: UUID) -> Two:
    there = uuid4()
    await known(house, tenant, "sydtel")
    await known(house, there, "nordtel")
    rows = [("billing", Row("agreement", str(n), f"{SECRET} {n}")) for n in range(3)]
    anna_there = house.person(house.operator.person(), there)
    opened = await anna_there.open_reception(OpenReception(operator="nordtel"), key=key())
    anna = house.operator.person(*rows)
    return Two(house.person(anna, tenant), anna_there, there, opened, anna)


async def until_state(house: House, two: Two, request: UUID, *states: str) -> Request:
    return await house.until_state(two.anna, request, *states)


async def test_her_data_reach_the_other_operator_sealed_and_its_receipt_is_in_her_answer(
    house: House, tenant: UUID, two: Two
):
    asked = await two.anna.open(two.wish(), key=key())
    closed = await until_state(house, two, asked.request, "closed")
    answer = await two.anna.answer(asked.request)
    came = await two.reception()
    assert (came.state, came.sha256, came.bytes) == ("received", answer.transferred.sha256, answer.transferred.bytes)
    receipt = read(answer.transferred.receipt, RECEIPT, (await ours(house))["signing"])
    assert (receipt["reception"], receipt["sha256"]) == (str(two.opened.reception), came.sha256)
    async with two.anna_there.received(two.opened.reception) as stream:
        archive = zipfile.ZipFile(io.BytesIO(b"".join([piece async for piece in stream])))
    manifest = json.loads(archive.read("portability.json"))
    [file] = [each for each in manifest["files"] if each["table"] == "agreement"]
    rows = json.loads(archive.read(file["file"]))["rows"]
    assert (manifest["format"], file["rows"]) == ("wardline-portability/1", 3)
    assert [row[1] for row in rows] == [f"{SECRET} {n}" for n in range(3)]
    assert not (house.settings.packages / str(asked.request)).exists(), "nothing of it stays with whom it left"
    assert closed.closed_at and "request.transferred" in await house.events(asked.request)
    keys = (await house.http.get(f"{house.url}/keys")).json()
    said = certificate.verify(await two.anna.certificate(asked.request), keys)
    assert said["transferred"]["sha256"] == came.sha256


async def test_who_of_the_staff_opened_what_came_stands_in_the_ledger(house: House, two: Two):
    asked = await two.anna.open(two.wish(), key=key())
    await until_state(house, two, asked.request, "closed")
    for reader in (two.anna_there, house.helpdesk(two.there)):
        async with reader.received(two.opened.reception) as stream:
            assert b"".join([piece async for piece in stream]).startswith(b"PK")
    wanted = "SELECT convert_from(body, 'UTF8')::json->'data' AS said FROM rights.event WHERE type = 'reception.read'"
    said = [json.loads(row["said"]) for row in await house.rows(wanted)]
    [read_by] = [each["by"] for each in said if each["reception"] == str(two.opened.reception)]
    assert read_by


async def test_what_was_taken_and_not_written_down_here_is_handed_over_once_more_and_gets_the_same_receipt(
    house: House, two: Two
):
    """The commit that closes the request is lost, as with a process that was killed just then."""
    async with held_commits(house) as gates:
        await gates.close([Gate(1, "request closed", two.principal, "before")])
        asked = await two.anna.open(two.wish(), key=key())
        await house.seen(gates.held, lambda held: 1 in held)
        assert (await two.reception()).state == "received"
        await gates.open()
        await until_state(house, two, asked.request, "closed", "awaiting_passphrase")
    answer = await two.anna.answer(asked.request)
    assert answer.transferred.sha256 == (await two.reception()).sha256
    assert (await house.events(asked.request)).count("request.transferred") == 1


async def test_what_came_lies_sealed_on_the_disk_and_goes_when_its_time_is_over(house: House, tenant: UUID, two: Two):
    asked = await two.anna.open(two.wish(), key=key())
    await until_state(house, two, asked.request, "closed")
    folder = house.settings.packages / str(two.opened.reception)
    assert [file for file in folder.iterdir() if SECRET.encode() in file.read_bytes()] == [] != list(folder.iterdir())
    house.later(days=15)
    await house.seen(two.reception, lambda seen: seen.state == "closed")
    assert not folder.exists()
    with pytest.raises(ReceptionUnknown):
        async with two.anna_there.received(two.opened.reception):
            """Nothing to read."""


async def test_an_operator_that_is_away_is_waited_for_and_she_may_change_her_mind(house: House, tenant: UUID, two: Two):
    await known(house, tenant, "sydtel", "http://127.0.0.1:9")
    asked = await two.anna.open(two.wish(), key=key())
    await until_state(house, two, asked.request, "transferring")
    assert (await two.anna.withdraw(asked.request, key=key())).state == "withdrawn"
    assert not (house.settings.packages / str(asked.request)).exists()
    assert (await two.reception()).state == "open"


@pytest.mark.parametrize("bent", [{"code": "x" * 32}, {"reception": UUID(int=7)}])
async def test_what_the_other_operator_refuses_she_may_have_herself(
    house: House, tenant: UUID, two: Two, bent: dict[str, Any]
):
    asked = await two.anna.open(two.wish(**bent), key=key())
    await until_state(house, two, asked.request, "awaiting_passphrase")
    [letter] = (await two.anna.letters(asked.request)).items
    assert letter.template == "not_transferred" and "Sydtel" in letter.body
    assert (await two.reception()).sha256 is None
    await two.anna.set_passphrase(asked.request, SetPassphrase(passphrase="fyra gröna hästar"), key=key())
    await until_state(house, two, asked.request, "answered")
    assert (await two.anna.answer(asked.request)).transferred is None


async def test_only_she_says_where_her_data_go_in_a_login_of_just_now(house: House, tenant: UUID, two: Two):
    principal = house.operator.person()
    with pytest.raises(StepUpNeeded):
        await house.person(principal, tenant, auth_time=1).open(two.wish(), key=key())
    staff = two.wish().model_dump() | {"principal": principal, "evidence": {"method": "call_back"}}
    with pytest.raises(Forbidden):
        await house.helpdesk(tenant).open(OpenRequest.model_validate(staff, strict=False), key=key())
    with pytest.raises(OperatorUnknown):
        await two.anna.open(two.wish(operator="okand"), key=key())
    with pytest.raises(NotYours):
        await house.helpdesk(tenant).put_operator("sydtel", await as_registered(house), key=key())
    with pytest.raises(ReceptionUnknown):
        await house.person(principal, two.there).reception(two.opened.reception)


async def handed(
    house: House, two: Two, said: dict[str, Any], content: str, by: OKPKey, part: int = 0
) -> httpx2.Response:
    body = {"handing": sign(by, HANDING, said), "content": content}
    return await house.http.put(f"{house.url}/v1/receptions/{two.opened.reception}/parts/{part}", json=body)


async def test_a_stranger_s_part_and_one_that_was_changed_are_not_taken(house: House, tenant: UUID, two: Two):
    own = OKPKey.import_key(house.settings.jwk("signing"))
    stranger = OKPKey.generate_key("Ed25519", {"kid": own.kid}, private=True)
    digest = hashlib.sha256(b"part").hexdigest()
    right = {"reception": str(two.opened.reception), "part": 0, "sha256": digest}
    for said, content, by, part, status in (
        (right, "cGFydA==", stranger, 0, 404),
        (right | {"reception": str(uuid4())}, "cGFydA==", own, 0, 404),
        (right, "cGFyeA==", own, 0, 409),
        (right, "cGFydA==", own, 1, 409),
        (right, "cGFydA=", own, 0, 409),
        (right, "cGFydA==", own, 0, 204),
    ):
        assert (await handed(house, two, said, content, by, part)).status_code == status
    end = {"code": two.opened.code, "parts": 1, "bytes": 4, "sha256": digest, "key": "no key"}
    url = f"{house.url}/v1/receptions/{two.opened.reception}/end"
    body = {"handing": sign(own, HANDING, right | end)}
    assert (await house.http.post(url, json=body)).json()["code"] == "rights.handing_refused"
    assert (await two.reception()).state == "receiving"

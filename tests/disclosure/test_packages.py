"""From an approved order to a package that its authority alone can open, and that anybody with the public keys can
check.
"""

import io
import json
import tracemalloc
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest
from joserfc.jwk import ECKey, KeySet

from services.requests.disclosure import verify
from tests.disclosure.house import FROM, NUMBER, TO, Desk, a_preservation

ROWS = [[n, f"2026-09-{n % 28 + 1:02}T10:00:00+00:00", NUMBER, "46701740699", "said in a chat"] for n in range(40)]


@pytest.fixture
async def released(desk: Desk) -> dict:
    """An order whose package a third person released."""
    desk.anonymizer.rows = ROWS
    order = await desk.collected(await desk.approved())
    answer = await desk.person("ulla", "POST", f"/v1/packages/{order['package']}/release", {})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def keys(desk: Desk) -> dict:
    return (await desk.http.get(f"{desk.url}/keys")).json()


async def fetched(desk: Desk, package: dict) -> bytes:
    answer = await desk.own("GET", f"/v1/packages/{package['package']}/content")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jose")
    return answer.content


async def test_only_what_the_task_asks_for_is_asked_and_only_whitelisted_fields_leave(
    desk: Desk, released: dict
) -> None:
    asked = desk.anonymizer.asked[-1]
    assert (asked["categories"], asked["copies"]) == (["traffic"], ["business", "retention"])
    assert [(one["type"], one["value"]) for one in asked["identifiers"]] == [("msisdn", NUMBER)]
    report = verify.verify_package(
        await fetched(desk, released), KeySet.import_key_set(await keys(desk)), desk.recipient
    )
    assert report.holds
    [lines] = report.files.values()
    first = json.loads(lines.splitlines()[0])
    assert first == {"started_at": ROWS[0][1], "caller": NUMBER, "callee": "46701740699"}
    assert len(lines.splitlines()) == 40


async def test_what_was_preserved_for_another_authority_is_not_asked_for(desk: Desk) -> None:
    other = replace(desk, authority="SE-polisen")
    await other.register()
    orders = {each.authority: await each.placed(**a_preservation()) for each in (desk, other)}
    await other.placed(**a_preservation(tasks=[{"kind": "LP", "category": "location"}]))
    desk.anonymizer.rows = ROWS
    await desk.collected(await desk.approved())
    events = [event["data"] for event in await desk.events() if event["type"] == "hold.placed"]
    own = {event["hold"] for event in events if event["order"] == orders[desk.authority]["order"]}
    assert len(events) == 3 and len(own) == 1
    assert {tuple(asked["holds"]) for asked in desk.anonymizer.asked} == {tuple(own)}


async def test_the_manifest_says_what_when_and_for_which_order(desk: Desk, released: dict) -> None:
    report = verify.verify_package(
        await fetched(desk, released), KeySet.import_key_set(await keys(desk)), desk.recipient
    )
    order = (await desk.person("rut", "GET", f"/v1/orders/{released['order']}")).json()
    [item] = report.manifest["items"]
    assert (report.manifest["order_hash"], item["order_hash"]) == (order["order_hash"], order["order_hash"])
    assert (item["store"], item["table"], item["rows"], report.manifest["root"]) == (
        "calls",
        "call_record",
        40,
        released["root"],
    )
    period = {"from": FROM.replace("Z", "+00:00"), "to": TO.replace("Z", "+00:00")}
    assert (item["query"]["period"], item["query"]["category"]) == (period, "traffic")
    assert [task["status"] for task in order["tasks"]] == ["Disclosed"]


async def test_only_the_recipients_key_opens_it(desk: Desk, released: dict) -> None:
    content, public = await fetched(desk, released), KeySet.import_key_set(await keys(desk))
    stranger = ECKey.generate_key("P-256", private=True)
    assert not verify.verify_package(content, public, stranger).holds
    with pytest.raises(verify.CannotCheck):
        verify.verify_package(content, public)


async def test_one_changed_byte_is_found_wherever_it_is(desk: Desk, released: dict) -> None:
    content, public = await fetched(desk, released), KeySet.import_key_set(await keys(desk))
    for at in [*range(0, len(content), max(1, len(content) // 60)), *range(len(content) - 24, len(content))]:
        bent = bytearray(content)
        bent[at] = bent[at] ^ 1
        assert not verify.verify_package(bytes(bent), public, desk.recipient).holds, at


async def test_a_file_changed_after_opening_is_named(desk: Desk, released: dict) -> None:
    public = KeySet.import_key_set(await keys(desk))
    opened = verify.opened(await fetched(desk, released), desk.recipient)
    assert verify.verify_package(opened, public).holds
    [path] = verify.verify_package(opened, public).files
    forged = rewritten(opened, {path: lambda content: content.replace(b"46701740699", b"46701740698", 1)})
    assert verify.verify_package(forged, public).faults == [f"{path}: was changed"]
    assert (
        "stands in no manifest" in verify.verify_package(rewritten(opened, {}, {"more.jsonl": b"{}"}), public).faults[0]
    )
    assert "missing" in verify.verify_package(rewritten(opened, {path: None}), public).faults[0]
    other = KeySet([ECKey.generate_key("P-256", {"kid": "x"})])
    assert "none of these keys" in verify.verify_package(opened, other).faults[0]


async def test_a_manifest_that_cannot_be_unpacked_is_a_fault_of_the_package() -> None:
    """The verifier ended in a stack trace: an authority read that our program was broken."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(verify.MANIFEST, '{"items": []}' * 50)
    begins = packed.getvalue().index(verify.MANIFEST.encode()) + len(verify.MANIFEST)
    bent = bytearray(packed.getvalue())
    bent[begins] |= 0b110  # a block of the kind that deflate reserves
    assert not verify.verify_package(bytes(bent), KeySet([])).holds


async def test_what_a_sealed_file_would_unpack_to_is_not_read_before_it_is_known(desk: Desk, released: dict) -> None:
    """Anybody can seal something for an authority."""
    public = KeySet.import_key_set(await keys(desk))
    opened = verify.opened(await fetched(desk, released), desk.recipient)
    [path] = verify.verify_package(opened, public).files
    for name, fault in ((verify.MANIFEST, "the manifest is longer"), (path, f"{path}: was changed")):
        bomb = rewritten(opened, {name: lambda content: bytes(verify._LONGEST + 1)})
        tracemalloc.start()
        assert fault in verify.verify_package(bomb, public).faults[0]
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
        tracemalloc.stop()


async def test_the_verifier_is_a_program_of_its_own(desk: Desk, released: dict, tmp_path: Path, capsys) -> None:
    (tmp_path / "package.jwe").write_bytes(await fetched(desk, released))
    (tmp_path / "keys.json").write_text(json.dumps(await keys(desk)))
    (tmp_path / "own.jwk").write_text(json.dumps(desk.recipient.as_dict(private=True)))
    told = [str(tmp_path / "package.jwe"), "--keys", str(tmp_path / "keys.json")]
    own = ["--key", str(tmp_path / "own.jwk")]
    assert verify.main([*told, *own, "--into", str(tmp_path / "out")]) == 0
    assert len((tmp_path / "out" / "001-traffic" / "calls.call_record.jsonl").read_text().splitlines()) == 40
    assert "everything holds" in capsys.readouterr().out
    assert verify.main(told) == 2
    (tmp_path / "public.jwk").write_text(json.dumps(desk.recipient.as_dict(private=False)))
    assert verify.main([*told, "--key", str(tmp_path / "public.jwk")]) == 2
    assert "is a public key: give the private one" in capsys.readouterr().err
    bent = bytearray((tmp_path / "package.jwe").read_bytes())
    bent[-40] ^= 1
    (tmp_path / "package.jwe").write_bytes(bent)
    assert verify.main([*told, *own]) == 1
    assert "NOT what was sealed" in capsys.readouterr().out


async def test_each_fetching_is_an_event_and_the_file_is_always_the_same(desk: Desk, released: dict) -> None:
    first, second = await fetched(desk, released), await fetched(desk, released)
    assert first == second and sha256(first).hexdigest() == released["sha256"]
    told = [event["data"] for event in await desk.events() if event["type"] == "package.delivered"]
    assert [(event["by"], event["sha256"]) for event in told] == [(desk.client, released["sha256"])] * 2
    assert (await desk.own("GET", f"/v1/packages/{released['package']}")).json()["deliveries"] == 2


async def test_the_authority_says_that_it_arrived_and_then_that_it_was_opened(desk: Desk, released: dict) -> None:
    path, digest = f"/v1/packages/{released['package']}/acknowledgement", released["sha256"]
    early = await desk.own("POST", path, {"status": "Received", "sha256": digest})
    assert (early.status_code, early.json()["code"]) == (409, "disclosure.state_forbidden")
    other = await desk.own("POST", path, {"status": "Acknowledged", "sha256": "0" * 64})
    assert (other.status_code, other.json()["code"]) == (409, "disclosure.digest_differs")
    for status in ("Acknowledged", "Received"):
        assert (await desk.own("POST", path, {"status": status, "sha256": digest})).json()["delivery"] == status


async def test_nobody_fetches_before_a_third_person_released_it(desk: Desk) -> None:
    desk.anonymizer.rows = ROWS
    order = await desk.collected(await desk.approved())
    package = order["package"]
    unreleased = await desk.own("GET", f"/v1/packages/{package}/content")
    assert (unreleased.status_code, unreleased.json()["code"]) == (404, "disclosure.package_unknown")
    assert (await desk.own("GET", f"/v1/orders/{order['order']}/packages")).json()["items"] == []
    for acted in ("gunilla", "ingvar"):
        answer = await desk.person(acted, "POST", f"/v1/packages/{package}/release", {})
        assert (answer.status_code, answer.json()["code"]) == (409, "disclosure.four_eyes")
    assert (await desk.person("ulla", "POST", f"/v1/packages/{package}/release", {})).status_code == 200
    staff = await desk.person("ulla", "GET", f"/v1/packages/{package}/content")
    assert staff.status_code == 403


async def test_another_authoritys_package_looks_as_if_it_did_not_exist(desk: Desk, released: dict) -> None:
    other = desk.beside("SE-polisen")
    await other.register()
    for suffix in ("", "/content"):
        real = await other.own("GET", f"/v1/packages/{released['package']}{suffix}")
        unreal = await other.own("GET", f"/v1/packages/{uuid4()}{suffix}")
        assert (real.status_code, real.json()) == (404, unreal.json())


async def test_an_order_about_nobody_here_ends_without_a_package(desk: Desk) -> None:
    order = await desk.collected(await desk.approved(), stage=None)
    assert [(task["status"], task["reason"], task["rows"]) for task in order["tasks"]] == [
        ("DisclosureNotAvailable", "NO_DATA", 0)
    ]
    assert order["package"] is None and order["status"] == "Approved"


async def test_a_right_holders_order_by_an_address_finds_no_data_and_asks_no_retention_copy(desk: Desk) -> None:
    wish = {
        "instrument": "right_holder_information",
        "tasks": [{"kind": "LD", "category": "subscriber"}],
        "identifiers": [
            {"type": "IPv4Address", "value": "198.51.100.14", "at": "2026-09-05T10:00:00Z"},
            {"type": "CustomerNumber", "value": "K1000014"},
        ],
    }
    order = await desk.collected(await desk.approved(**wish), stage=None)
    assert {task["status"] for task in order["tasks"]} == {"DisclosureNotAvailable"}
    assert {(asked["identifiers"][0]["type"], *asked["copies"]) for asked in desk.anonymizer.asked} == {
        ("customer", "business")
    }


async def test_a_stream_that_was_cut_is_asked_again_and_nothing_half_is_sealed(desk: Desk) -> None:
    desk.anonymizer.rows, desk.anonymizer.cut = ROWS, True
    order = await desk.approved()
    await desk.person("ingvar", "POST", f"/v1/orders/{order['order']}/collection", {})
    await desk.until(order, lambda _: len(desk.anonymizer.asked) > 1)
    desk.anonymizer.cut = False
    done = await desk.until(order, lambda now: now["stage"] == "sealed")
    assert [task["rows"] for task in done["tasks"]] == [40]


async def test_more_rows_than_the_book_allows_wait_for_a_persons_reason(desk: Desk, monkeypatch) -> None:
    from services.registry.contract import PolicyBook

    number = PolicyBook.number
    monkeypatch.setattr(PolicyBook, "number", lambda self, key: 39 if key == "order_rows" else number(self, key))
    desk.anonymizer.rows = ROWS
    order = await desk.collected(await desk.approved(), stage="stopped")
    assert order["tasks"][0]["rows"] == 40 and order["package"] is None
    bare = await desk.person("ingvar", "POST", f"/v1/orders/{order['order']}/collection", {})
    assert (bare.status_code, bare.json()["code"]) == (409, "disclosure.state_forbidden")
    done = await desk.collected(order, beyond_cap="The court's decision names the whole month")
    assert done["package"]


async def test_a_withdrawn_order_is_not_collected_and_its_package_not_released(desk: Desk) -> None:
    desk.anonymizer.rows = ROWS
    order = await desk.collected(await desk.approved())
    await desk.own("POST", f"/v1/orders/{order['order']}/cancellation", {"reason_code": "lifted", "reference": "B 2"})
    answer = await desk.person("ulla", "POST", f"/v1/packages/{order['package']}/release", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "disclosure.state_forbidden")


async def test_a_preservation_is_not_collected(desk: Desk) -> None:
    order = await desk.approved(**a_preservation())
    answer = await desk.person("ingvar", "POST", f"/v1/orders/{order['order']}/collection", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "disclosure.state_forbidden")


def rewritten(archive: bytes, changed: dict, added: dict | None = None) -> bytes:
    """The same ZIP with some files changed (None: left out) or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            change = changed.get(name, bytes)
            if change is not None:
                new.writestr(name, change(old.read(name)))
        for name, content in (added or {}).items():
            new.writestr(name, content)
    return out.getvalue()

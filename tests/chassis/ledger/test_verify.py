"""The verifier finds each kind of tampering and says where, with nothing but public keys."""

import json
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from chassis.ledger import checkpoint, merkle
from chassis.ledger.canonical import canonical
from chassis.ledger.checkpoint import Checkpoint
from chassis.ledger.contract import Inclusion
from chassis.ledger.verify import main, verify_ledger, verify_receipt

JWK = OKPKey.generate_key("Ed25519", private=True)
KEY = checkpoint.private_key(JWK.as_dict(private=True))
SIZE = 20


def event_id(position: int) -> UUID:
    return UUID(int=position, version=4)


def entry(position: int, **changed) -> dict:
    body = canonical({"id": str(event_id(position)), "data": {"amount": position, "what": "given ✓"}})
    leaf = b64encode(merkle.leaf_hash(body)).decode()
    return {"position": position, "event_id": str(event_id(position)), "leaf": leaf, "body": body.decode()} | changed


def forged(position: int) -> dict:
    body = entry(position)["body"].replace("given", "taken")
    return entry(position, body=body, leaf=b64encode(merkle.leaf_hash(body.encode())).decode())


def note(size: int, key: Ed25519PrivateKey = KEY) -> str:
    root = merkle.root([merkle.leaf_hash(entry(position)["body"].encode()) for position in range(1, size + 1)])
    return checkpoint.sign(Checkpoint("wardline/consent", size, root), key)


def check(entries: list[dict], *notes: str):
    return verify_ledger(map(json.dumps, entries), notes or [note(SIZE)], [KEY.public_key()])


GOOD = [entry(position) for position in range(1, SIZE + 1)]


def test_what_was_signed_holds():
    assert check(GOOD).holds
    assert check(GOOD, note(SIZE), note(7), note(0)).holds


def test_entries_of_other_tenants_are_checked_by_their_leaves():
    assert check([each | {"body": None} if each["position"] % 2 else each for each in GOOD]).holds


def test_a_changed_body_is_found_where_it_is():
    bad = GOOD[:11] + [entry(12, body=GOOD[11]["body"].replace("given", "taken"))] + GOOD[12:]
    [fault] = check(bad).faults
    assert (fault.position, fault.event_id, fault.line) == (12, event_id(12), 12)
    assert "body was changed" in str(fault)


def test_the_byte_that_broke_the_text_is_named():
    body = GOOD[4]["body"]
    at = body.index("given")
    [fault] = check([*GOOD[:4], entry(5, body=body[:at] + '"' + body[at + 1 :]), *GOOD[5:]]).faults
    assert fault.position == 5 and f"byte {at + 1} is no longer JSON" in str(fault)
    [fault] = check([*GOOD[:4], entry(5, body=body.replace(":5,", ": 5,")), *GOOD[5:]]).faults
    assert f"byte {body.index(':5,') + 1} is no longer canonical" in str(fault)


def test_a_body_that_is_nested_without_end_is_a_changed_one():
    for bad in ('{"a":' * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "[" * 200_000 + "]" * 200_000):
        report = verify_receipt(receipt(body=bad), [KEY.public_key()])
        assert "the body was changed" in str(report.faults[0])


def test_a_changed_leaf_is_told_from_a_changed_body():
    [fault] = check([*GOOD[:2], entry(3, leaf=GOOD[3]["leaf"]), *GOOD[3:]]).faults
    assert fault.position == 3 and "the body is genuine" in str(fault)


def test_body_and_leaf_changed_together_lie_between_the_heads_around_them():
    bad = [*GOOD[:8], forged(9), *GOOD[9:]]
    [fault] = check(bad, note(7), note(11), note(SIZE)).faults
    assert "between positions 8 and 11" in str(fault)


def test_a_missing_entry_is_found_where_it_was():
    [fault] = check(GOOD[:5] + GOOD[6:]).faults
    assert fault.position == 7 and "position 6 is missing" in str(fault)
    [fault] = check(GOOD[:15]).faults
    assert fault.position == 16 and "end at 15" in str(fault)


def test_a_repeated_or_moved_entry_is_found():
    assert [fault.position for fault in check([*GOOD[:5], GOOD[4], *GOOD[5:]]).faults][0] == 5
    swapped = [*GOOD[:3], GOOD[4], GOOD[3], *GOOD[5:]]
    assert check(swapped).faults[0].position == 5
    renumbered = [*GOOD[:3], GOOD[4] | {"position": 4}, GOOD[3] | {"position": 5}, *GOOD[5:]]
    assert "between positions 1 and 20" in str(check(renumbered).faults[0])


def test_an_entry_under_another_events_name_is_found():
    [fault] = check([*GOOD[:2], entry(3, event_id=str(event_id(99))), *GOOD[3:]]).faults
    assert fault.position == 3 and "another event" in str(fault)


def test_entries_without_a_signed_head_prove_nothing():
    assert not verify_ledger(map(json.dumps, GOOD), [], [KEY.public_key()]).holds


def test_a_line_that_is_no_entry_is_named():
    report = verify_ledger(["{}", *map(json.dumps, GOOD)], [note(SIZE)], [KEY.public_key()])
    assert [fault.line for fault in report.faults] == [1]


def test_a_head_signed_by_nobody_known_is_refused():
    assert not check(GOOD, note(SIZE, Ed25519PrivateKey.generate())).holds
    assert not check(GOOD, note(SIZE).replace("\n20\n", "\n19\n")).holds


def receipt(**changed) -> Inclusion:
    leaves = [merkle.leaf_hash(each["body"].encode()) for each in GOOD]
    path = [b64encode(hash).decode() for hash in merkle.inclusion_proof(leaves, 5)]
    told = entry(6) | {"event_id": event_id(6), "path": path, "checkpoint": note(SIZE)}
    return Inclusion(**told | changed)


def test_a_receipt_holds_and_a_changed_one_does_not():
    assert verify_receipt(receipt(), [KEY.public_key()]).holds
    changes = [
        {"body": entry(6)["body"].replace("given", "taken")},
        {"position": 7},
        {"event_id": event_id(7)},
        {"leaf": entry(7)["leaf"]},
        {"path": receipt().path[1:]},
        {"path": ["no base64", *receipt().path[1:]]},
        {"checkpoint": note(19)},
        {"checkpoint": note(SIZE, Ed25519PrivateKey.generate())},
    ]
    for change in changes:
        report = verify_receipt(receipt(**change), [KEY.public_key()])
        assert not report.holds, change


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    (tmp_path / "entries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in GOOD))
    (tmp_path / "checkpoint.txt").write_text(note(SIZE))
    (tmp_path / "receipt.json").write_text(receipt().model_dump_json())
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [JWK.as_dict(private=False)]}))
    return tmp_path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chassis.ledger.verify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False)


def test_the_command_says_that_all_holds_then_where_one_byte_was_changed(exported):
    whole = run(exported, "--keys", exported / "keys.json")
    assert whole.returncode == 0 and "20 entries of wardline/consent" in whole.stdout, whole

    entries = exported / "entries.jsonl"
    entries.write_bytes(entries.read_bytes().replace(b'amount\\":13', b'amount\\":73'))
    changed = run(exported, "--keys", exported / "keys.json")
    assert changed.returncode == 1 and changed.stderr == ""
    assert f"position 13, event {event_id(13)}, line 13: the body was changed" in changed.stdout


def test_the_command_checks_a_receipt_and_says_what_it_cannot_check(exported, capsys):
    keys = ["--keys", str(exported / "keys.json")]
    assert main([str(exported / "receipt.json"), *keys]) == 0
    assert main([str(exported / "keys.json"), *keys]) == 2
    assert main([str(exported / "nothing"), *keys]) == 2
    assert main([str(exported / "receipt.json"), "--keys", str(exported / "entries.jsonl")]) == 2
    (exported / "checkpoint.txt").unlink()
    assert main([str(exported), *keys]) == 2
    assert "holds no checkpoint.txt" in capsys.readouterr().err


def test_no_byte_of_an_export_can_be_changed_unnoticed(exported, capsys):
    entries, keys = exported / "entries.jsonl", ["--keys", str(exported / "keys.json")]
    genuine = entries.read_bytes()
    for at in range(0, len(genuine), 37):
        entries.write_bytes(genuine[:at] + bytes([genuine[at] ^ 1]) + genuine[at + 1 :])
        assert main([str(exported), *keys]) == 1, (at, genuine[at - 5 : at + 5])
    entries.write_bytes(genuine[:100] + b"\xff\xfe" + genuine[102:])
    assert main([str(exported), *keys]) == 1


def test_the_verifier_needs_no_database_and_no_network(exported):
    listing = (
        "import sys, chassis.ledger.verify; print([m for m in ('asyncpg', 'sqlalchemy', 'httpx2') if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, cwd=Path(__file__).parents[3], check=True
    )
    assert told.stdout.strip() == "[]"

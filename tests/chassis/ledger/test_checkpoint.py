"""A checkpoint says what the C2SP formats say, and only a known key's signature over exactly these bytes makes it believed."""

import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey, OKPKey

from chassis.ledger import checkpoint
from chassis.ledger.checkpoint import BadCheckpoint, Checkpoint

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
HEAD = Checkpoint("wardline/consent", 1207, bytes(range(32)))
NOTE = checkpoint.sign(HEAD, KEY)


def test_the_note_has_the_lines_of_the_specification():
    shape = r"wardline/consent\n1207\n[A-Za-z0-9+/]{43}=\n\n— wardline/consent [A-Za-z0-9+/]+={0,2}\n"
    assert re.fullmatch(shape, NOTE)
    assert checkpoint.verify(NOTE, [KEY.public_key()]) == checkpoint.parse(NOTE) == HEAD


@pytest.mark.parametrize("at", range(len(NOTE)))
def test_no_character_may_be_changed(at):
    changed = NOTE[:at] + ("A" if NOTE[at] != "A" else "B") + NOTE[at + 1 :]
    with pytest.raises(BadCheckpoint):
        checkpoint.verify(changed, [KEY.public_key()])


def test_another_key_or_the_name_of_another_service_does_not_do():
    with pytest.raises(BadCheckpoint):
        checkpoint.verify(NOTE, [Ed25519PrivateKey.generate().public_key()])
    with pytest.raises(BadCheckpoint):
        checkpoint.verify(NOTE.replace("— wardline/consent", "— wardline/rights"), [KEY.public_key()])


def test_a_witness_may_sign_beneath():
    cosigned = NOTE + "— witness.example/1 " + NOTE.rsplit(" ", 1)[1]
    assert checkpoint.verify(cosigned, [KEY.public_key()]) == HEAD


@pytest.mark.parametrize(
    "note",
    [
        f"a\n{'9' * 5_000}\nQQ==\n\n— a QQ==\n",
        "",
        "\n\n",
        "a\n1\nQQ==\n\n",
        "a\n1\n\n— a b\n",
        "a\n-1\nQQ==\n\n— a QQ==\n",
        "a\n01\nQQ==\n\n— a QQ==\n",
    ],
)
def test_what_is_no_note_is_refused(note):
    with pytest.raises(BadCheckpoint):
        checkpoint.verify(note, [KEY.public_key()])


def test_keys_are_read_from_jwk_and_other_kinds_are_passed_over():
    private, other = OKPKey.generate_key("Ed25519", private=True), ECKey.generate_key("P-256", private=True)
    jwks = {"keys": [key.as_dict(private=False) for key in (private, other)]}
    note = checkpoint.sign(HEAD, checkpoint.private_key(private.as_dict(private=True)))
    assert checkpoint.verify(note, checkpoint.public_keys(jwks)) == HEAD
    for useless in (private.as_dict(private=False), other.as_dict(private=True), {}):
        with pytest.raises(ValueError):
            checkpoint.private_key(useless)

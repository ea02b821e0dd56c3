"""The offline verifiers and whoever wants to be believed: each says no in plain words, whatever it is given, and its exit status is right."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey

from chassis.ledger import verify as ledger
from chassis.verifying import say
from services.consent import verify as receipt
from services.registry import verify as bundle
from services.requests.disclosure import verify as package
from services.requests.rights import certificate

VERIFIERS: dict[str, Callable[[Sequence[str]], int]] = {
    each.__name__: each.main for each in (ledger, receipt, bundle, package, certificate)
}
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
KEY = OKPKey.generate_key("Ed25519", private=True)
PUBLIC = {"keys": [KEY.as_dict(private=False)]}

NO_KEYS: dict[str, Any] = {
    "a list": [],
    "a number": 5,
    "no list": {},
    "a number of keys": {"keys": 5},
    "a number as key": {"keys": [5]},
    "no keys": {"keys": []},
    "an empty key": {"keys": [{}]},
    "a short key": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}]},
    "a number as coordinate": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": 5}]},
    "a kind that is a list": {"keys": [{"kty": ["OKP"]}]},
    "another curve": {"keys": [{"kty": "OKP", "crv": "X", "x": "AAAA"}]},
    "a shared secret": {"keys": [OctKey.generate_key(256).as_dict()]},
    "another algorithm's": {"keys": [ECKey.generate_key("P-256").as_dict(private=False)]},
}
FILES = {
    "nothing": b"",
    "nested": DEEP,
    "a number": b"5",
    "an object": b"{}",
    "three empty parts": b"..",
    "bytes": b"\xff\xfe\x00",
    "an archive": b"PK\x03\x04",
    "dots": b"." * 100_000,
}


def given(folder: Path, content: Any, name: str) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(path)


# What only who wrote the verifier understands.
OURS = ("object", "codec", "indices", "Errno", "Error", "_")


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_without_keys_it_is_said_where_to_get_them(
    verifier: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name: given(tmp_path, keys, f"{name}.json") for name, keys in NO_KEYS.items()}
    files |= {"nested": given(tmp_path, DEEP, "nested.json"), "no JSON": given(tmp_path, b"\x00hello", "bytes.json")}
    files |= {"not there": str(tmp_path / "nothing"), "a folder": str(tmp_path)}
    for name, path in files.items():
        assert VERIFIERS[verifier]([given(tmp_path, b"PK", "file"), "--keys", path]) == 2, name
        told = capsys.readouterr()
        assert told.out == "" and told.err.startswith(f"cannot check: {path} "), name
        assert told.err.count("\n") == 1 and not any(word in told.err.replace(path, "") for word in OURS), told.err


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_what_proves_nothing_is_refused_in_plain_words(
    verifier: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = given(tmp_path, PUBLIC, "keys.json")
    files = {name: given(tmp_path, content, name) for name, content in FILES.items()}
    for name, path in (files | {"not there": str(tmp_path / "nowhere")}).items():
        status, told = VERIFIERS[verifier]([path, "--keys", keys]), capsys.readouterr()
        if status == 1:
            assert "Do not rely on it." in told.out and told.err == "", name
        else:
            assert (status, told.out) == (2, "") and told.err.startswith("cannot check: "), name
        said = (told.out + told.err).replace(path, "")
        assert not any(word in said for word in (*OURS, "holds:", "everything holds")), said


def test_a_name_in_an_archive_writes_no_line_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor does it turn the terminal's letters around, or colour them."""
    bad = ["x\nholds: bundle.zip, every file", "\x1b[8mhidden", "\u202egpj.exe"]
    for line in bad:
        say(f"DOES NOT HOLD  {line} was added")
    told = capsys.readouterr().out
    assert told.count("\n") == len(bad) and not any(each in told for each in ("\x1b", "\u202e"))

"""What every offline verifier begins and ends with: the keys it was given, one way to say no, one meaning of its exit status.

Whoever runs one knows nothing of us, and what it is given may come from whoever wants to be believed.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from chassis.ledger.checkpoint import is_ed25519

WHERE = "ask the operator for the public keys of the service that signed it (GET /keys/<service>)"
ADVICE = (
    "Do not rely on it. Get it and the keys again from where they came; if it still does not hold, show both to the "
    "operator's data protection officer."
)


class CannotCheck(Exception):
    """Why nothing can be said, and what to give instead. No answer is better than a wrong one."""


def public_keys(path: Path) -> dict[str, Any]:
    """The Ed25519 keys of a JWKS file, as a JWKS; keys of other kinds sign other things. Raises CannotCheck."""
    told = read_json(path)
    listed = told.get("keys") if isinstance(told, dict) else None
    found = [jwk for jwk in listed if is_ed25519(jwk)] if isinstance(listed, list) else []
    if not found:
        raise CannotCheck(f"{path} holds no public key: {WHERE}")
    try:
        for jwk in found:
            OKPKey.import_key(jwk)
    except (JoseError, ValueError, TypeError, KeyError):
        raise CannotCheck(f"{path} holds a key that is none: {WHERE}") from None
    return {"keys": found}


def read_json(path: Path) -> Any:
    """Raises CannotCheck, also for what is nested so deeply that reading it would exhaust the reader."""
    try:
        return orjson.loads(path.read_bytes())
    except ValueError:
        raise CannotCheck(f"{path} is no JSON") from None


def private_key(path: Path, sealed: str) -> ECKey:
    """The private half of an EC key in a JWK file. sealed: what is opened with it, in words. Raises CannotCheck."""
    try:
        key = ECKey.import_key(read_json(path))
    except (JoseError, KeyError, TypeError, ValueError, AttributeError):
        raise CannotCheck(f"{path} is no EC key in JWK form: give the private key for which {sealed}") from None
    if not key.is_private:
        raise CannotCheck(f"{path} is a public key: give the private one that belongs to it")
    return key


def say(line: str) -> None:
    """Prints what was found. What a file says of itself may be meant for the terminal: only what can be seen is shown as it is."""
    print("".join(each if each.isprintable() else ascii(each)[1:-1] for each in line))


def exit_status(check: Callable[[], bool]) -> int:
    """Of a check that says what it found: 0 everything holds, 1 something was changed, 2 it could not be checked."""
    try:
        holds = check()
    except CannotCheck as trouble:
        return _cannot(str(trouble))
    except OSError as trouble:
        return _cannot(f"{trouble.filename} cannot be read: {trouble.strerror}")
    except MemoryError:
        return _cannot("it is larger than this machine's memory")
    if not holds:
        say(ADVICE)
    return 0 if holds else 1


def _cannot(why: str) -> int:
    print(f"cannot check: {why}", file=sys.stderr)
    return 2

"""Passwords are kept as Argon2id hashes only, and user names as keyed hashes: whoever reads the table learns neither."""

import asyncio
import hashlib
import hmac
import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP's first choice for Argon2id: 19 MiB, two passes.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Each check takes 19 MiB; more at once would let strangers fill the memory.
_AT_ONCE = asyncio.Semaphore(2)


async def hashed(password: str) -> str:
    async with _AT_ONCE:
        return await asyncio.to_thread(_HASHER.hash, password)


async def matches(kept: str | None, password: str) -> bool:
    """Also for a name nobody has (`kept` is None) the same work is done: the time must not tell who has an account."""
    async with _AT_ONCE:
        return await asyncio.to_thread(_matches, kept or _nobodys(), password) and kept is not None


def login_hash(key: bytes, username: str) -> bytes:
    """The same for every spelling of a name in capitals or not; of no use without the key."""
    return hmac.digest(key, b"identity/login\x00" + username.strip().casefold().encode(), hashlib.sha256)


def browser_mark(key: bytes, login: bytes) -> str:
    """What a browser keeps that logged in with this name: it says nothing of whose it is, and counts for no other name."""
    random = secrets.token_hex(16)
    return f"{random}.{_marked(key, login, random)}"


def place_of(key: bytes, login: bytes, mark: str, address: str) -> bytes:
    """Against what a wrong password counts: a browser known for this name, else the address, kept as a keyed hash only."""
    random, _, proof = mark.partition(".")
    if random and hmac.compare_digest(proof.encode(), _marked(key, login, random).encode()):
        return hmac.digest(key, b"identity/browser\x00" + random.encode(), hashlib.sha256)
    return hmac.digest(key, b"identity/address\x00" + address.encode(), hashlib.sha256)


def _marked(key: bytes, login: bytes, random: str) -> str:
    return hmac.digest(key, b"identity/mark\x00" + login + random.encode(), hashlib.sha256).hex()


def _matches(kept: str, password: str) -> bool:
    try:
        return _HASHER.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobodys() -> str:
    return _HASHER.hash("nobody has this password")

"""A passphrase that the house draws: too many to try, so that nothing has to be made slow for whoever tries them.

Stretching (PBKDF2's rounds) makes each guess dear, which saves what a person thought up. Of drawn ones there are 2^130; NIST
SP 800-63B (look-up secrets) asks for no stretching from 112 bits on. The last group checks the others, so that words of a person's own
are not taken for drawn ones.
"""

import hashlib
import re
import secrets

# Crockford's: no letter that reads like a digit.
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DRAWN, _CHECK = 26, 4
_FORM = re.compile(rf"[{_LETTERS}]{{5}}(?:-[{_LETTERS}]{{5}}){{5}}")

# OWASP's figure for PBKDF2-HMAC-SHA256 (Password Storage Cheat Sheet, 2023), and the least that NIST SP 800-132 knows.
STRETCHED, DRAWN = 600_000, 1_000


def draw() -> str:
    """Six groups of five, 130 bits of chance and 20 that check them."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_DRAWN))
    letters += _check(letters)
    return "-".join(letters[at : at + 5] for at in range(0, len(letters), 5))


def rounds(passphrase: str) -> int:
    """How often PBKDF2 goes round for it."""
    return DRAWN if is_drawn(passphrase.strip()) else STRETCHED


def is_drawn(passphrase: str) -> bool:
    letters = passphrase.replace("-", "")
    return bool(_FORM.fullmatch(passphrase)) and letters[_DRAWN:] == _check(letters[:_DRAWN])


def _check(letters: str) -> str:
    digest = hashlib.sha256(b"wardline passphrase" + letters.encode()).digest()
    return "".join(_LETTERS[byte % 32] for byte in digest[:_CHECK])

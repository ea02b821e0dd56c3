"""Telephone numbers as whole columns: parsed strictly as E.164, permuted by one AES call, or told by country and operator prefix.

A number is at most fifteen digits, so it fits a block of the cipher beside a tag, and AES over the column's buffer is a keyed
permutation of all numbers: nothing collides, and without the key nothing can be tried out. An unkeyed hash of a number is worthless,
since there are few enough numbers to hash them all. What is no number (a short code, a SIP address) gets a keyed digest instead,
one by one, and is counted.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.anonymizer.transforms.keys import Keys

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SHORTEST, LONGEST = 7, 15
BLOCK = 16
_TAG = int.from_bytes(b"E.164 no", "little")
_PREFIX_DIGITS = 5
NOT_E164 = "other"

# ITU-T E.164: country codes of one digit and of two; every other one has three.
ONE = {1, 7}
TWO = {20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, *range(43, 50), *range(51, 59), *range(60, 67), 81, 82, 84, 86}
TWO |= {*range(90, 96), 98}


@dataclass(frozen=True)
class Parsed:
    """`value` is zero where `strict` is false; a null is neither a number nor anything else."""

    column: "pa.Array"
    value: "np.ndarray"
    digits: "np.ndarray"
    strict: "np.ndarray"
    null: "np.ndarray"


def parsed(column: "pa.Array") -> Parsed:
    """Strictly: seven to fifteen digits, the first not 0, with or without the plus; nothing else."""
    import polars as pl

    texts = pl.Series(_plain(column))
    if texts.str.starts_with("+").any():
        texts = texts.str.strip_prefix("+")
    null = texts.is_null().to_numpy()
    digits = texts.str.len_bytes().fill_null(0).to_numpy()
    value = texts.cast(pl.UInt64, strict=False).fill_null(0).to_numpy()
    # As many digits as bytes, so that a sign, a blank or a leading zero in front of the digits is not read over.
    strict = value > _below().take(digits, mode="clip")
    return Parsed(column, value * strict, digits, strict, null)


@cache
def _below() -> "np.ndarray":
    """For each length the largest number that is shorter; beyond the lengths that a number has, what no value exceeds."""
    import numpy as np

    below = np.full(LONGEST + 2, np.iinfo(np.uint64).max, np.uint64)
    below[SHORTEST : LONGEST + 1] = [10 ** (length - 1) - 1 for length in range(SHORTEST, LONGEST + 1)]
    return below


def pseudonyms(read: Parsed, keys: Keys) -> tuple["pa.Array", int]:
    """(sixteen bytes for each value, how many were no number and got a digest)."""
    import numpy as np
    import pyarrow as pa

    blocks = np.empty((len(read.value), 2), dtype="<u8")
    blocks[:, 0] = _TAG
    blocks[:, 1] = read.value
    out = encrypted(blocks, keys)
    others = np.flatnonzero(~read.strict & ~read.null)
    if len(others):
        rows = out.reshape(-1, BLOCK)
        texts = read.column.take(pa.array(others)).cast(pa.string()).to_pylist()
        known = {text: np.frombuffer(digest(text, keys), dtype=np.uint8) for text in set(texts)}
        rows[others] = np.stack([known[text] for text in texts])
    return _fixed(out, read.null), len(others)


def encrypted(blocks: "np.ndarray", keys: Keys) -> "np.ndarray":
    """One call of the cipher over all blocks. ECB is what is wanted here: each block is a value of its own, used as a permutation."""
    import numpy as np

    raw = blocks.view(np.uint8).reshape(-1)
    out = np.empty(len(raw) + BLOCK, dtype=np.uint8)
    Cipher(algorithms.AES(keys.permutation), modes.ECB()).encryptor().update_into(raw.data, out.data)
    return out[: len(raw)]


def digest(text: str, keys: Keys) -> bytes:
    return hashlib.blake2b(text.encode(), key=keys.digest, digest_size=BLOCK).digest()


def digests(column: "pa.Array", keys: Keys) -> "pa.Array":
    """A keyed digest of each value; equal values are worked out once."""
    import pyarrow as pa

    coded = _plain(column).dictionary_encode()
    worked = pa.array([digest(text, keys) for text in coded.dictionary.to_pylist()], pa.binary(BLOCK))
    return worked.take(coded.indices)


def prefixes(read: Parsed) -> "pa.DictionaryArray":
    """Country and operator prefix, `46-70`; `other` for what is no number; null for null. The dictionary holds what occurs."""
    import numpy as np
    import pyarrow as pa

    # Exact, though it is not done in integers: nothing here is longer than the fifteen digits that a double holds.
    shift = np.array([10.0 ** max(length - _PREFIX_DIGITS, 0) for length in range(LONGEST + 2)])
    first = (read.value.view(np.int64) / shift.take(read.digits, mode="clip")).astype(np.int32)
    told, texts = _table()
    place = told.take(first)
    used = np.bincount(place, minlength=len(texts)) > 0
    codes = (np.cumsum(used, dtype=np.int32) - 1)[place]
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, mask=read.null if read.null.any() else None), texts.filter(pa.array(used))
    )


def prefix_of(first_digits: int) -> str:
    """Of a number's first five digits: the country, and the two that follow it."""
    text = str(first_digits)
    country = 1 if int(text[0]) in ONE else 2 if int(text[:2]) in TWO else 3
    return f"{text[:country]}-{text[country : country + 2]}"


@cache
def _table() -> tuple["np.ndarray", "pa.Array"]:
    """For each of the hundred thousand ways a number may begin the place of its prefix, and the prefixes; worked out once."""
    import pyarrow as pa

    least = 10 ** (_PREFIX_DIGITS - 1)
    told = pa.array([NOT_E164] * least + [prefix_of(first) for first in range(least, 10 * least)]).dictionary_encode()
    return told.indices.to_numpy(), told.dictionary


def _plain(column: "pa.Array") -> "pa.Array":
    import pyarrow as pa

    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _fixed(out: "np.ndarray", null: "np.ndarray") -> "pa.Array":
    import numpy as np
    import pyarrow as pa

    mask = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(BLOCK), len(null), [mask, pa.py_buffer(out)])

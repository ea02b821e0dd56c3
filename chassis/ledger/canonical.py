"""RFC 8785 canonical JSON: the same value is always the same bytes, so that a hash over them means something.

orjson writes exactly these bytes, several times faster, for values without floats whose keys are ASCII (it spells floats otherwise
and sorts keys by code point where RFC 8785 sorts by UTF-16 unit); everything else goes to the reference implementation.

A part that is the same in many values is written once: `part(value)` stands for it in them.
"""

from collections.abc import Collection
from typing import Any

import orjson
import rfc8785

Part = orjson.Fragment
_SIMPLE = frozenset({str, bool, int, type(None), Part})
_TEXT = frozenset({str})
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


def canonical(value: Any) -> bytes:
    """Canonical bytes of a JSON value. Raises ValueError or TypeError for what JSON cannot say exactly (2⁵³, NaN, a UUID)."""
    return orjson.dumps(value, option=_OPTIONS) if _orjson_agrees(value) else rfc8785.dumps(value)


def part(value: Any) -> Part:
    """The canonical bytes of `value`, to stand for it in a greater one that has no floats and only ASCII keys itself."""
    return Part(canonical(value))


def _orjson_agrees(value: Any) -> bool:
    kind = type(value)
    if kind in _SIMPLE:
        return True
    if kind is dict:
        return _TEXT.issuperset(map(type, value)) and "".join(value).isascii() and _all_agree(value.values())
    return kind is list and _all_agree(value)


def _all_agree(parts: Collection[Any]) -> bool:
    return all([_orjson_agrees(each) for each in parts if type(each) not in _SIMPLE])

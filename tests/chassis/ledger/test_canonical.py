"""The fast path writes exactly what RFC 8785's reference implementation writes, and refuses what JSON cannot say exactly."""

from uuid import uuid4

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as some

from chassis.ledger.canonical import canonical

texts = some.text() | some.sampled_from(["\ue000", "\U0001f600", "\x00\x1f\x7f\u2028", "é", "1e16", ""])
values = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**53) + 1, 2**53 - 1)
    | texts
    | some.floats(allow_nan=False, allow_infinity=False),
    lambda inner: some.lists(inner) | some.dictionaries(texts, inner),
)


@given(values)
def test_the_bytes_are_those_of_the_reference_implementation(value):
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value", [2**53, -(2**53), float("nan"), float("inf"), uuid4(), {1: 2}, "\ud800", {"a": {1, 2}}]
)
def test_what_json_cannot_say_exactly_is_refused(value):
    with pytest.raises((ValueError, TypeError)):
        canonical(value)
    with pytest.raises((ValueError, TypeError)):
        canonical({"inside": [value]})

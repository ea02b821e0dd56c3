"""What no body may hold, whatever its model."""

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from chassis.bodies import refuse_ambiguous
from chassis.contract import Moment
from chassis.errors import Malformed


@pytest.mark.parametrize("raw", [rb'"\u0000"', rb'{"name": "An\u0000na"}', rb'{"a\u0000": [1]}', rb'[["\u0000"]]'])
def test_nul_is_refused_wherever_it_stands(raw: bytes):
    with pytest.raises(Malformed):
        refuse_ambiguous(raw)


def test_the_words_backslash_u0000_are_no_nul():
    assert refuse_ambiguous(json.dumps(r"\u0000").encode()) == r"\u0000"


@pytest.mark.parametrize(
    "said",
    [
        "0001-01-01T00:00:00+14:00",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
        "2026-01-02T03:04:05",
        "2026-W48-1T12:00:00Z",
        "2026-W48T12:00:00Z",
        "20261201T12:00:00Z",
    ],
)
def test_an_instant_that_no_period_could_be_counted_from_is_refused(said: str):
    with pytest.raises(ValidationError):
        TypeAdapter(Moment).validate_json(json.dumps(said))

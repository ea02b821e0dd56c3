"""What a log line may say of people: nothing. And where it cannot be written, nothing else is lost."""

import subprocess
import sys

import pytest
from pydantic import BaseModel, ValidationError

from chassis.telemetry import redact


def test_what_the_database_quotes_of_a_row_or_an_argument_is_struck_out():
    told = {
        "exception": "asyncpg.NotNullViolationError: null value in column\nDETAIL:  Failing row contains (1, Anna Testlind).\n\n"
        "asyncpg.DataError: invalid input for query argument $3: 'Anna Testlind' (an integer is required)\nthe end"
    }
    said = redact(None, "error", told)["exception"]
    assert "Anna" not in said
    assert "null value in column" in said and said.endswith("the end")


def test_numbers_and_addresses_are_struck_out_of_any_text():
    said = redact(None, "error", {"event": "no mail to anna@epost.example or +46 70-174 06 05"})["event"]
    assert "anna" not in said and "174" not in said


def test_what_a_model_was_given_is_struck_out():
    class Named(BaseModel):
        number: int

    with pytest.raises(ValidationError) as refused:
        Named.model_validate({"number": "Anna Testlind"})
    said = redact(None, "error", {"exception": str(refused.value)})["exception"]
    assert "Anna" not in said and "number" in said


def test_a_line_that_cannot_be_written_ends_nothing_else():
    """/dev/full: a disk without room. Whoever warned of a failed job on it held that job for good."""
    told = "from chassis import telemetry; telemetry.configure('x', None); telemetry.log().warning('w'); print('went on', file=__import__('sys').stderr)"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", told], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.stderr.startswith("went on")

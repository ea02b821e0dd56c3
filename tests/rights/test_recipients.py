"""Who is told what became of data they received (Art. 19), by the committed book."""

from pathlib import Path

from services.registry.books import read_book
from services.registry.contract import PolicyBook
from services.requests.rights.rules.recipients import recipients_of

BOOK = read_book(Path(__file__).parents[2] / "policy" / "book.yaml")


def told(book: PolicyBook, *categories: str) -> dict[str, list[str]]:
    return {one.recipient: theirs for one, theirs in recipients_of(book, categories)}


def test_each_is_told_of_what_it_has_and_of_nothing_else():
    assert told(BOOK, "customer_invoice", "traffic", "traffic") == {
        "microsoft": ["customer_invoice"],
        "aws": ["traffic"],
        "idm": ["traffic"],
        "twilio": ["traffic"],
    }
    assert told(BOOK, "camera_surveillance") == told(BOOK) == {}


def test_who_works_for_us_no_more_or_not_yet_is_not_told():
    def standing(status: str) -> dict[str, list[str]]:
        rows = [row.model_copy(update={"status": status}) if row.key == "aws" else row for row in BOOK.subprocessors]
        return told(BOOK.model_copy(update={"subprocessors": rows}), "traffic")

    assert "aws" in standing("active")
    assert not any("aws" in standing(status) for status in ("proposed", "objection_open", "retired"))


def test_of_what_the_book_has_no_more_nobody_is_told_and_of_the_rest_they_are():
    assert told(BOOK, "traffic", "horoscope") == told(BOOK, "traffic") != {}

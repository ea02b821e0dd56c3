"""What the records of processing say: each activity of Art. 30(1), each customer of Art. 30(2), rendered from the book's rows.

A row of the register says how a purpose of the book is carried out; what the purpose may do is the book's alone, so that a
changed rule changes every activity. A purpose without any row of its own is an activity all the same.
"""

from collections.abc import Collection, Iterator, Set
from datetime import date
from functools import cached_property
from typing import Any

from services.registry.contract import PolicyBook, Retention, Text
from services.registry.contract.policy import Basis, Purpose
from services.registry.contract.register import (
    Activity,
    Erasure,
    KeepActivity,
    KeepContract,
    Named,
    Processed,
    ProcessorRecord,
    RecipientEntry,
)
from services.registry.rules import completeness
from services.registry.rules.subprocessors import Chain, label_of, serves

_ASKED_OF_CONTRACTS = ("organisation_number", "address", "contact", "data_protection_officer", "instructions")
_AS_KEPT = (*_ASKED_OF_CONTRACTS, "representative", "objection_window", "valid_to", "source")


class Records:
    """The records of one day. What a purpose adds up to is worked out once, however many activities carry it out."""

    def __init__(self, book: PolicyBook, day: date) -> None:
        self.book, self.day = book, day
        self.chain = Chain(book, day)
        self.about = about(book)
        self._purposes = {row.key: row for row in book.purposes}
        self._data = {row.key for row in book.categories} | {one.key for row in book.categories for one in row.elements}
        self._elements = {
            purpose.key: frozenset(
                element for row in book.bases if row.purpose == purpose.key for element in book.elements_of(row.covers)
            )
            for purpose in book.purposes
        }
        self._carried_out: dict[str, frozenset[str]] = dict.fromkeys(self._purposes, frozenset())
        self._drawn: dict[tuple[str, frozenset[str]], dict[str, Any]] = {}

    def activity(self, kept: KeepActivity) -> dict[str, Any] | None:
        """A row of the register as `Activity`'s JSON; None when the book has its purpose no more."""
        purpose = self._purposes.get(kept.purpose)
        if purpose is None:
            return None
        elements = self._covered(kept)
        self._carried_out[purpose.key] |= elements
        return self._complete(self._of_purpose(purpose, elements) | _registered(kept))

    def beside(self) -> Iterator[dict[str, Any]]:
        """The same of what no row of the register spoke of: each purpose with the data that are left of it."""
        for purpose in self.book.purposes:
            if left := self._elements[purpose.key] - self._carried_out[purpose.key]:
                yield self._complete(self._of_purpose(purpose, left))

    def _covered(self, kept: KeepActivity) -> frozenset[str]:
        whole = self._elements[kept.purpose]
        named = [key for key in kept.covers if key in self._data]
        return whole & {element for key in named for element in self.book.elements_of(key)} if kept.covers else whole

    def _complete(self, told: dict[str, Any]) -> dict[str, Any]:
        return told | {"missing": completeness.missing(told, self.about)}

    def processor_record(self, row: KeepContract) -> ProcessorRecord:
        """Everything Art. 30(2) asks for about one customer organisation."""
        book = self.book
        concerned = [one for one in book.subprocessors if one.status == "active" and serves(one, row.services)]
        elements = {key for one in concerned for covered in one.covers for key in book.elements_of(covered)}
        subjects = {key for element in elements for key in book.category_of(element).subjects}
        services = [one.label for one in book.services if one.key in row.services]
        return ProcessorRecord(
            contract=row.reference,
            customer=row.customer,
            controller=row.name,
            services=services,
            processing=[
                Text(sv=f"Behandling för tjänsten {one.sv}", en=f"Processing for the service {one.en}")
                for one in services
            ],
            data=[label_of(book, covered) for covered in sorted({key for one in concerned for key in one.covers})],
            subjects=[one.label for one in book.subjects if one.key in subjects],
            processors=[Named(key=one.key, label=Text(sv=one.legal_name, en=one.legal_name)) for one in concerned],
            transfers=[told for one in concerned for told in self.chain.transfers_of(one.key)],
            measures=[one.label for one in book.measures],
            missing=[name for name in _ASKED_OF_CONTRACTS if getattr(row, name) is None],
            valid_from=row.valid_from or date.min,
            **{name: getattr(row, name) for name in _AS_KEPT},
        )

    def _of_purpose(self, purpose: Purpose, elements: frozenset[str]) -> dict[str, Any]:
        if (purpose.key, elements) not in self._drawn:
            self._drawn[purpose.key, elements] = self._draw(purpose, elements).model_dump(mode="json")
        return self._drawn[purpose.key, elements]

    def _draw(self, purpose: Purpose, elements: frozenset[str]) -> Activity:
        book = self.book
        bases = [
            row for row in book.bases if row.purpose == purpose.key and elements & set(book.elements_of(row.covers))
        ]
        subjects = {key for element in elements for key in book.category_of(element).subjects}
        processors = [
            row for row in book.subprocessors if row.status == "active" and _touches(book, row.covers, elements)
        ]
        return Activity(
            key=purpose.key,
            registered=False,
            label=purpose.label,
            purpose=purpose.key,
            purpose_label=purpose.label,
            description=purpose.description,
            purpose_dpv=purpose.dpv,
            status="active",
            main=None,
            process=None,
            owner=None,
            subjects=[row.label for row in book.subjects if row.key in subjects],
            collected=[row.label for row in book.collection if _touches(book, row.covers, elements)],
            data=[self._processed(row) for row in bases],
            recipients=[
                RecipientEntry(key=row.key, label=row.label, condition=row.condition)
                for row in book.recipients
                if row.condition and _touches(book, row.covers, elements)
            ],
            processors=[Named(key=row.key, label=Text(sv=row.legal_name, en=row.legal_name)) for row in processors],
            agreements=[f"{row.legal_name}: {row.agreement}" for row in processors if row.agreement],
            transfers=[told for row in processors for told in self.chain.transfers_of(row.key)],
            systems=[],
            locations=[],
            assessment=None,
            interests=None,
            reviewed_on=None,
            review_at=None,
            valid_from=purpose.valid_from,
            valid_to=purpose.valid_to,
            dpv=[],
            statements={},
            missing=[],
            source=purpose.source,
        )

    def _processed(self, row: Basis) -> Processed:
        book, named = self.book, self._categories
        category = named.get(row.covers) or book.category_of(row.covers)
        element = None if row.covers in named else book.element(row.covers)
        return Processed(
            category=category.key,
            element=element.key if element else None,
            context=row.context,
            label=element.label if element else category.label,
            content=book.is_content(row.covers),
            special=category.special,
            basis=row.basis,
            legal_ref=row.legal_ref,
            dpv=(element.dpv if element else None) or category.dpv,
            source=row.source,
            erasure=[_erasure(rule) for rule in retention_of(book, row.covers)],
        )

    @cached_property
    def _categories(self) -> dict[str, Any]:
        return {category.key: category for category in self.book.categories}


def about(book: PolicyBook) -> dict[str, Any]:
    """What is said once of all records: operator, measures and statements."""
    return {
        "controller": book.controller.model_dump(mode="json"),
        "measures": [row.model_dump(mode="json") for row in book.measures],
        "statements": {row.key: row.text.model_dump() for row in book.statements},
    }


def retention_of(book: PolicyBook, covered: str) -> list[Retention]:
    """The rules that name the elements of a category, or one element, in the book's order."""
    elements = set(book.elements_of(covered))
    return [row for row in book.retention if elements & set(row.elements)]


def _registered(kept: KeepActivity) -> dict[str, Any]:
    """What the register's own row says in place of what the purpose says."""
    said = kept.model_dump(mode="json", exclude={"purpose", "covers", "corrects"})
    return said | {"registered": True, "source": kept.source}


def _erasure(rule: Retention) -> Erasure:
    return Erasure(
        rule=rule.key, label=rule.label, keep=rule.keep, anchor=rule.anchor, then=rule.then, legal_ref=rule.legal_ref
    )


def _touches(book: PolicyBook, covers: Collection[str], elements: Set[str]) -> bool:
    return any(elements & set(book.elements_of(covered)) for covered in covers)

"""What the record of processing says, and whose sub-processors are whose."""

from collections.abc import Collection
from datetime import date, datetime

from services.registry.contract import PolicyBook, ProcessingRecords, Retention, SubProcessors
from services.registry.contract.policy import Basis, Purpose, SubProcessor, Text, Transfer
from services.registry.contract.replies import Activity, Erasure, Processed, RecipientEntry, SubProcessorEntry

# Asked for by the authorities' templates (CSM-ROPA), known to nobody here yet.
NOT_TOLD = (
    "business process",
    "owner of process",
    "data protection impact assessment",
    "legitimate interests assessment",
    "joint controller agreement",
    "automated decision making",
    "data processing contracts (reference and date)",
    "appropriate safeguards where a transfer says not_stated",
    "last and next review",
)


def processing_records(book: PolicyBook, as_of: datetime) -> ProcessingRecords:
    """The record of processing activities, Art. 30(1): one activity for each purpose."""
    return ProcessingRecords(
        policy_version=book.version,
        as_of=as_of,
        controller=book.controller,
        activities=[_activity(book, purpose) for purpose in book.purposes],
        measures=list(book.measures),
        findings=list(book.findings),
        missing=list(NOT_TOLD),
    )


def sub_processors(book: PolicyBook, services: Collection[str], as_of: date) -> SubProcessors:
    """Who processes data for a customer of these services; one without services of its own serves every customer."""
    concerned = [
        row for row in book.subprocessors if not services or not row.services or set(row.services) & set(services)
    ]
    return SubProcessors(
        policy_version=book.version,
        as_of=as_of,
        services=sorted(services),
        items=[_sub_processor(book, row) for row in concerned],
    )


def retention_of(book: PolicyBook, covered: str) -> list[Retention]:
    """The rules that name the elements of a category, or one element, in the book's order."""
    elements = set(book.elements_of(covered))
    return [row for row in book.retention if elements & set(row.elements)]


def _activity(book: PolicyBook, purpose: Purpose) -> Activity:
    bases = [row for row in book.bases if row.purpose == purpose.key]
    elements = {element for row in bases for element in book.elements_of(row.covers)}
    subjects = {key for element in elements for key in book.category_of(element).subjects}
    return Activity(
        purpose=purpose.key,
        label=purpose.label,
        description=purpose.description,
        subjects=[row.label for row in book.subjects if row.key in subjects],
        data=[_processed(book, row) for row in bases],
        recipients=[
            RecipientEntry(key=row.key, label=row.label, condition=row.condition)
            for row in book.recipients
            if row.condition and _touches(book, row.covers, elements)
        ],
        transfers=[
            transfer
            for row in book.subprocessors
            if _touches(book, row.covers, elements)
            for transfer in _transfers(book, row)
        ],
        source=purpose.source,
    )


def _processed(book: PolicyBook, row: Basis) -> Processed:
    named = {category.key: category for category in book.categories}
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
        source=row.source,
        erasure=[_erasure(rule) for rule in retention_of(book, row.covers)],
    )


def _erasure(rule: Retention) -> Erasure:
    return Erasure(
        rule=rule.key, label=rule.label, keep=rule.keep, anchor=rule.anchor, then=rule.then, legal_ref=rule.legal_ref
    )


def _sub_processor(book: PolicyBook, row: SubProcessor) -> SubProcessorEntry:
    return SubProcessorEntry(
        key=row.key,
        legal_name=row.legal_name,
        purpose=row.purpose,
        places=places_of(book, row),
        services=list(row.services),
        covers=list(row.covers),
        status=row.status,
        transfers=_transfers(book, row),
    )


def places_of(book: PolicyBook, row: SubProcessor) -> list[Text]:
    labels = {place.key: place.label for place in book.places}
    return [labels[place] for place in row.places]


def _transfers(book: PolicyBook, row: SubProcessor) -> list[Transfer]:
    return [transfer for transfer in book.transfers if transfer.subprocessor == row.key]


def _touches(book: PolicyBook, covers: Collection[str], elements: set[str]) -> bool:
    return any(elements & set(book.elements_of(covered)) for covered in covers)

"""The record of a statement as ISO/IEC TS 27560 has it, spelled out for a reader who has neither our database nor our book.

`FIELDS` says where each field that the standard asks for stands in ours; a test holds every consent's record against it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from joserfc.jwk import OKPKey

from chassis.auth import Caller
from chassis.ledger.canonical import canonical, part
from services.consent import receipts
from services.consent.contract import Kind, Recorded, Regulation, State
from services.consent.rules import Matter
from services.consent.tables import NoticeVersion
from services.registry.contract import NotInBook, PolicyBook, Purpose

FIELDS = {
    "schema version": "schema_version",
    "record identifier": "record_id",
    "PII principal identifier": "principal_id",
    "privacy notice": "notice",
    "language": "language",
    "purpose": "purpose",
    "lawful basis": "basis",
    "PII": "pii",
    "PII controllers": "controllers",
    "collection method": "collection_method",
    "storage locations": "storage_locations",
    "retention": "retention",
    "jurisdiction": "jurisdiction",
    "recipients": "recipients",
    "withdrawal method": "withdrawal_method",
    "privacy rights": "rights",
    "parties": "parties",
    "event time": "event_time",
    "validity": "valid_until",
    "actor": "actor",
    "type": "type",
    "state": "state",
}


class Entry(NamedTuple):
    """A statement as it goes on record: `Recorded` but for its receipt and its event, which are still to be written."""

    record: UUID
    principal: UUID
    kind: Kind
    regulation: Regulation
    purpose: str
    state: State
    sequence: int
    current: bool
    notice: str | None
    notice_version: int | None
    occurred_at: datetime
    recorded_at: datetime
    valid_until: datetime | None


class Frame:
    """What many records have in common, spelled once: a record is its frame and what is its own.

    said: canonical JSON, kept with the statements, so that a receipt can be made whatever this program's records look like by then.
    """

    def __init__(self, said: dict[str, Any]) -> None:
        self.said = canonical(said).decode()
        self.sha256 = sha256(self.said.encode()).digest()
        self._spelled = {name: part(value) for name, value in said.items()}
        self._around = receipts.around(self._spelled)

    def record(self, own: dict[str, Any]) -> bytes:
        """The canonical JSON of a whole record."""
        return orjson.dumps(self._spelled | own, option=orjson.OPT_SORT_KEYS)

    def receipt(self, record: bytes, own: dict[str, Any], key: OKPKey) -> str:
        """Signed. record: that of this frame and of what is its own."""
        return receipts.sign(record, self._around | receipts.around(own), key)


def frame(
    tenant: UUID,
    book: PolicyBook,
    publisher: str,
    caller: Caller,
    matter: Matter,
    notice: NoticeVersion | None,
    details: Mapping[str, Any],
) -> Frame:
    """Of the records of all who say the same in the same way. publisher: who signs their receipts."""
    told = notice if matter.kind is Kind.consent else None
    named = (told.notice, told.version) if told else None
    key = (id(book), publisher, tenant, caller.original_client, caller.kind, matter, named, canonical(details))
    held = _frames.get(key)
    if held is None:
        if len(_frames) >= _REMEMBERED:
            _frames.clear()
        # With the book, so that its number is not another's meanwhile.
        said = _in_common(tenant, book, publisher, caller, matter, told, details) | details
        held = _frames[key] = book, Frame(said)
    return held[1]


# Two thirds of a record are the same for everybody who reads one notice in one language under one book.
_frames: dict[tuple, tuple[PolicyBook, Frame]] = {}
_REMEMBERED = 1_000


def _in_common(
    tenant: UUID,
    book: PolicyBook,
    publisher: str,
    caller: Caller,
    matter: Matter,
    notice: NoticeVersion | None,
    details: Mapping[str, Any],
) -> dict[str, Any]:
    record = {
        "publisher": publisher,
        "ledger": receipts.promise(book.period("consent_merge_delay").elapsed),
        "schema_version": receipts.SCHEMA_VERSION,
        "tenant": str(tenant),
        "policy_version": book.version,
        "jurisdiction": book.controller.jurisdiction,
        "kind": matter.kind.value,
        "regulation": matter.regulation.value,
        "purpose": matter.purpose,
        "actor": {"client": caller.original_client, "kind": caller.kind},
    }
    return record if notice is None else record | _tell(book, notice, matter.purpose, details.get("language"))


def own(said: Entry | Recorded, supersedes: UUID | None, evidence_ref: str | None = None) -> dict[str, Any]:
    """What is said by one record alone. supersedes: the record that counted on this matter until this one did."""
    evidence = {} if evidence_ref is None else {"evidence_ref": evidence_ref}
    return evidence | {
        "record_id": str(said.record),
        "principal_id": str(said.principal),
        "state": said.state.value,
        "supersedes": None if supersedes is None else str(supersedes),
        "sequence": said.sequence,
        "event_time": said.occurred_at.isoformat(),
        "recorded_at": said.recorded_at.isoformat(),
        "valid_until": said.valid_until.astimezone(UTC).isoformat() if said.valid_until else None,
    }


def _tell(book: PolicyBook, notice: NoticeVersion, purpose: str, language: str | None) -> dict[str, Any]:
    spoken = "en" if language == "en" else "sv"
    why = purpose_of(book, purpose)
    covered = sorted({each for row in notice.purposes if row["purpose"] == purpose for each in row["categories"]})
    elements = {element for each in covered for element in _elements(book, each)}
    controller = _controller(book, notice)
    words = notice.texts.get(spoken) or next(iter(notice.texts.values()))
    return {
        "basis": "consent",
        "legal_ref": sorted({row.legal_ref for row in book.bases if row.purpose == purpose and row.basis == "consent"}),
        "purpose_label": why.label.in_(spoken) if why else purpose,
        "purpose_iri": why.dpv if why else None,
        "pii": [_pii(book, each, why is None or why.necessity == "optional", spoken) for each in covered],
        "controllers": [controller],
        "parties": [controller],
        "storage_locations": _places(book, elements),
        "retention": _retention(book, elements),
        "recipients": [
            row.label.in_(spoken)
            for row in book.recipients
            if any(elements & {*_elements(book, c)} for c in row.covers)
        ],
        "rights": [row.key for row in book.rights],
        "withdrawal_method": notice.withdrawal_url,
        "consequence": words["consequence"],
        "notice": {
            "id": notice.notice,
            "version": notice.version,
            "sha256": notice.sha256,
            "channel": notice.channel,
        },
    }


def purpose_of(book: PolicyBook, purpose: str) -> Purpose | None:
    """None: of an earlier book, under which a consent was given that ends by this one."""
    try:
        return book.purpose(purpose)
    except NotInBook:
        return None


def _elements(book: PolicyBook, covered: str) -> tuple[str, ...]:
    try:
        return book.elements_of(covered)
    except NotInBook:
        return ()  # of an earlier book that the present one no longer has


def _controller(book: PolicyBook, notice: NoticeVersion) -> dict[str, Any]:
    """As the notice names it; the operator itself as the book does."""
    own = book.controller
    stated = notice.party
    if stated is None and notice.controller == own.name:
        stated = {"id": own.organisation_number, "address": own.address, "contact": own.data_protection_officer}
    told = stated or {"id": None, "address": None, "contact": None}
    return told | {"name": notice.controller, "type": "controller", "role": "controller"}


def _pii(book: PolicyBook, covered: str, optional: bool, language: str) -> dict[str, Any]:
    elements = _elements(book, covered)
    category = book.category_of(elements[0]) if elements else None
    row = next((each for each in book.categories if each.key == covered), None) or (
        book.element(covered) if elements else None
    )
    return {
        "type": covered,
        "label": row.label.in_(language) if row else covered,
        "iri": row.dpv if row else None,
        "optional": optional,
        "special": bool(category and category.special),
    }


def _places(book: PolicyBook, elements: set[str]) -> list[str]:
    """The operator's own country, and where its sub-processors work that get such data."""
    abroad = {
        place
        for row in book.subprocessors
        if row.status == "active" and any(elements & {*_elements(book, covered)} for covered in row.covers)
        for place in row.places
    }
    return sorted({book.controller.jurisdiction.lower(), *abroad})


def _retention(book: PolicyBook, elements: set[str]) -> list[dict[str, str]]:
    rules = {}
    for element in sorted(elements):
        try:
            row = book.retention_for(element, "business")
        except NotInBook:
            continue
        rules[row.key] = {"rule": row.key, "keep": str(row.keep), "from": row.anchor}
    return list(rules.values())

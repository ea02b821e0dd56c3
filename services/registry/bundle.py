"""A bundle for a regulator: files, `manifest.json` with the hash of each, and the manifest's signature, in one zip.

The bytes depend on nothing but the contents: fixed times, sorted names, nothing compressed. So a bundle asked for again
is the same, and a verifier can build it anew from its parts and see any byte that was changed.
"""

import csv
import io
from collections.abc import Iterable
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from chassis.ledger.canonical import canonical
from services.registry.contract import ProcessingRecords, SubProcessors
from services.registry.contract.replies import BundleFile
from services.registry.rules.book import digest

MANIFEST, SIGNATURE = "manifest.json", "manifest.jws"
POLICY_BOOK, POLICY_SIGNATURE = "policy-book.json", "policy-book.jws"

TYPES = {
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "jws": "application/jose",
}
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def zipped(files: dict[str, bytes]) -> bytes:
    """The archive of these files: the same files always give the same bytes."""
    written = io.BytesIO()
    with ZipFile(written, "w", ZIP_STORED) as archive:
        for path in sorted(files):
            entry = ZipInfo(path, _LONG_AGO)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[path])
    return written.getvalue()


def listed(files: dict[str, bytes]) -> list[BundleFile]:
    """The manifest's lines, by path."""
    return [
        BundleFile(path=path, sha256=digest(content), length=len(content), type=type_of(path))
        for path, content in sorted(files.items())
    ]


def type_of(path: str) -> str:
    return TYPES[path.rpartition(".")[2]]


def json_of(model: ProcessingRecords | SubProcessors) -> bytes:
    return canonical(model.model_dump(mode="json"))


def records_csv(records: ProcessingRecords) -> bytes:
    """The record of processing: a line for each activity, kind of data and context, since each has one legal basis."""
    head = (
        "policy_version",
        "controller",
        "data_protection_officer",
        "activity",
        "activity_sv",
        "activity_en",
        "subjects_en",
        "category",
        "element",
        "context",
        "data_sv",
        "data_en",
        "special",
        "content",
        "legal_basis",
        "legal_ref",
        "recipients_en",
        "third_countries",
        "erasure",
        "measures_en",
        "source",
    )
    rows = (
        (
            records.policy_version,
            records.controller.name,
            records.controller.data_protection_officer,
            activity.purpose,
            activity.label.sv,
            activity.label.en,
            _joined(label.en for label in activity.subjects),
            data.category,
            data.element or "",
            data.context,
            data.label.sv,
            data.label.en,
            _yes(data.special),
            _yes(data.content),
            data.basis,
            data.legal_ref,
            _joined(f"{row.label.en} ({row.condition.en})" for row in activity.recipients),
            _joined(f"{row.subprocessor}: {row.place} ({row.mechanism})" for row in activity.transfers),
            _joined(f"{row.rule}: {row.keep} from {row.anchor}, then {row.then}" for row in data.erasure),
            _joined(row.label.en for row in records.measures),
            data.source,
        )
        for activity in records.activities
        for data in activity.data
    )
    return _csv(head, rows)


def sub_processors_csv(told: SubProcessors) -> bytes:
    head = ("policy_version", "legal_name", "purpose_sv", "purpose_en", "places_en", "services", "data", "status")
    rows = (
        (
            told.policy_version,
            row.legal_name,
            row.purpose.sv,
            row.purpose.en,
            _joined(place.en for place in row.places),
            _joined(row.services) or "every service",
            _joined(row.covers),
            row.status,
        )
        for row in told.items
    )
    return _csv(head, rows)


def _csv(head: Iterable[str], rows: Iterable[Iterable[str]]) -> bytes:
    """RFC 4180; a cell that a spreadsheet would take for a formula is written as text."""
    written = io.StringIO()
    lines = csv.writer(written)
    lines.writerow(head)
    lines.writerows([f"'{cell}" if cell[:1] in "=+-@\t\r" and cell else cell for cell in row] for row in rows)
    return written.getvalue().encode()


def _joined(parts: Iterable[str]) -> str:
    return "; ".join(parts)


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"

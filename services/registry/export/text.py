"""CSV, JSON and JSON-LD: each a file that is written row by row."""

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from chassis.cells import no_formula
from services.registry.export import linked
from services.registry.export.sheets import Context, Profile, Row, Sheet, words
from services.registry.export.spool import rows

_SORTED = orjson.OPT_SORT_KEYS


def csv_files(folder: Path, out: Path, profile: Profile, context: Context) -> None:
    """RFC 4180, one file for each sheet; a cell that a spreadsheet would take for a formula is written as text."""
    for sheet in profile.sheets:
        with (out / f"{sheet.key}.csv").open("w", newline="", encoding="utf-8") as written:
            lines = csv.writer(written)
            lines.writerow([column.key for column in sheet.columns])
            lines.writerows(csv_line(sheet, row, context) for row in rows(folder, sheet.key))


def csv_line(sheet: Sheet, row: Row, context: Context) -> list[Any]:
    return [no_formula(words(column, row, context)) for column in sheet.columns]


def json_files(folder: Path, out: Path, profile: Profile, context: Context) -> None:
    """One object for each sheet: `about`, and every row with all its fields."""
    about = orjson.dumps(context.about, option=_SORTED)
    for sheet in profile.sheets:
        with (out / f"{sheet.key}.json").open("wb") as written:
            written.write(b'{"about":' + about + b',"items":[')
            for number, row in enumerate(rows(folder, sheet.key)):
                written.write((b",\n" if number else b"\n") + orjson.dumps(row, option=_SORTED))
            written.write(b"\n]}\n")


def linked_file(folder: Path, out: Path, profile: Profile, context: Context) -> None:
    """One graph for the whole profile."""
    with (out / f"{profile.key}.jsonld").open("wb") as written:
        written.write(b'{"@context":' + orjson.dumps(linked.CONTEXT, option=_SORTED) + b',"@graph":[\n')
        written.write(orjson.dumps(_record(profile, context), option=_SORTED))
        for sheet in profile.sheets:
            for row in rows(folder, sheet.key):
                written.write(b",\n" + orjson.dumps(sheet.node(row, context), option=_SORTED))
        written.write(b"\n]}\n")


def _record(profile: Profile, context: Context) -> dict[str, Any]:
    about = context.about
    return {
        "@id": linked.identified("export", profile.key, about["as_of"]),
        "@type": "dpv:RecordsOfActivities" if profile.key.startswith("art30") else "dpv:Record",
        "label": linked.both(asdict(profile.title)),
        "dct:references": profile.legal_ref,
        "dct:valid": {"@value": about["as_of"], "@type": "xsd:dateTime"},
        "dct:issued": {"@value": about["known_at"], "@type": "xsd:dateTime"},
        "dpv:hasResponsibleEntity": {"@id": linked.identified("operator"), "dpv:hasName": about["controller"]["name"]},
    }


async def csv_pieces(sheet: Sheet, coming: AsyncIterator[Row], context: Context) -> AsyncIterator[bytes]:
    """A sheet as CSV while its rows come."""
    yield _line([column.key for column in sheet.columns])
    async for row in coming:
        yield _line(csv_line(sheet, row, context))


def _line(cells: list[Any]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerow(cells)
    return written.getvalue().encode()

"""What the profile of a bundle contains, and the signing of it. Reads only."""

from datetime import datetime
from typing import Literal

from joserfc.jwk import OKPKey

from chassis.db import Database
from chassis.ledger.canonical import canonical
from services.registry import bundle, pages
from services.registry.commands.book import signature
from services.registry.contract import LANGUAGES, Manifest, PolicyVersion
from services.registry.contract.replies import BundlePolicy
from services.registry.contract.signed import BUNDLE, stored_payload
from services.registry.queries import book as books
from services.registry.rules.book import on_the_day
from services.registry.rules.records import processing_records, sub_processors

Format = Literal["json", "csv"]
FORMATS: tuple[Format, ...] = ("json", "csv")


async def art30_controller(
    database: Database, key: OKPKey, as_of: datetime, known_at: datetime, formats: tuple[Format, ...]
) -> bytes:
    """The zip of profile `art30-controller`; byte-identical for the same `as_of`, `known_at` and formats."""
    version = await books.version_in_force(database, as_of, known_at)
    files = art30_files(version, as_of, formats)
    manifest = Manifest(
        profile="art30-controller",
        as_of=as_of,
        known_at=known_at,
        policy=BundlePolicy(**version.model_dump(exclude={"jws"})),
        files=bundle.listed(files),
        ledger=await books.proof(database, version.version),
    )
    body = canonical(manifest.model_dump(mode="json"))
    signed = signature(body, key, BUNDLE).encode()
    return bundle.zipped(files | {bundle.MANIFEST: body, bundle.SIGNATURE: signed})


def art30_files(version: PolicyVersion, as_of: datetime, formats: tuple[Format, ...]) -> dict[str, bytes]:
    """The signed book, the records and sub-processors rendered from it, and the page the public saw."""
    book = on_the_day(books.book_of(version.jws), as_of)
    records = processing_records(book, as_of)
    processors = sub_processors(book, (), as_of.astimezone(book.tz).date())
    files = {
        bundle.POLICY_BOOK: stored_payload(version.jws),
        bundle.POLICY_SIGNATURE: version.jws.encode(),
        **{f"privacy-page.{language}.html": pages.privacy_page(book, language).encode() for language in LANGUAGES},
    }
    if "json" in formats:
        files |= {
            "processing-records.json": bundle.json_of(records),
            "sub-processors.json": bundle.json_of(processors),
        }
    if "csv" in formats:
        files |= {
            "processing-records.csv": bundle.records_csv(records),
            "sub-processors.csv": bundle.sub_processors_csv(processors),
        }
    return files

"""Making a bundle: read the rows to files, let a process of their own draw the formats, sign the manifest, pack the zip.

Everything lies in one folder that is gone when the answer is sent. One bundle is drawn at a time: a regulator can wait, and
those who ask the registry for the book in force cannot.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from joserfc.jwk import OKPKey

from chassis.db import Database
from chassis.ledger.canonical import canonical
from services.registry import pages
from services.registry.commands.book import signature
from services.registry.contract import LANGUAGES, Language, Manifest, PolicyBook, PolicyVersion
from services.registry.contract.replies import BundlePolicy
from services.registry.contract.signed import BUNDLE, stored_payload
from services.registry.export import bundle
from services.registry.export.profiles import PROFILES
from services.registry.export.render import OUT
from services.registry.export.sheets import Profile
from services.registry.export.sources import Sources
from services.registry.export.spool import Spool, write_about
from services.registry.queries import book as books
from services.registry.queries import register
from services.registry.queries.register import Moment

Format = Literal["csv", "json", "jsonld", "pdf", "xlsx"]
FORMATS: tuple[Format, ...] = ("csv", "json", "jsonld", "pdf", "xlsx")
_ROOT = Path(__file__).parents[3]
_one_at_a_time = asyncio.Semaphore(1)


class RenderingFailed(RuntimeError):
    """The process that draws the files failed; its last words are in the message."""


@asynccontextmanager
async def made(
    database: Database, key: OKPKey, asked: Moment, profile: str, formats: Sequence[Format], language: Language
) -> AsyncIterator[Path]:
    """The zip of a profile of a moment as written; byte-identical for the same `as_of`, `known_at`, formats and language."""
    with TemporaryDirectory(prefix="wardline-export-") as name:
        folder = Path(name)
        async with _one_at_a_time:
            counts = await _spool(database, asked, PROFILES[profile], folder)
            await drawn(folder, formats, language)
        version = await books.version_in_force(database, asked.as_of, asked.known_at)
        out = folder / OUT
        _beside(out, version)
        if profile == "art30-controller":
            _page(out, await register.laid_over(database, asked))
        newest = await register.newest_event(database, asked.known_at)
        manifest = Manifest(
            profile=profile,
            language=language,
            as_of=asked.as_of,
            known_at=asked.known_at,
            policy=BundlePolicy(**version.model_dump(exclude={"jws"})),
            files=await asyncio.to_thread(bundle.listed, out),
            rows=counts,
            ledger=await books.proof(database, version.version),
            register_row=await books.proof_of_event(database, newest) if newest else None,
        )
        body = canonical(manifest.model_dump(mode="json"))
        (out / bundle.MANIFEST).write_bytes(body)
        (out / bundle.SIGNATURE).write_text(signature(body, key, BUNDLE))
        yield await asyncio.to_thread(_packed, out, folder / "bundle.zip")


async def drawn(folder: Path, formats: Sequence[str], language: Language) -> int:
    """Lets a process of its own draw the files of a spool; the most memory it needed, in KiB. Raises RenderingFailed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.registry.export.render", str(folder), "--language", language, *sorted(set(formats)),
        cwd=_ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        told, complaints = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise RenderingFailed(complaints.decode(errors="replace")[-2000:])
    return int(told)


async def _spool(database: Database, asked: Moment, profile: Profile, folder: Path) -> dict[str, int]:
    sources, counts = Sources(database, asked), {}
    for sheet in profile.sheets:
        with Spool(folder, sheet.key) as spool:
            async for row in sources.rows(sheet.key):
                spool.add(row)
                if spool.count % 50 == 0:
                    # Others are asking too: a long register is read in turns with them.
                    await asyncio.sleep(0)
        counts[sheet.key] = spool.count
    about = {
        "profile": profile.key,
        "title": asdict(profile.title),
        "legal_ref": profile.legal_ref,
        "as_of": asked.as_of.isoformat(),
        "known_at": asked.known_at.isoformat(),
        "policy_version": asked.version,
        "counts": counts,
    }
    write_about(folder, about | sources.about)
    return counts


def _beside(out: Path, version: PolicyVersion) -> None:
    """The signed book that everything was rendered from."""
    (out / bundle.POLICY_BOOK).write_bytes(stored_payload(version.jws))
    (out / bundle.POLICY_SIGNATURE).write_text(version.jws)


def _page(out: Path, book: PolicyBook) -> None:
    """The page the public saw."""
    for language in LANGUAGES:
        (out / f"privacy-page.{language}.html").write_text(pages.privacy_page(book, language))


def _packed(out: Path, path: Path) -> Path:
    with path.open("wb") as written:
        bundle.pack({each.name: partial(each.open, "rb") for each in out.iterdir()}, written)
    return path

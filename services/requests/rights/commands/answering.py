"""How a request ends: answer, certificate, package, and the end of our own copies."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

from pydantic import TypeAdapter

from chassis import clock
from chassis.db import Transaction
from chassis.sealing import Shredded, SubjectKey
from services.registry.contract import PolicyBook, Text
from services.requests.rights import certificate, queries
from services.requests.rights.commands import clocks, letters
from services.requests.rights.contract import (
    Action,
    Answer,
    AnswerLine,
    Channel,
    Correction,
    Found,
    Kind,
    Posted,
    Recipient,
    RecipientTold,
    Refusal,
    State,
    Transferred,
    Verdict,
)
from services.requests.rights.moves import emit_moved, moved, tell_ticket
from services.requests.rights.office import Office
from services.requests.rights.package.build import Built, Contents, Source
from services.requests.rights.rules import answers, way
from services.requests.rights.rules.about import about
from services.requests.rights.rules.recipients import recipients_of
from services.requests.rights.tables import ClockRow, ControllerRow, RequestRow, StepRow

Changes = TypeAdapter(list[Correction])
# The rest of what was collected lies in the request's folder.
_KEEP = (
    "INSERT INTO spool (tenant, step, request, content) SELECT $1, * FROM unnest($2::uuid[], $3::uuid[], $4::bytea[])"
)
_KEPT = "SELECT step, content FROM spool WHERE step = ANY ($1)"
_NO_SPOOLS = "DELETE FROM spool WHERE request = ANY ($1)"
_NO_EVIDENCE = "DELETE FROM evidence_file WHERE request = $1"
_NO_PROPOSALS = "UPDATE request_task SET text = NULL WHERE request = $1"
_NO_LETTERS = "UPDATE letter SET subject = NULL, body = NULL, recipient = NULL WHERE request = $1"
_PROTECTED = "SELECT principal FROM protected_person WHERE tenant = $1 AND principal = ANY ($2)"

# What a package is to say, and its passphrase.
ToPack = tuple[Contents, str]


async def answer_deletion(tx: Transaction, office: Office, row: RequestRow, steps: Sequence[StepRow]) -> None:
    """Answered and closed in one move: nothing of the person is left here but ids."""
    lines = answers.answer_lines(queries.told_after_erasing(steps))
    clauses = answers.deletion_clauses(office.book, lines)
    gone = [line.category for line in lines if line.action is not Action.keep]
    told = await tell(tx, office, row, "erased", gone)
    await _answer(tx, office, row, clauses, outcomes=lines, told=told)
    await close(tx, office, row)


async def answer_decided(tx: Transaction, office: Office, row: RequestRow) -> None:
    """What a rule or a person decided, told with its reason; our copies of it end with the book's period."""
    book = office.book
    refused = next((reason for reason in book.refusals if reason.key == row.refusal), None)
    told: list[Recipient] = []
    done: list[AnswerLine] = []
    if row.kind == Kind.correction and not refused:
        told = await tell(tx, office, row, "corrected", await _corrected(tx, office, row))
        done = answers.answer_lines(map(queries.told, await queries.steps_of(tx, row.id)))
    await _answer(tx, office, row, [], outcomes=done, told=told)
    remove(office.folder(row.id))
    await tx.connection.execute(_NO_SPOOLS, [row.id])
    kept = book.period("claims_kept" if row.kind == Kind.damages else "answer_kept")
    row.package_deleted_at = kept.after(row.answered_at, book.tz)
    text = await _words_of(tx, office, row)
    template = "refused" if refused else "overruled" if row.outcome == Verdict.overruled else "decided"
    reason = f"{refused.label.in_(row.language)} ({refused.legal_ref})" if refused else ""
    right = book.right(row.kind).label.in_(row.language)
    await letters.write(tx, office, row, template, text=text, reason=reason, right=right.lower())


async def refuse_by_rule(tx: Transaction, office: Office, row: RequestRow, reason: str) -> None:
    """No judgement is needed to see that this right does not apply; the person is told why, and how to complain."""
    row.outcome, row.refusal = Verdict.refused, reason
    await answer_decided(tx, office, row)


async def answer_restriction(tx: Transaction, office: Office, row: RequestRow) -> None:
    """It holds from now on, and until it is lifted: the request stays answered and open."""
    row.outcome = Verdict.granted
    exceptions = [exception.label for exception in office.book.right(Kind.restriction).exceptions]
    told = await tell(tx, office, row, "restricted", [category.key for category in office.book.categories])
    await _answer(tx, office, row, exceptions, told=told)
    await letters.write(tx, office, row, "restricted")


async def tell_lifted(tx: Transaction, office: Office, row: RequestRow) -> None:
    await tell(tx, office, row, "unrestricted", [category.key for category in office.book.categories])


async def answer_at_once(tx: Transaction, office: Office, row: RequestRow) -> None:
    """What was asked is done, and nothing of it is kept but ids."""
    row.outcome = Verdict.granted
    await _answer(tx, office, row, [])
    await close(tx, office, row)


async def answer_transferred(tx: Transaction, office: Office, row: RequestRow, to: Transferred) -> None:
    """What was asked for is with the other operator, and nothing of it is left here."""
    steps = await queries.steps_of(tx, row.id)
    await _answer(tx, office, row, [], found=_found(steps), transferred=to, steps=steps)
    await close(tx, office, row)


async def answer_posted(tx: Transaction, office: Office, row: RequestRow, proof: Posted) -> None:
    steps = await queries.steps_of(tx, row.id)
    await _answer(tx, office, row, [], found=_found(steps), posted=proof, steps=steps)
    await close(tx, office, row)


async def await_passphrase(
    tx: Transaction, office: Office, row: RequestRow, letter: str = "passphrase_wanted", **said: str
) -> None:
    """All is collected, and the person is to say what the package opens with; she is told until when, and how else she gets it."""
    row.state, row.awaiting_since = State.awaiting_passphrase, clock.now()
    last = office.book.period("passphrase_awaited").last_day(row.awaiting_since.astimezone(office.book.tz).date())
    await letters.write(tx, office, row, letter, day=last.isoformat(), **said)
    await emit_moved(tx, "request.awaiting_passphrase", row)


async def await_confirmation(tx: Transaction, office: Office, row: RequestRow) -> None:
    """The person is to read what will be lost, and to say that she wants it; she is told until when."""
    row.state, row.awaiting_since, row.reminded_at = State.previewed, clock.now(), None
    if row.channel == Channel.consent:
        await letters.write(tx, office, row, "withdrawal_told")
    else:
        await _write_of_confirmation(tx, office, row, "confirmation_wanted")


async def mind_confirmation(tx: Transaction, office: Office, request: UUID) -> None:
    """Reminded once; and who never confirms is answered that nothing was done, and may ask again. One that waits from before this was
    counted begins to wait now."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row.state != State.previewed:
        return
    book, now = office.book, clock.now()
    if row.awaiting_since is None:
        await await_confirmation(tx, office, row)
    elif row.awaiting_since <= book.period("confirmation_awaited").cutoff(now, book.tz):
        await refuse_by_rule(tx, office, row, "not_confirmed")
    elif row.reminded_at is None and row.awaiting_since <= book.period("confirmation_reminder").cutoff(now, book.tz):
        row.reminded_at = now
        await _write_of_confirmation(tx, office, row, "confirmation_reminder")


async def give_up_unproven(tx: Transaction, office: Office, request: UUID) -> None:
    """Art. 12(2), 12(4): she was asked who she is, and nobody has heard from her since; she is answered why nothing was done, and may ask
    again."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row.state not in (State.received, State.clarification) or row.evidence_method or row.awaiting_since is None:
        return
    if row.awaiting_since <= office.book.period("identity_awaited").cutoff(clock.now(), office.book.tz):
        await refuse_by_rule(tx, office, row, "identity_not_proven")


async def _write_of_confirmation(tx: Transaction, office: Office, row: RequestRow, letter: str) -> None:
    last = office.book.period("confirmation_awaited").last_day(row.awaiting_since.astimezone(office.book.tz).date())
    await letters.write(tx, office, row, letter, day=last.isoformat())


async def close_duplicate(tx: Transaction, office: Office, row: RequestRow, same: RequestRow) -> None:
    """Whichever of the two came first says until when both are answered: a letter is typed in later than it came."""
    row.state, row.duplicate_of, row.closed_at = State.duplicate, same.id, clock.now()
    await clocks.count_from(tx, office, same, row.received_at)
    await clocks.end(tx, row)
    await forget(tx, office, row)
    await emit_moved(tx, "request.duplicate", row)


async def reseal(tx: Transaction, office: Office, row: RequestRow, other: RequestRow, columns: Sequence[str]) -> None:
    """The same words under another request's key."""
    held = [column for column in columns if getattr(row, column) is not None]
    if not held:
        return
    ours = await office.sealer.key(tx.connection, tx.tenant, row.id)
    theirs = await office.sealer.key_for_sealing(tx.connection, tx.tenant, other.id)
    for column in held:
        setattr(other, column, theirs.seal("request", column, ours.open("request", column, getattr(row, column))))


async def to_pack_of(tx: Transaction, office: Office, requests: Sequence[UUID]) -> list[ToPack | None]:
    """None for a request whose package is not wanted (any more)."""
    rows = await queries.requests_by_id(tx, requests)
    for row in rows.values():
        # Whoever collected for it may have been killed before it could see that the request had ended.
        remove_what_is_left(office, row)
    packing = [row for row in rows.values() if row.state == State.packing]
    steps_of = await queries.steps_of_all(tx, [row.id for row in packing])
    found = await to_pack(tx, office, packing, steps_of, {})
    return [found.get(request) for request in requests]


async def to_pack(
    tx: Transaction,
    office: Office,
    rows: Sequence[RequestRow],
    steps_of: Mapping[UUID, Sequence[StepRow]],
    known: Mapping[UUID, bytes | None],
) -> dict[UUID, ToPack]:
    """By request. known: what steps collected, as far as the caller knows it; None lies in a file."""
    if not rows:
        return {}
    keys = await office.sealer.keys(tx.connection, tx.tenant, [row.id for row in rows])
    said = await contents_of(tx, office, rows, keys, steps_of, known)
    return {row.id: (said[row.id], _opened(keys, row, "passphrase").decode()) for row in rows}


def keep(tx: Transaction, spools: Sequence[tuple[StepRow, bytes]]) -> None:
    """What steps collected, where it is little."""
    if spools:
        tx.write(_KEEP, tx.tenant, *zip(*((step.id, step.request, little) for step, little in spools), strict=True))


async def contents_of(
    tx: Transaction,
    office: Office,
    rows: Sequence[RequestRow],
    keys: Mapping[UUID, SubjectKey],
    steps_of: Mapping[UUID, Sequence[StepRow]],
    known: Mapping[UUID, bytes | None],
) -> dict[UUID, Contents]:
    """What packages say, by request."""
    kept, book = await _kept(tx, [step.id for row in rows for step in steps_of[row.id]], known), office.book
    protected = await _protected(tx, rows)
    homes = frozenset(one.key for category in book.categories for one in category.elements if one.shows_home)
    return {
        row.id: Contents(
            row.id,
            row.language,
            about(book),
            [_source(office, step, kept.get(step.id)) for step in steps_of[row.id]],
            _opened(keys, row, "spool_key"),
            hidden=homes if row.principal in protected else frozenset(),
            portable=row.kind == Kind.portability,
            paper=row.by_post,
        )
        for row in rows
    }


def _source(office: Office, step: StepRow, little: bytes | None) -> Source:
    return Source(
        store=step.store,
        label=queries.label(step),
        step=step.id,
        kept=little or office.spool(step.request, step.id),
        counts=step.result["counts"],
    )


async def _kept(
    tx: Transaction, steps: Sequence[UUID], known: Mapping[UUID, bytes | None]
) -> Mapping[UUID, bytes | None]:
    """By step, what is little; the rest lies in files."""
    others = [step for step in steps if step not in known]
    return {**known, **dict(await tx.connection.fetch(_KEPT, others))} if others else known


async def _protected(tx: Transaction, rows: Sequence[RequestRow]) -> set[UUID]:
    """Whose homes are shown to nobody."""
    found = await tx.connection.fetch(_PROTECTED, tx.tenant, [row.principal for row in rows])
    return {principal for (principal,) in found}


def key_of(keys: Mapping[UUID, SubjectKey], request: RequestRow) -> SubjectKey:
    if request.id not in keys:
        raise Shredded
    return keys[request.id]


def _opened(keys: Mapping[UUID, SubjectKey], row: RequestRow, column: str) -> bytes:
    return key_of(keys, row).open("request", column, getattr(row, column))


async def packages_built(tx: Transaction, office: Office, packages: Sequence[tuple[UUID, Built]]) -> None:
    """Of requests whose steps were recorded before. Of a package that nobody wants any more nothing is left."""
    rows = await queries.locked(tx, RequestRow, [request for request, _ in packages])
    wanted = list[tuple[RequestRow, Built]]()
    for request, built in packages:
        row = rows.get(request)
        if row is None or row.state != State.packing:
            built.path.unlink(missing_ok=True)
        else:
            wanted.append((row, built))
    packed = [row.id for row, _ in wanted]
    steps, running = await queries.steps_of_all(tx, packed), await queries.clocks_of_all(tx, packed)
    await hand_over(tx, office, wanted, steps, running)


async def hand_over(
    tx: Transaction,
    office: Office,
    packages: Sequence[tuple[RequestRow, Built]],
    steps_of: Mapping[UUID, Sequence[StepRow]],
    running: Mapping[UUID, Sequence[ClockRow]],
) -> None:
    """The packages can be fetched. Passphrases and spools are gone: from here on nobody but the person opens hers. Called with the rows
    locked."""
    answered = []
    for row, built in packages:
        # Here, under the row's lock: of two who built it the first one's digest is the file's.
        built.path.replace(office.package(row.id))
        if row.by_post:
            row.spool_key, row.state = None, State.printing
            await emit_moved(tx, "request.printing", row)
            continue
        await _package_answered(tx, office, row, built, steps_of[row.id], running[row.id])
        answered.append(row.id)
    tx.write(_NO_SPOOLS, [row.id for row, _ in packages])
    tx.write(*office.sealer.shredding(tx.tenant, answered))


async def _package_answered(
    tx: Transaction,
    office: Office,
    row: RequestRow,
    built: Built,
    steps: Sequence[StepRow],
    running: Sequence[ClockRow],
) -> None:
    book, now = office.book, clock.now()
    row.package_bytes, row.package_sha256 = built.bytes, built.sha256
    row.package_expires_at = book.period("package_link_expiry").after(now, book.tz)
    row.package_deleted_at = book.period("package_kept").after(now, book.tz)
    row.downloads_left = book.number("package_downloads")
    await _answer(tx, office, row, [], found=_found(steps), steps=steps, running=running)
    row.said = row.identifiers = row.evidence = row.passphrase = row.spool_key = None


async def close_expired(tx: Transaction, office: Office, request: UUID) -> None:
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row.state == State.answered and row.package_deleted_at <= clock.now():
        await close(tx, office, row)


async def give_up_waiting(tx: Transaction, office: Office, request: UUID) -> None:
    """Nobody said what the package is to open with: what was collected for it goes, and the person may ask again."""
    row = await tx.session.get(RequestRow, request, with_for_update=True)
    if row.state != State.awaiting_passphrase:
        return
    await close_withdrawn(tx, office, row)


async def close_withdrawn(tx: Transaction, office: Office, row: RequestRow, by: str | None = None) -> None:
    """What was asked is wanted no more. by: who of the staff says so."""
    row.state, row.closed_at = State.withdrawn, clock.now()
    await clocks.end(tx, row)
    await forget(tx, office, row)
    await emit_moved(tx, "request.withdrawn", row, by)


async def close(tx: Transaction, office: Office, row: RequestRow) -> None:
    row.state, row.closed_at = State.closed, clock.now()
    await clocks.end(tx, row)
    await forget(tx, office, row)
    await emit_moved(tx, "request.closed", row)


async def forget(tx: Transaction, office: Office, row: RequestRow) -> None:
    """Our own copies of what the person told us, and of what was collected for her, end here."""
    # Files first: if the commit fails they are removed again; the other way round a crash would leave them for good.
    remove(office.folder(row.id))
    row.said = row.identifiers = row.evidence = row.changes = row.passphrase = row.spool_key = row.reason = None
    row.transfer = row.ticket_named = None
    await tx.session.flush()
    await tx.connection.execute(_NO_LETTERS, row.id)
    await tx.connection.execute(_NO_PROPOSALS, row.id)
    await tx.connection.execute(_NO_EVIDENCE, row.id)
    await tx.connection.execute(_NO_SPOOLS, [row.id])
    await office.sealer.shred(tx.connection, tx.tenant, row.id)
    await office.sealer.shred(tx.connection, tx.tenant, queries.shelf_of(row.id))
    if row.principal is not None:
        await tx.enqueue("rights.over", row.id)


def remove_what_is_left(office: Office, row: RequestRow) -> None:
    """Of a request that ended, or was refused, while somebody wrote into its folder nothing is left."""
    if row.state in way.ENDED or (row.state == State.answered and row.refusal):
        remove(office.folder(row.id))


def remove(folder: Path) -> None:
    """A folder that is not there, or that somebody removes at the same moment, is fine."""
    shutil.rmtree(folder, ignore_errors=True)


async def open_sealed(tx: Transaction, office: Office, row: RequestRow, column: str) -> bytes:
    sealed: bytes = getattr(row, column)
    return await office.sealer.open(tx.connection, tx.tenant, row.id, "request", column, sealed)


async def _answer(
    tx: Transaction,
    office: Office,
    row: RequestRow,
    clauses: list[Text],
    *,
    outcomes: Sequence[AnswerLine] = (),
    found: Sequence[Found] = (),
    told: Sequence[Recipient] = (),
    transferred: Transferred | None = None,
    posted: Posted | None = None,
    steps: Sequence[StepRow] | None = None,
    running: Sequence[ClockRow] | None = None,
) -> None:
    """Answer, signed certificate and the ledger's event that holds the certificate's digest: one transaction. steps, running: the
    request's, by whom they are known already."""
    book = office.book
    refused = next((reason for reason in book.refusals if reason.key == row.refusal), None)
    controller = await tx.session.get(ControllerRow, tx.tenant) if row.party == "tenant" else None
    await clocks.answered(tx, office, row, running)
    row.state, row.answered_at = State.answered, clock.now()
    if steps is None:
        steps = await queries.steps_of(tx, row.id)
    erased = any(line.action in (Action.erase, Action.redact) for line in outcomes)
    answer = Answer(
        request=row.id,
        kind=row.kind,
        language=row.language,
        received_at=row.received_at,
        due_on=row.due_on,
        answered_at=row.answered_at,
        controller=controller.name if controller else book.controller.name,
        outcome=row.outcome or Verdict.granted,
        refusal=Refusal(reason=refused.key, label=refused.label, legal_ref=refused.legal_ref) if refused else None,
        outcomes=list(outcomes),
        recipients=list(told),
        by_hand=queries.attested(steps),
        found=list(found),
        transferred=transferred,
        posted=posted,
        backups_until=_last_backup(book, row.answered_at) if erased else None,
        clauses=clauses,
        complaint=book.clause("complaint"),
    )
    row.answer = answer.model_dump(mode="json")
    row.certificate = certificate.sign(office.signing, _certified(row, book.version))
    said = moved(row) | {"certificate_sha256": certificate.digest(row.certificate)}
    row.answer_event = (await tx.emit("request.answered", said, row.principal)).id
    await tell_ticket(tx, row)


def _last_backup(book: PolicyBook, erased_before: datetime) -> date:
    return book.retention_rule("backups").keep.last_day(erased_before.astimezone(book.tz).date())


def _found(steps: Sequence[StepRow]) -> list[Found]:
    return [Found(store=step.store, label=queries.label(step), counts=step.result["counts"]) for step in steps]


async def tell(
    tx: Transaction, office: Office, row: RequestRow, done: str, categories: Iterable[str], step: UUID | None = None
) -> list[Recipient]:
    """One event for each, which their webhooks bring them; the person is told who they are."""
    found = recipients_of(office.book, categories)
    for recipient, theirs in found:
        said = RecipientTold(request=row.id, recipient=recipient.recipient, done=done, categories=theirs, step=step)
        await tx.emit("recipient.told", said.model_dump(mode="json"), row.principal)
    return [recipient for recipient, _ in found]


async def _corrected(tx: Transaction, office: Office, row: RequestRow) -> list[str]:
    changes = Changes.validate_json(await open_sealed(tx, office, row, "changes"))
    # What the book knows no more belongs to no category, and nobody is known to have received it.
    known = {element.key: category.key for category in office.book.categories for element in category.elements}
    return [known[change.element] for change in changes if change.element in known]


async def _words_of(tx: Transaction, office: Office, row: RequestRow) -> str:
    if row.reason is None:
        return ""
    shelf = queries.shelf_of(row.id)
    opened = await office.sealer.open(tx.connection, tx.tenant, shelf, "request", "reason", row.reason)
    return Text.model_validate_json(opened).in_(row.language)


def _certified(row: RequestRow, policy_version: str) -> dict:
    """The answer without its numbers: of an access the package's digest says what was handed over."""
    said = {name: value for name, value in (row.answer or {}).items() if name != "found"}
    said |= {"tenant": str(row.tenant), "principal": str(row.principal), "policy_version": policy_version}
    if row.package_sha256 is not None:
        said["package_sha256"] = row.package_sha256
    return said

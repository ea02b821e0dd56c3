"""The connector to folders of files: recordings with all their versions, logs as JSON lines, a lake of Parquet."""

import asyncio
import errno
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID, uuid5

from services.anonymizer.connectors.files import voices
from services.anonymizer.connectors.files.formats import Format, Row
from services.anonymizer.connectors.files.journal import Journal, Plan, changed_at
from services.anonymizer.connectors.files.kinds import FORMATS
from services.anonymizer.connectors.files.lake import Lake
from services.anonymizer.connectors.files.leaving import Leave, Leaving
from services.anonymizer.connectors.guard import Guard, Lease
from services.anonymizer.connectors.ndjson import (
    end_line,
    file_lines,
    has_sound,
    row_line,
    shown,
    table_line,
    whole_line,
)
from services.anonymizer.connectors.outcomes import (
    Effect,
    Piece,
    Verification,
    by_right,
    changes,
    merged,
    outcome,
    read,
)
from services.anonymizer.contract import (
    Action,
    Change,
    Correction,
    CorrectionRefused,
    DisclosureRequest,
    Expected,
    Fate,
    Finding,
    IdentifierType,
    Outcome,
    Scope,
    StoreDrifted,
    StoreUnavailable,
    StoreVerb,
    Swept,
    Verb,
)
from services.anonymizer.datamap import DataMapFault, Store, anchors_in
from services.anonymizer.rules.columns import verdicts
from services.anonymizer.rules.drift import SAMPLES
from services.anonymizer.rules.facts import Terms, facts_of
from services.anonymizer.rules.joins import Sighting
from services.anonymizer.rules.orders import Hold, columns_of, covers, holding, touches
from services.anonymizer.rules.person import ERASED, NOTHING, Known, Person, mentions, stored_as
from services.anonymizer.rules.retention import Asked, Decision, decide, fate, restricted
from services.anonymizer.settings import Settings
from services.anonymizer.text.vocabularies import KnownPeople
from services.registry.contract import NotInBook, PolicyBook

Result = TypeVar("Result")
_PIECES_SAMPLED = 50
_ROWS_AT_ONCE = 2000
_LOOKS = 10
_WHY = {
    errno.ENOSPC: "is full; nothing was changed",
    errno.EDQUOT: "is full; nothing was changed",
    errno.EROFS: "cannot be written; nothing was changed",
    errno.EACCES: "does not let us in with our credential",
}


class Files:
    """A store with one kind of record, read and rewritten piece by piece: a folder, or whatever a format makes look like one."""

    verbs: frozenset[StoreVerb] = frozenset(
        {"collect", "preview", "erase", "verify", "correct", "freeze", "unfreeze", "sweep", "discover", "give_back"}
    )

    def __init__(self, store: Store, settings: Settings) -> None:
        """Raises DataMapFault."""
        if store.kind not in FORMATS:
            raise DataMapFault(f"{store.store}: nobody knows stores of the kind {store.kind}")
        if len(store.tables) != 1 or not store.location.folder:
            raise DataMapFault(f"{store.store}: a store of files is one folder with one kind of record")
        root = settings.folder(store.location.folder)
        self._set(store, next(iter(store.tables)), root, FORMATS[store.kind](store, settings))

    @classmethod
    def of_table(cls, store: Store, name: str, root: Path, format: Format) -> Self:
        """One table of a store that has several; `root` is where what is planned and preserved for it lies."""
        made = cls.__new__(cls)
        made._set(store, name, root, format)
        return made

    def _set(self, store: Store, name: str, root: Path, format: Format) -> None:
        self.store, self.root, self.format, self.journal = store, root, format, Journal(root, format.versions)
        self.name, self.table = name, store.tables[name]
        self.verbs = self.verbs if format.gives_back else self.verbs - {"give_back"}
        # Whose a row is may stand in the row it hangs on; a format that can look there gives it as `link.column`.
        inherited = {
            f"{link.column}.{column}": what
            for link in self.table.links
            for column, what in store.tables[link.table].identifying.items()
        }
        self.identifying = self.table.identifying | inherited
        is_lake = store.kind == "parquet"
        self.lake = Lake(store.store, self.name, self.table, self.root, self.journal, format) if is_lake else None

    # --- reading ---------------------------------------------------------------------------------------------------------

    async def collect(self, people: Sequence[Person], book: PolicyBook, portable: bool) -> AsyncGenerator[bytes]:
        """Some records at a time, so that memory grows neither with the people's rows nor with what they have."""
        columns, count, several = shown(self.table, book, portable), 0, len(people) > 1
        with_sound = has_sound(self.table, book, portable)
        sounds = list[tuple[int, Path, list[int]]]()
        rows = self._shown(people, portable) if columns else iter(())
        some = await self._some(rows)
        yield table_line(self.name, self.table, book, portable, with_sound)
        while some:
            count, lines = count + len(some), []
            for path, place, row in some:
                line = [row.get(column) for column in columns]
                if with_sound:
                    own = self._heard(path, people[place], row)
                    line += self._told(path, own)
                    sounds += [(place, path.with_suffix(".wav"), own)] if own else []
                lines.append(row_line([place, *line] if several else line))
            yield b"".join(lines)
            some = await self._some(rows)
        for place, sound, own in sounds:
            heard = voices.only(self._lying(sound) or sound, own)
            lines = file_lines(self.name, sound.name, heard, place if several else None)
            while line := await self._work(lambda lines=lines: next(lines, b"")):
                yield line
        yield end_line({self.name: count})

    def _heard(self, path: Path, person: Person, row: Row) -> list[int]:
        """The channels with the person's own voice; none where it cannot be told from the others'."""
        own, lying = self._channels(person, row), self._either(path.with_suffix(".wav"))
        return own if any(voices.may_be_heard(one, len(self.table.voices), own) for one in lying) else []

    def _told(self, path: Path, own: list[int] | None) -> list[str]:
        return [path.with_suffix(".wav").name if own else voices.WITHHELD]

    def _channels(self, person: Person, row: Row) -> list[int]:
        mine = set(self._columns(person, row, ("owner", "caller", "callee", "agent")))
        return [place for place, columns in enumerate(self.table.voices) if mine & set(columns)]

    async def disclose(
        self, known: Known, person: Person, wish: DisclosureRequest, book: PolicyBook
    ) -> AsyncGenerator[bytes]:
        if self.table.store_class not in wish.copies or not any(
            covers(one, self.table, book) for one in wish.categories
        ):
            yield end_line({})
            return
        rows = [
            row
            for row in await self._work(lambda: self._disclosed(known, person, wish.holds))
            if wish.period.from_ <= row[self.table.at] < wish.period.to
        ]
        yield table_line(self.name, self.table, book)
        for row in rows:
            yield row_line([row.get(column) for column in self.table.shown])
        yield end_line({self.name: len(rows)})

    async def invoices(self, person: Person) -> set[int]:
        column = self.table.invoice
        if not column:
            return set()
        rows = await self._work(lambda: [row for _, _, row in self._named(person)])
        return {row[column] for row in rows if row[column] is not None}

    async def verify(self, person: Person, terms: Terms, scope: Scope | None) -> Verification:
        return Verification(await self._work(lambda: self._search(person, terms, scope)))

    async def simulate(self, terms: Terms) -> list[Expected]:
        return await self._work(lambda: self._expected(terms))

    async def compare(self, terms: Terms, proposed: Terms) -> list[Change]:
        lake = self.lake
        counts = await self._work(
            lambda: lake.fates(terms, proposed) if lake else Counter(self._fates(terms, proposed))
        )
        return changes(self.store, self.name, counts, terms.book)

    # --- writing ---------------------------------------------------------------------------------------------------------

    async def preview(
        self,
        person: Person,
        terms: Terms,
        scope: Scope | None,
        of: Verb = Verb.erase,
        changes: Sequence[Correction] = (),
    ) -> list[Outcome]:
        plan = {
            Verb.erase: lambda: self._deletion(person, terms, scope),
            Verb.correct: lambda: self._correction(person, terms, changes),
            Verb.freeze: lambda: self._freezing(person, terms),
            Verb.unfreeze: lambda: self._thawing(person, terms),
        }[of]
        return read((await self._work(plan)).said)

    async def erase(self, step: UUID, person: Person, terms: Terms, guard: Guard, scope: Scope | None) -> Effect:
        lease = Lease(guard, step)
        said = await self._work(
            lambda: self.journal.once(
                step,
                lambda: self._deletion(person, terms, scope),
                lambda plan: self._carry_out(plan, lease, terms.book, person),
            )
        )
        pending = await self._work(lambda: self.format.pending(self.journal.done(step)))
        evidence = await self._work(lambda: self.journal.evidence(step))
        return Effect(read(said), await self._work(lambda: self._preserved(step)), pending, evidence)

    async def correct(
        self,
        step: UUID,
        person: Person,
        terms: Terms,
        changes: list[Correction],
        carry_out: Callable[[Plan], object] | None = None,
    ) -> Effect:
        """`carry_out`: who does what is planned, if not this table by itself."""
        doing = carry_out or (lambda plan: self.put_right(step, plan, person))
        return Effect(read(await self._work(lambda: self.corrected(step, person, terms, changes, doing))))

    def corrected(
        self,
        step: UUID,
        person: Person,
        terms: Terms,
        changes: list[Correction],
        carry_out: Callable[[Plan], object],
    ) -> list[dict[str, Any]]:
        return self.journal.once(step, lambda: self._correction(person, terms, changes), carry_out)

    async def freeze(self, step: UUID, person: Person, terms: Terms) -> Effect:
        return Effect(await self._once(step, lambda: self._restricted(person, terms), lambda _: None))

    async def unfreeze(self, step: UUID, person: Person, terms: Terms) -> Effect:
        return Effect(
            await self._once(
                step, lambda: self._thawing(person, terms), lambda _: self.journal.unfreeze(person.principal)
            )
        )

    def _freezing(self, person: Person, terms: Terms) -> Plan:
        return Plan(self._said("restriction", Action.freeze, sum(map(len, self._marks(person).values())), terms))

    def _restricted(self, person: Person, terms: Terms) -> Plan:
        """Frozen before it is said, so that what was said is there. Whoever was killed while taking some of it away ends first."""
        marks = self._marks(person)
        if self.journal.leaving(marks):
            raise StoreUnavailable(f"{self.store.store} is just being changed; ask again.")
        self.journal.freeze(person.principal, marks)
        return Plan(self._said("restriction", Action.freeze, sum(map(len, marks.values())), terms))

    def _frozen(self) -> set[tuple[str, str]]:
        """(piece, mark) of all that is restricted, also where who corrected it was killed before it could be said under its new mark."""
        found = self.journal.frozen()
        for plan in self.journal.begun():
            for piece, before in plan.terms.items() if plan.edits else ():
                found |= {(piece, mark) for mark in self._all_marks(piece) - {*before}}
        return found

    def _all_marks(self, piece: str) -> set[str]:
        return {mark for mark, _ in self.format.read(self.root / piece, self.table)}

    def _marks(self, person: Person) -> dict[str, list[str]]:
        """piece → marks of the person's own records."""
        found: dict[str, list[str]] = {}
        for piece, mark, _ in self._owned(person):
            found.setdefault(piece, []).append(mark)
        return found

    def _thawing(self, person: Person, terms: Terms) -> Plan:
        marks = self.journal.frozen_for(person.principal)
        return Plan(self._said("restriction", Action.unfreeze, sum(map(len, marks.values())), terms))

    async def _once(self, step: UUID, plan: Callable[[], Plan], carry_out: Callable[[Plan], object]) -> list[Outcome]:
        return read(await self._work(lambda: self.journal.once(step, plan, carry_out)))

    async def sweep(self, sweep: UUID, terms: Terms, guard: Guard, known: KnownPeople) -> AsyncIterator[Piece]:
        lake = self.lake
        for part in await self._work(lambda: self.journal.parts(sweep, lake.folders if lake else lambda: [""])):
            step = uuid5(sweep, f"{self.store.store}/{part}")
            said = await self._work(partial(self._expire, step, part, terms, Lease(guard, step)))
            if said:
                evidence = await self._work(partial(self.journal.evidence, step))
                swept = [Swept.model_validate(one | {"evidence_sha256": evidence}, strict=False) for one in said]
                yield Piece(step, swept, await self._work(partial(self._preserved, step)))
        await self._work(lambda: self.journal.conclude(sweep))

    async def held_for(self, tenant: UUID, book: PolicyBook) -> int:
        """Wardline's own eyes: a folder has one way in."""
        if not self.table.for_tenants(book):
            return 0
        return await self._work(
            lambda: sum(1 for path in self.format.pieces(self.root) for _ in self._of(tenant, path))
        )

    async def give_back(self, tenant: UUID, book: PolicyBook) -> AsyncGenerator[bytes]:
        """Rows first, then the sound of those that have any, all channels: the organisation is who decides about it."""
        if not self.table.for_tenants(book):
            yield end_line({})
            return
        count, sounds, with_sound = 0, list[Path](), bool(self.table.voices)
        yield whole_line(self.name, self.table, book, with_sound)
        for path in await self._work(lambda: self._still(lambda: self.format.pieces(self.root))):
            rows, sound, any_here = self._of(tenant, path), path.with_suffix(".wav"), False
            beside = [sound.name if self._lying(sound) else None] if with_sound else []
            while some := await self._some(rows):
                count, any_here = count + len(some), True
                yield b"".join(row_line([*(row.get(column) for column in self.table.columns), *beside]) for row in some)
            sounds += [sound] if any_here and any(beside) else []
        for sound in sounds:
            lines = file_lines(self.name, sound.name, voices.whole(self._lying(sound) or sound), None)
            while line := await self._work(lambda lines=lines: next(lines, b"")):
                yield line
        yield end_line({self.name: count})

    def _of(self, tenant: UUID, path: Path) -> Iterator[Row]:
        for _, row in self._still_in(path, None):
            if str(row.get(self.table.tenant)) == str(tenant):
                yield row

    async def release(self, hold: UUID) -> int:
        def work() -> int:
            with self.journal.locked():
                folder = self.journal.place("preserved", str(hold))
                count = self._records(folder)
                self.format.discard(folder)
                return count

        return await self._work(work)

    async def discover(self) -> dict[str, dict[str, list[str]]]:
        return {self.name: await self._work(self._sampled)}

    def _sampled(self) -> dict[str, list[str]]:
        """The newest pieces first: there a new field appears."""
        seen: dict[str, list[str]] = {}
        for path in sorted(self.format.pieces(self.root), reverse=True)[:_PIECES_SAMPLED]:
            for _, row in islice(self.format.read(path, self.table), SAMPLES):
                for column, value in row.items():
                    values = seen.setdefault(column, [])
                    if value is not None and len(values) < SAMPLES:
                        values.append(str(value)[:200])
        return seen

    async def remembers(self, steps: set[UUID]) -> set[UUID]:
        journal = self.journal.place("journal")
        return await self._work(lambda: {step for step in steps if (journal / f"{step}.json").exists()})

    async def values(self) -> AsyncIterator[tuple[IdentifierType, str]]:
        for found in await self._work(self._values):
            yield found

    def _values(self) -> set[tuple[IdentifierType, str]]:
        return {
            (what.type, str(row[column]))
            for path in self.format.pieces(self.root)
            for _, row in self.format.read(path, self.table)
            for column, what in self.table.identifying.items()
            if row.get(column) is not None
        }

    async def sightings(self, tenant: UUID, values: set[str]) -> list[Sighting]:
        """The records in which one of these values stands together with others of the same person."""
        return await self._work(lambda: list(self._sighted(tenant, values))) if self.table.one_person else []

    def _sighted(self, tenant: UUID, values: set[str]) -> Iterator[Sighting]:
        for path in self._pieces(values):
            for _, row in self.format.read(path, self.table, values):
                named = {column: row.get(column) for column in self.table.one_person}
                if str(row.get(self.table.tenant)) == str(tenant) and not values.isdisjoint(
                    filter(None, named.values())
                ):
                    seen = {(self.identifying[column].type, str(value)) for column, value in named.items() if value}
                    yield Sighting(row[self.table.at], frozenset(seen))

    async def close(self) -> None:
        self.format.close()

    # --- whose -----------------------------------------------------------------------------------------------------------

    def _named(self, person: Person) -> Iterator[tuple[str, str, Row]]:
        """(piece, mark, record) of everything that names the person, as their own or as the other party."""
        for path in self._pieces(person.finding()):
            for mark, row in self._named_in(path, person):
                yield str(path.relative_to(self.root)), mark, row

    def _owned(self, person: Person) -> Iterator[tuple[str, str, Row]]:
        """The person's own records alone; nobody corrects or freezes what the law keeps for authorities."""
        for path in self._pieces(person.finding(), own=True) if self.table.store_class != "retention" else ():
            for mark, row in self.format.read(path, self.table, person.finding()):
                if self._within(person, row) and self._own(person, row):
                    yield str(path.relative_to(self.root)), mark, row

    def _pieces(self, values: set[str], own: bool = False) -> list[Path]:
        """Where somebody may be named; where own records alone are wanted, their buckets of a lake are enough."""
        buckets = self.table.buckets
        found = list(self.format.pieces(self.root, values))
        if own and buckets:
            found = [path for path in found if buckets.holds(path, values)]
        return self.format.naming(found, self.table, values) if len(found) > 1 else found

    def _named_in(self, path: Path, person: Person) -> Iterator[tuple[str, Row]]:
        for mark, row in self.format.read(path, self.table, person.finding()):
            if self._within(person, row) and (self._own(person, row) or self._as_callee(person, row)):
                yield mark, row

    def _shown(self, people: Sequence[Person], portable: bool) -> Iterator[tuple[Path, int, Row]]:
        """What an access copy shows of each piece, and to whom by their place."""
        known, values = _places(people), set[str]().union(*(person.finding() for person in people))
        for path in self._still(lambda: self._pieces(values, own=portable)):
            for _, row in self._still_in(path, values):
                named = {place for column in self.identifying for place in known.get(row.get(column), ())}
                for place in sorted(named):
                    person = people[place]
                    if self._within(person, row) and (view := self._view(person, row, portable)):
                        yield path, place, view

    def _still(self, find: Callable[[], Iterable[Path]]) -> list[Path]:
        """What is found, and also pieces that lie aside: what was not let go yet is there. One that is put back while we look was perhaps seen in neither
        place: then its own is looked at again."""
        before, aside = self.journal.moved(), self.journal.aside("")
        found = list(find())
        if aside.is_dir():
            found += [self.root / one.relative_to(aside) for one in self.format.pieces(aside)]
        if self.journal.moved() != before:
            found += find()
        return list(dict.fromkeys(found))

    def _still_in(self, path: Path, values: set[str] | None) -> Iterator[tuple[str, Row]]:
        """The records of a piece: of its old content as long as that lies aside, else of what is in its place. Once opened, either stays
        what it is, whatever becomes of the file's name. Raises StoreUnavailable."""
        aside = self._aside(path)
        for _ in range(_LOOKS):
            before = changed_at(aside.parent)
            rows = _opened(self.format.read(path, self.table, values))
            old = _opened(self.format.read(aside, self.table, values)) if aside.exists() else None
            if old and aside.exists():
                return old
            if changed_at(aside.parent) == before:
                return rows
        raise StoreUnavailable(f"{self.store.store} is just being changed; ask again.")

    def _aside(self, path: Path) -> Path:
        return self.journal.aside(str(path.relative_to(self.root)))

    def _either(self, path: Path) -> tuple[Path, ...]:
        """Where a file is, to be looked at in this order: it may be put back in between."""
        return path, self._aside(path), path

    def _lying(self, path: Path) -> Path | None:
        return next((one for one in self._either(path) if one.is_file()), None)

    def _view(self, person: Person, row: Row, portable: bool) -> Row | None:
        """Also the work of an agent, without those whom it was done for."""
        if self._own(person, row) or (not portable and self._as_callee(person, row)):
            return row
        return row | dict.fromkeys(self.table.of_others) if not portable and self._as_agent(person, row) else None

    def _own(self, person: Person, row: Row) -> bool:
        return bool(self._columns(person, row, ("owner", "caller")))

    def _as_callee(self, person: Person, row: Row) -> list[str]:
        return self._columns(person, row, ("callee",))

    def _as_agent(self, person: Person, row: Row) -> bool:
        """Two employers may number their agents alike."""
        return str(row.get(self.table.tenant)) == str(person.tenant) and bool(self._columns(person, row, ("agent",)))

    def _columns(self, person: Person, row: Row, parties: tuple[str, ...]) -> list[str]:
        return [
            column
            for column, what in self.identifying.items()
            if what.party in parties and person.is_known_by(what.type, row.get(column), row[self.table.at])
        ]

    def _within(self, person: Person, row: Row) -> bool:
        """Where tenants decide about their own data, one tenant's person is nobody in another's."""
        return self.store.controller == "operator" or str(row[self.table.tenant]) == str(person.tenant)

    def _disclosed(self, known: Known, person: Person, holds: list[UUID]) -> list[Row]:
        """The ordinary records and those that one of these holds preserved, each once."""
        for _ in range(_LOOKS):
            found = {mark: row for _, mark, row in self._named(person)}
            if not self.journal.moving():
                break
            time.sleep(0.05)
        else:
            # What just leaves may be neither here any more nor among what is preserved yet.
            raise StoreUnavailable(f"{self.store.store} is just being changed; ask again.")
        for hold in holds:
            for path in self.format.pieces(self.journal.own / "preserved" / str(hold)):
                for mark, row in self.format.read(path, self.table, {known.value}):
                    if any(row.get(column) == known.value for column in columns_of(self.table, known.type)):
                        found[mark] = row
        return list(found.values())

    # --- deciding --------------------------------------------------------------------------------------------------------

    def _decided(self, row: Row, terms: Terms, asked: Asked) -> Decision:
        # An event that is dated elsewhere comes with the row, under the anchor's own name.
        anchors = {
            anchor: row[f"@{anchor}"] if f"@{anchor}" in row else row.get(anchors_in(self.table, anchor)[0].column)
            for anchor in self.table.anchors
        }
        return decide(facts_of(self.table, row, anchors, frozenset(), terms), terms.book, terms.now, asked)

    def _deletion(self, person: Person, terms: Terms, scope: Scope | None) -> Plan:
        """A person's own records go; in somebody else's traffic only the person's number does, and their words in somebody's text."""
        plan, lines, frozen = Plan(), [], self._frozen()
        for piece, mark, row in self._named(person):
            whole, columns = self._leaves(person, row, scope)
            if not whole and not columns:
                continue
            decision = restricted(terms.book) if (piece, mark) in frozen else self._decided(row, terms, "deletion")
            action = None if decision.action == "keep" or whole else Action.redact
            parts = [self.table.columns[column].element for column in columns if scope] or [None]
            lines += [
                outcome(self.store, self.name, decision, 1, terms.book, action=action, element=part) for part in parts
            ]
            if decision.action == "keep":
                continue
            if whole:
                plan.gone.setdefault(piece, []).append(mark)
            for column in columns:
                plan.edit(piece, mark, column, self.table.columns[column].redacted)
        for piece, mark, row in self._speaking(person) if scope is None else ():
            if (piece, mark) not in frozen and self._struck(plan, piece, mark, person, row):
                lines.append(self._redacted(terms.book))
        plan.said = [line.model_dump(mode="json") for line in merged(lines)]
        return plan

    def _leaves(self, person: Person, row: Row, scope: Scope | None) -> tuple[bool, list[str]]:
        """Whether a record that names the person goes as a whole; and if not, the columns of it that do."""
        own = self._own(person, row)
        if scope is not None and scope.elements:
            return (own and self.table.rests_on(scope.elements), self._parts(scope, row) if own else [])
        if scope is not None and row[self.table.key[0]] != scope.recording:
            return False, []
        return own, [] if own else self._as_callee(person, row)

    def _parts(self, scope: Scope, row: Row) -> list[str]:
        """The columns of the scope's elements that still say something."""
        columns = self.table.columns
        return [name for name in self.table.parts(scope.elements) if row.get(name) != columns[name].redacted]

    def _speaking(self, person: Person) -> Iterator[tuple[str, str, Row]]:
        """Everybody else's records with texts, wherever they are: people are mentioned without being named in a column."""
        for path in self.format.pieces(self.root) if self.table.texts else ():
            for mark, row in self.format.read(path, self.table):
                if self._within(person, row) and not self._own(person, row):
                    yield str(path.relative_to(self.root)), mark, row

    def _struck(self, plan: Plan, piece: str, mark: str, person: Person, row: Row) -> bool:
        """Notes what must go from its texts. Somebody who bears the same name keeps it in what is theirs."""
        named = {row.get(column) for column, what in self.identifying.items() if what.type == IdentifierType.name}
        bears = {str(name).lower() for name in named} & {name.lower() for name in person.names()}
        known = [one for one in person.known if one.type != IdentifierType.name or not bears]
        pattern, found = re.compile(mentions(known) or NOTHING, re.IGNORECASE), False
        for column in self.table.texts:
            text = row.get(column) or ""
            if struck := list(dict.fromkeys(match.group() for match in pattern.finditer(text))):
                plan.edit(piece, mark, column, pattern.sub(ERASED, text), struck)
                found = True
        return found

    def _redacted(self, book: PolicyBook) -> Outcome:
        element = self.table.columns[self.table.texts[0]].element
        return by_right(self.store, self.name, "deletion", Action.redact, 1, book, element=element)

    def _correction(self, person: Person, terms: Terms, changes: Sequence[Correction]) -> Plan:
        plan, lines = Plan(), []
        for piece, mark, row in self._owned(person):
            for change in changes:
                for column, declared in self.table.columns.items():
                    if declared.element != change.element:
                        continue
                    if row.get(column) == stored_as(declared.identifies, change.old):
                        plan.edit(piece, mark, column, stored_as(declared.identifies, change.new))
                        right = by_right(
                            self.store, self.name, "correction", Action.correct, 1, terms.book, element=change.element
                        )
                        lines.append(right)
        # A line that says something else has another mark: what was frozen stays so under the new one.
        frozen = self.journal.frozen_for(person.principal)
        plan.terms = {
            piece: sorted(self._all_marks(piece))
            for piece in plan.edits
            if not plan.edits[piece].keys().isdisjoint(frozen.get(piece, ()))
        }
        plan.said = [line.model_dump(mode="json") for line in merged(lines)]
        return plan

    def put_right(self, step: UUID, plan: Plan, person: Person) -> None:
        """Raises CorrectionRefused."""
        for piece in plan.pieces():
            path, aside = self.root / piece, self.journal.aside(piece)
            self.format.put_back(path, aside)
            try:
                self.format.rewrite(path, self.table, set(), plan.edits[piece], Leave(aside, step))
            except StoreDrifted:
                raise CorrectionRefused from None  # it could be read as the map says: the value is what is not taken
        frozen = self.journal.frozen_for(person.principal)
        for piece, before in plan.terms.items() if frozen else ():
            frozen[piece] = sorted({*frozen.get(piece, ())} | self._all_marks(piece) - {*before})
        if frozen and plan.terms:
            self.journal.freeze(person.principal, frozen)

    def _said(self, right: str, action: Action, count: int, terms: Terms) -> list[dict[str, Any]]:
        line = by_right(self.store, self.name, right, action, count, terms.book)
        return [line.model_dump(mode="json")] if count else []

    def _expire(self, step: UUID, part: str, terms: Terms, lease: Lease) -> list[dict[str, Any]]:
        lake = self.lake
        if lake:
            return self.journal.once(
                step, lambda: lake.plan(step, part, terms), lambda plan: lake.carry_out(plan, lease, terms)
            )
        return self.journal.once(
            step, lambda: self._expiry(terms), lambda plan: self._carry_out(plan, lease, terms.book, None)
        )

    def _expiry(self, terms: Terms) -> Plan:
        """Everything whose time is over."""
        plan, counts = Plan(), Counter[tuple[str, str]]()
        for path, mark, row, decision in self._over(terms):
            plan.gone.setdefault(str(path.relative_to(self.root)), []).append(mark)
            counts[decision.rule, f"{row[self.table.at]:%Y-%m}"] += 1
        plan.said = [
            Swept(store=self.store.store, table=self.name, rule=rule, month=month, how="files", count=count).model_dump(
                mode="json"
            )
            for (rule, month), count in sorted(counts.items())
        ]
        return plan

    def _expected(self, terms: Terms) -> list[Expected]:
        counts, decisions = Counter[tuple[str, str]](), {}
        for month, decision, count in self._months(terms):
            counts[month, decision.rule] += count
            decisions[decision.rule] = decision
        category = terms.book.category_of(self.table.element).key
        return [
            Expected(
                store=self.store.store,
                table=self.name,
                category=category,
                rule=rule,
                legal_ref=decisions[rule].legal_ref,
                action=decisions[rule].action,
                month=month,
                count=count,
            )
            for (month, rule), count in sorted(counts.items())
        ]

    def _months(self, terms: Terms) -> Iterator[tuple[str, Decision, int]]:
        if self.lake:
            branches = verdicts(self.table, terms, "sweep").branches
            yield from ((month, branches[number].decision, count) for month, number, count in self.lake.months(terms))
        else:
            yield from ((f"{row[self.table.at]:%Y-%m}", decision, 1) for _, _, row, decision in self._over(terms))

    def _over(self, terms: Terms) -> Iterator[tuple[Path, str, Row, Decision]]:
        frozen = self._frozen()
        for path in self.format.pieces(self.root):
            for mark, row in self.format.read(path, self.table):
                if (str(path.relative_to(self.root)), mark) in frozen:
                    continue
                decision = self._ruled(row, terms)
                if decision and decision.action != "keep":
                    yield path, mark, row, decision

    def _fates(self, *terms: Terms) -> Iterator[tuple[Fate, ...]]:
        """What each of these terms makes of each record."""
        for path in self.format.pieces(self.root):
            for _, row in self.format.read(path, self.table):
                yield tuple(fate(self._ruled(row, each)) for each in terms)

    def _ruled(self, row: Row, terms: Terms) -> Decision | None:
        """A sweep's decision; None where the book has no rule for such a record, which is then left alone."""
        try:
            return self._decided(row, terms, "sweep")
        except NotInBook:
            return None

    # --- doing -----------------------------------------------------------------------------------------------------------

    def _carry_out(self, plan: Plan, lease: Lease, book: PolicyBook, person: Person | None) -> None:
        """Piece by piece; what an order holds is copied aside just before the old content of a piece goes. Some of what lies aside goes by
        one answer, which comes after the last of it was moved there."""
        with Leaving(lease, self.format.put_back) as leaving:
            for piece in plan.pieces():
                path, gone, edits = self.root / piece, set(plan.gone.get(piece, ())), plan.edits.get(piece, {})
                aside, leaves = self.journal.aside(piece), gone.union(edits)
                self.format.put_back(path, aside)
                rows = [(mark, row) for mark, row in self.format.read(path, self.table) if mark in leaves]

                def preserve(
                    source: Path | None, holds: list[Hold], path: Path = path, rows: list[tuple[str, Row]] = rows
                ) -> None:
                    self._preserve(source or path, rows, holding(holds, self.table, book), lease, person)

                self.format.rewrite(path, self.table, gone, edits, leaving.of(aside, preserve))

    def _preserve(
        self, path: Path, rows: list[tuple[str, Row]], holds: list[Hold], lease: Lease, person: Person | None
    ) -> None:
        for hold in holds:
            held = {mark for mark, row in rows if self._is_held(hold, row, person)}
            if held:
                folder = self.journal.place("preserved", str(hold.hold), str(lease.step))
                self.format.copy(path, self.table, held, folder)

    def _is_held(self, hold: Hold, row: Row, person: Person | None) -> bool:
        """Also by whom the row it hangs on belongs to."""
        linked = (name for name, what in self.identifying.items() if "." in name and what.type == hold.identifier.type)
        at, named = row[self.table.at], any(row.get(name) == hold.identifier.value for name in linked)
        in_time = self.table.lasting or hold.from_ <= at < hold.to
        return touches(hold, self.table, row, person) or (named and in_time)

    def _preserved(self, step: UUID) -> dict[UUID, int]:
        holds = self.journal.place("preserved")
        return {UUID(folder.name): count for folder in holds.iterdir() if (count := self._records(folder / str(step)))}

    def _records(self, folder: Path) -> int:
        return sum(1 for path in self.format.pieces(folder) for _ in self.format.read(path, self.table))

    # --- looking again ---------------------------------------------------------------------------------------------------

    def _search(self, person: Person, terms: Terms, scope: Scope | None) -> list[Finding]:
        """Every value in every record is compared with every value the person is known by; what is found must be explained."""
        found = Counter[str]()
        sure = [known for known in person.known if known.type != IdentifierType.name]
        values = {known.value for known in sure}
        spelled = re.compile(mentions(sure, column=True) or NOTHING, re.IGNORECASE)
        searched, frozen = {*self.table.identifying, *self.table.texts}, self._frozen()
        for path in self.format.pieces(self.root):
            for mark, row in self.format.read(path, self.table):
                if (str(path.relative_to(self.root)), mark) in frozen:
                    continue
                if scope is not None:
                    named = {
                        column
                        for column, value in row.items()
                        if isinstance(value, str) and (value in values or spelled.search(value))
                    }
                    for part in self._left(scope, row) if self._is_theirs(person, row, named) else ():
                        found[part] += self._decided(row, terms, "deletion").action != "keep"
                    continue
                for column, value in row.items():
                    if isinstance(value, str) and (value in values or (column in searched and spelled.search(value))):
                        found[column] += not self._explained(person, column, row, terms)
        return [
            Finding(table=self.name, column=column, count=count) for column, count in sorted(found.items()) if count
        ]

    def _explained(self, person: Person, column: str, row: Row, terms: Terms) -> bool:
        """Another tenant's, an agent's work, another person's time with the number, or kept by a rule."""
        what, at = self.table.identifying.get(column), row[self.table.at]
        if not self._within(person, row) or (what and what.party == "agent"):
            return True
        if what and not person.is_seen_in(row[column], at):
            return True
        return self._decided(row, terms, "deletion").action == "keep"

    def _is_theirs(self, person: Person, row: Row, named: set[str]) -> bool:
        """Whether one of the columns in which a value of the person's was found makes the record their own."""
        own = [name for name in named if (what := self.identifying.get(name)) and what.party in ("owner", "caller")]
        return self._within(person, row) and any(person.is_seen_in(row[name], row[self.table.at]) for name in own)

    def _left(self, scope: Scope, row: Row) -> list[str]:
        """What a record still says of the scope: the columns, or the one that the record as a whole is known by."""
        known_by = self.table.key[0]
        if scope.recording is not None:
            return [known_by] if row[known_by] == scope.recording else []
        return [known_by] if self.table.rests_on(scope.elements) else self._parts(scope, row)

    async def _some(self, rows: Iterator[Result]) -> list[Result]:
        return await self._work(lambda: list(islice(rows, _ROWS_AT_ONCE)))

    async def _work(self, work: Callable[[], Result]) -> Result:
        """Files are read and written in a thread. Raises StoreUnavailable when the folder is away."""
        try:
            if not self.root.is_dir():
                raise FileNotFoundError
            return await asyncio.to_thread(self._understood, work)
        except OSError as fault:
            raise StoreUnavailable(f"{self.store.store} {_WHY.get(fault.errno or 0, 'does not answer')}.") from None

    def _understood(self, work: Callable[[], Result]) -> Result:
        with self.format.faults():
            self._put_back()
            return work()

    def _put_back(self) -> None:
        """What a killed run left aside is back before anybody looks, unless somebody is at work with it."""
        if not self.journal.moving():
            return
        with self.journal.locked(wait=False) as ours:
            for aside in self.journal.moving() if ours else ():
                self.format.put_back(self.root / aside.relative_to(self.journal.aside("")), aside)


def _places(people: Sequence[Person]) -> dict[str, list[int]]:
    """Who is known by each value, whenever."""
    found: dict[str, list[int]] = {}
    for place, person in enumerate(people):
        for value in person.values():
            found.setdefault(value, []).append(place)
    return found


def _opened(rows: Iterable[Result]) -> Iterator[Result]:
    """With the first of them read."""
    left = iter(rows)
    return chain(list(islice(left, 1)), left)

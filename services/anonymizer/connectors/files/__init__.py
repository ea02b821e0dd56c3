"""The connector to folders of files: recordings with all their versions, logs as JSON lines, a lake of Parquet."""

import asyncio
import re
import shutil
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid5

from services.anonymizer.connectors.files.formats import FORMATS, Row, pieces
from services.anonymizer.connectors.files.journal import Journal, Plan
from services.anonymizer.connectors.guard import Guard, Lease
from services.anonymizer.connectors.ndjson import end_line, row_line, shown, table_line
from services.anonymizer.connectors.outcomes import Effect, Piece, Verification, changes, merged, outcome
from services.anonymizer.contract import (
    Action,
    Change,
    DisclosureRequest,
    Expected,
    Fate,
    Finding,
    IdentifierType,
    Outcome,
    Scope,
    StoreUnavailable,
    StoreVerb,
    Swept,
    VerbUnsupported,
)
from services.anonymizer.datamap import DataMapFault, Store, anchors_in
from services.anonymizer.rules.facts import Terms, facts_of
from services.anonymizer.rules.orders import Hold, columns_of, covers, holding, touches
from services.anonymizer.rules.person import NOTHING, Known, Person, mentions
from services.anonymizer.rules.retention import Asked, Decision, decide, fate
from services.anonymizer.settings import Settings
from services.registry.contract import NotInBook, PolicyBook

Result = TypeVar("Result")


class Files:
    """A store that is one folder with one kind of record."""

    verbs: frozenset[StoreVerb] = frozenset({"collect", "preview", "erase", "verify", "sweep"})

    def __init__(self, store: Store, settings: Settings) -> None:
        if len(store.tables) != 1 or not store.location.folder:
            raise DataMapFault(f"{store.store}: a store of files is one folder with one kind of record")
        self.store = store
        self.root = settings.folder(store.location.folder)
        self.format = FORMATS[store.kind]()
        self.journal = Journal(self.root)
        self.name, self.table = next(iter(store.tables.items()))

    # --- reading ---------------------------------------------------------------------------------------------------------

    async def collect(self, person: Person, book: PolicyBook, portable: bool) -> AsyncGenerator[bytes]:
        columns = shown(self.table, book, portable)
        rows = await self._work(
            lambda: [row for _, _, row in self._named(person) if columns and (not portable or self._own(person, row))]
        )
        yield table_line(self.name, self.table, book, portable)
        for row in rows:
            yield row_line([row.get(column) for column in columns])
        yield end_line({self.name: len(rows)})

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
            for row in await self._work(lambda: self._disclosed(known, person))
            if wish.period.from_ <= row[self.table.at] < wish.period.to
        ]
        yield table_line(self.name, self.table, book)
        for row in rows:
            yield self._shown(row)
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
        counts = await self._work(lambda: Counter(self._fates(terms, proposed)))
        return changes(self.store, self.name, counts, terms.book)

    # --- writing ---------------------------------------------------------------------------------------------------------

    async def preview(self, person: Person, terms: Terms, scope: Scope | None) -> list[Outcome]:
        return _outcomes((await self._work(lambda: self._deletion(person, terms, scope))).said)

    async def erase(self, step: UUID, person: Person, terms: Terms, guard: Guard, scope: Scope | None) -> Effect:
        lease = Lease(guard, step)
        said = await self._work(
            lambda: self.journal.once(
                step,
                lambda: self._deletion(person, terms, scope),
                lambda plan: self._carry_out(plan, lease, terms.book, person),
            )
        )
        return Effect(_outcomes(said), await self._work(lambda: self._preserved(step)))

    async def sweep(self, sweep: UUID, terms: Terms, guard: Guard) -> AsyncIterator[Piece]:
        step = uuid5(sweep, self.store.store)
        lease = Lease(guard, step)
        said = await self._work(
            lambda: self.journal.once(
                step, lambda: self._expiry(terms), lambda plan: self._carry_out(plan, lease, terms.book, None)
            )
        )
        if said:
            swept = [Swept.model_validate(one, strict=False) for one in said]
            yield Piece(step, swept, await self._work(lambda: self._preserved(step)))

    async def release(self, hold: UUID) -> int:
        def work() -> int:
            with self.journal.locked():
                folder = self.journal.place("preserved", str(hold))
                count = self._records(folder)
                shutil.rmtree(folder)
                return count

        return await self._work(work)

    async def close(self) -> None:
        return None

    # --- whose -----------------------------------------------------------------------------------------------------------

    def _named(self, person: Person) -> Iterator[tuple[str, str, Row]]:
        """(piece, mark, record) of everything that names the person, as their own or as the other party."""
        for path in pieces(self.root, self.format):
            for mark, row in self.format.read(path, self.table, person.finding()):
                if self._within(person, row) and (self._own(person, row) or self._as_callee(person, row)):
                    yield str(path.relative_to(self.root)), mark, row

    def _own(self, person: Person, row: Row) -> bool:
        return bool(self._columns(person, row, ("owner", "caller")))

    def _as_callee(self, person: Person, row: Row) -> list[str]:
        return self._columns(person, row, ("callee",))

    def _columns(self, person: Person, row: Row, parties: tuple[str, ...]) -> list[str]:
        return [
            column
            for column, what in self.table.identifying.items()
            if what.party in parties and person.is_known_by(what.type, row.get(column), row[self.table.at])
        ]

    def _within(self, person: Person, row: Row) -> bool:
        """Where tenants decide about their own data, one tenant's person is nobody in another's."""
        return self.store.controller == "operator" or str(row[self.table.tenant]) == str(person.tenant)

    def _disclosed(self, known: Known, person: Person) -> list[Row]:
        """The ordinary records and the preserved ones, each once."""
        found = {mark: row for _, mark, row in self._named(person)}
        for path in pieces(self.journal.place("preserved"), self.format):
            for mark, row in self.format.read(path, self.table, {known.value}):
                if any(row.get(column) == known.value for column in columns_of(self.table, known.type)):
                    found[mark] = row
        return list(found.values())

    # --- deciding --------------------------------------------------------------------------------------------------------

    def _decided(self, row: Row, terms: Terms, asked: Asked) -> Decision:
        anchors = {anchor: row.get(anchors_in(self.table, anchor)[0].column) for anchor in self.table.anchors}
        return decide(facts_of(self.table, row, anchors, frozenset(), terms), terms.book, terms.now, asked)

    def _deletion(self, person: Person, terms: Terms, scope: Scope | None) -> Plan:
        """A person's own records go; in somebody else's traffic only the person's number does."""
        plan, lines = Plan(), []
        for piece, mark, row in self._named(person):
            if scope is not None and row[self._scoped()] != scope.recording:
                continue
            decision, own = self._decided(row, terms, "deletion"), self._own(person, row)
            action = None if decision.action == "keep" or own else Action.redact
            lines.append(outcome(self.store, self.name, decision, 1, terms.book, action=action))
            if decision.action == "keep":
                continue
            if own:
                plan.gone.setdefault(piece, []).append(mark)
            for column in [] if own else self._as_callee(person, row):
                plan.blank.setdefault(piece, {}).setdefault(column, []).append(mark)
        plan.said = [line.model_dump(mode="json") for line in merged(lines)]
        return plan

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
        for _, _, row, decision in self._over(terms):
            counts[f"{row[self.table.at]:%Y-%m}", decision.rule] += 1
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

    def _over(self, terms: Terms) -> Iterator[tuple[Path, str, Row, Decision]]:
        for path in pieces(self.root, self.format):
            for mark, row in self.format.read(path, self.table):
                decision = self._ruled(row, terms)
                if decision and decision.action != "keep":
                    yield path, mark, row, decision

    def _fates(self, *terms: Terms) -> Iterator[tuple[Fate, ...]]:
        """What each of these terms makes of each record."""
        for path in pieces(self.root, self.format):
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
        """Piece by piece; what an order holds is copied aside just before the old content of a piece goes."""
        for piece in plan.pieces():
            path, gone = self.root / piece, set(plan.gone.get(piece, ()))
            blank = {column: set(marks) for column, marks in plan.blank.get(piece, {}).items()}
            leaving = gone.union(*blank.values())
            rows = [(mark, row) for mark, row in self.format.read(path, self.table) if mark in leaving]

            def leave(path: Path = path, rows: list[tuple[str, Row]] = rows) -> None:
                lease.during(lambda holds: self._preserve(path, rows, holding(holds, self.table, book), lease, person))

            self.format.rewrite(path, self.table, gone, blank, leave)

    def _preserve(
        self, path: Path, rows: list[tuple[str, Row]], holds: list[Hold], lease: Lease, person: Person | None
    ) -> None:
        for hold in holds:
            held = {mark for mark, row in rows if touches(hold, self.table, row, person)}
            if held:
                folder = self.journal.place("preserved", str(hold.hold), str(lease.step))
                self.format.copy(path, self.table, held, folder)

    def _preserved(self, step: UUID) -> dict[UUID, int]:
        holds = self.journal.place("preserved")
        return {UUID(folder.name): count for folder in holds.iterdir() if (count := self._records(folder / str(step)))}

    def _records(self, folder: Path) -> int:
        return sum(len(self.format.read(path, self.table)) for path in pieces(folder, self.format))

    # --- looking again ---------------------------------------------------------------------------------------------------

    def _search(self, person: Person, terms: Terms, scope: Scope | None) -> list[Finding]:
        """Every value in every record is compared with every value the person is known by; what is found must be explained."""
        found = Counter[str]()
        sure = [known for known in person.known if known.type != IdentifierType.name]
        values = {known.value for known in sure}
        spelled = re.compile(mentions(sure, column=True) or NOTHING, re.IGNORECASE)
        searched = {*self.table.identifying, *self.table.texts}
        for path in pieces(self.root, self.format):
            for _, row in self.format.read(path, self.table):
                if scope is not None:
                    found[self._scoped()] += row[self._scoped()] == scope.recording and self._own(person, row)
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

    def _scoped(self) -> str:
        """The column that names a single recording."""
        if self.store.kind != "folder":
            raise VerbUnsupported("Only a store of recordings can remove a single recording.")
        return self.table.key[0]

    def _shown(self, row: Row) -> bytes:
        return row_line([row.get(column) for column in self.table.shown])

    async def _work(self, work: Callable[[], Result]) -> Result:
        """Files are read and written in a thread. Raises StoreUnavailable when the folder is away."""
        try:
            if not self.root.is_dir():
                raise FileNotFoundError
            return await asyncio.to_thread(work)
        except OSError:
            raise StoreUnavailable(f"{self.store.store} does not answer.") from None


def _outcomes(said: list[dict[str, Any]]) -> list[Outcome]:
    return [Outcome.model_validate(one, strict=False) for one in said]

"""The data map: where the operator's personal data lie, which field is which data element, and whose it is.

One file per store in `policy/stores/`. From a field's element follow its category, purpose and retention rule in the policy
book; nothing here states a period. The same map drives collecting, erasing, sweeping and, by another path, verifying.
"""

import json
import zlib
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self
from uuid import UUID

import yaml
from pydantic import Field, ValidationError, model_validator

from chassis.contract import Contract
from services.anonymizer.contract import IdentifierType, StoreKind
from services.anonymizer.transforms.kernel import How
from services.registry.contract import NotInBook, PolicyBook, Retention, StoreClass, Text, TrafficKind, Withdrawal

TECHNICAL = "technical"
"""The element of keys and flags that say nothing about a person by themselves: not shown, not searched."""

Controller = Literal["operator", "tenant"]
Party = Literal["owner", "caller", "callee", "agent", "contact"]


class DataMapFault(Exception):
    """The data map contradicts its model or the policy book; the service does not start with it."""


class Identifies(Contract):
    """The column holds an identifier. As `owner` or `caller` it makes the row that person's own. A `callee` stands in the
    traffic of somebody else, an `agent` in the work of the company that employs them: that is shown to them without the others
    in it, and never erased for them. A `contact` is searched for but finds nothing: whose the row is follows from its links."""

    type: IdentifierType
    party: Party = "owner"


class Column(Contract):
    """What a column is. Written as the bare element when there is nothing more to say.

    text: free text, in which anybody may be mentioned · redacted: what replaces a value that must go from a row that stays ·
    stays: part of what a row must still say while another row that the law keeps refers to it · withheld_by: the flag with
    which a caller hid the number from the other party · label: what a person reads above it, where its element alone does not tell
    it from its neighbours · as_written: numbers or addresses as people spell them, so that they are
    found by their one spelling rather than by an index.
    """

    element: str
    identifies: Identifies | None = None
    text: bool = False
    redacted: str | None = None
    stays: bool = False
    withheld_by: str | None = None
    label: Text | None = None
    as_written: bool = False

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, written: Any) -> Any:
        return {"element": written} if isinstance(written, str) else written

    @model_validator(mode="after")
    def _spellings(self) -> Self:
        if self.as_written and (not self.identifies or self.identifies.type not in ("msisdn", "email")):
            raise ValueError("as_written is for columns of numbers or e-mail addresses")
        return self


class Link(Contract):
    """`column` holds the `key` of a row of `table`: whose that row is, this row is too."""

    column: str
    table: str
    key: str = "id"


class AnchorAt(Contract):
    """Where the event that a period counts from is written: in a `column` of the row itself, or as the latest `column` over
    the rows of `table` whose `key` is the row's `by` (a column, or `link.column` of the row it links to). While one of those has
    no value, the event has not happened."""

    column: str
    table: str | None = None
    key: str | None = None
    by: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, written: Any) -> Any:
        return {"column": written} if isinstance(written, str) else written

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len({name is None for name in (self.table, self.key, self.by)}) != 1:
            raise ValueError("an anchor in another table names table, key and by")
        return self


class Invoice(Contract):
    """The columns of an invoice that say whether it is paid, and until when a recorded claim keeps what it bills."""

    id: str
    paid_at: str
    claim_until: str


class Bills(Contract):
    """Rows of the invoice table whose `key` is the row's `by` bill it: while one is open, agreement data stay."""

    table: str
    key: str
    by: str


class Numbers(Contract):
    """The table that says to whom a number belonged, and from when until when. `holder` holds a key of the people's table."""

    table: str
    number: str
    holder: str
    valid_from: str
    valid_to: str


class Counted(Contract):
    """How expired rows are counted: by day of `at`, by the prefix of a column of numbers, by area and by type. No group stands in
    which fewer different people than the book's k are found in one of the columns of `people`."""

    prefix: str
    area: str
    type: str
    people: list[str] = Field(min_length=1, max_length=2)


class Buckets(Contract):
    """The files of a lake are divided by whose rows they hold: folder `bucket=NN` has those whose `column` has the CRC-32 NN modulo
    `of`. It must be the only column that makes a row somebody's own."""

    column: str
    of: int = Field(ge=2)

    def holds(self, path: Path, values: Iterable[str]) -> bool:
        """Whether rows of one of these may be in that file."""
        return not {f"bucket={zlib.crc32(value.encode()) % self.of:02}" for value in values}.isdisjoint(path.parts)


class Remains(Contract):
    """What stays of rows whose time is over, where the book says `anonymise`: counts, or their texts without the people in them, or
    (of a lake) `rows` of the columns named, each made coarse, with numbers under a key that is made for one window of time in one file and
    never kept. The rows themselves always go; a table that says nothing here leaves nothing."""

    counts: Counted | None = None
    texts: bool = False
    rows: dict[str, How] = {}

    @model_validator(mode="after")
    def _one(self) -> Self:
        if [bool(self.counts), self.texts, bool(self.rows)].count(True) > 1:
            raise ValueError("what remains is counts, or texts, or rows")
        return self


class Table(Contract):
    """One table, or one kind of file.

    controller: who decides about its rows, its store's unless it says so itself ·
    element: what a row as a whole is kept or let go as · kind: which kind of traffic, or kind_column: the column that says
    which of_kinds · at: when the row arose, by which a number's periods tell its people apart · lasting: a state rather than an event, so that
    an order's period always touches it · stays_for: rows elsewhere for whose sake a row here stays, reduced to what `stays` ·
    invoice: the column with the id of an invoice in the billing store · claim: the rows are invoices themselves · bills: the
    invoices in this store that bill the row ·
    months: partitioned by month of `at`, so that an expired month may be dropped whole · remains: what an anonymised row leaves ·
    buckets: how a lake divides its rows among files · one_person: identifiers that are one person's where they stand in one row, so
    that who is known by one of them is found by the others, in every store. Only of stores of files · voices: the channels of the
    sound beside each record: the columns that say whose voice is on it.
    """

    label: Text
    element: str
    store_class: StoreClass
    controller: Controller = "operator"
    kind: TrafficKind | None = None
    kind_column: str | None = None
    of_kinds: tuple[TrafficKind, ...] = ()
    tenant: str = "tenant"
    at: str
    anchors: dict[str, AnchorAt | list[AnchorAt]]
    key: list[str] = Field(min_length=1)
    columns: dict[str, Column]
    links: list[Link] = []
    stays_for: list[Link] = []
    invoice: str | None = None
    claim: Invoice | None = None
    bills: Bills | None = None
    lasting: bool = False
    months: bool = False
    remains: Remains | None = None
    buckets: Buckets | None = None
    one_person: list[str] = []
    voices: list[list[str]] = []

    @model_validator(mode="after")
    def _bucketed(self) -> Self:
        own = [name for name, what in self.identifying.items() if what.party in ("owner", "caller")]
        if self.buckets and own != [self.buckets.column]:
            raise ValueError("a lake is bucketed by the one column that makes a row somebody's own")
        return self

    @model_validator(mode="after")
    def _kinds_said(self) -> Self:
        if bool(self.kind_column) != bool(self.of_kinds):
            raise ValueError("kind_column and of_kinds go together")
        return self

    @cached_property
    def identifying(self) -> dict[str, Identifies]:
        return {name: column.identifies for name, column in self.columns.items() if column.identifies}

    @cached_property
    def texts(self) -> list[str]:
        return [name for name, column in self.columns.items() if column.text]

    @cached_property
    def shown(self) -> dict[str, Column]:
        """What an access copy shows: everything but keys and flags."""
        return {name: column for name, column in self.columns.items() if column.element != TECHNICAL}

    @cached_property
    def of_others(self) -> set[str]:
        """What an agent is not shown of the work they did for somebody: who that is, and what they wrote."""
        parties = {name for name, what in self.identifying.items() if what.party in ("owner", "caller", "callee")}
        return parties | set(self.texts)

    def rests_on(self, elements: Collection[str]) -> bool:
        """Whether its rows are of these elements; what the law keeps for authorities rests on the law alone."""
        return self.element in elements and self.store_class != "retention"

    def parts(self, elements: Collection[str]) -> list[str]:
        """The columns of these elements, where the rows themselves are kept as something else."""
        if self.element in elements or self.store_class == "retention":
            return []
        return [name for name, column in self.columns.items() if column.element in elements]

    def kinds(self) -> tuple[str | None, ...]:
        """The kinds of traffic its rows may be of; None alone when kinds make no difference here."""
        return self.of_kinds if self.kind_column else (self.kind,)

    def rule(self, book: PolicyBook, kind: str | None) -> Retention:
        """Raises NotInBook when the book has no rule for such rows."""
        return book.retention_for(self.element, self.store_class, kind)

    def rules(self, book: PolicyBook) -> list[tuple[Retention, list[str | None]]]:
        """Each rule that may decide a row here, with the kinds it decides. A kind the book has no rule for is left alone."""
        found: dict[str, tuple[Retention, list[str | None]]] = {}
        for kind in self.kinds():
            try:
                rule = self.rule(book, kind)
            except NotInBook:
                continue
            found.setdefault(rule.key, (rule, []))[1].append(kind)
        return list(found.values())

    def for_tenants(self, book: PolicyBook) -> bool:
        """Whether its rows are processed for the organisation they name, so that they end with its contract: it decides about them, or
        about how long they are kept. What a law obliges to keep is not of that kind."""
        rules = [rule for rule, _ in self.rules(book)]
        theirs = self.controller == "tenant" or any(rule.customer_defined for rule in rules)
        return bool(rules) and theirs and not any(rule.legal_duty for rule in rules)


class Location(Contract):
    """A database by its name (on `host` and `port`, or where Wardline's own is), or a folder (relative to WARDLINE_HOME), or a
    service at `url`, entered as `user` (as `reader`, where the credential that only reads has a name of its own).

    folder: of a store elsewhere, where Wardline keeps what it plans and preserves · bucket, prefix: of an object store · tenant:
    whose records are that name no organisation · gone_within_days: how long the vendor keeps what it was told to delete.
    """

    database: str | None = None
    host: str | None = None
    port: int | None = None
    folder: str | None = None
    url: str | None = None
    user: str | None = None
    reader: str | None = None
    bucket: str | None = None
    prefix: str = ""
    tenant: UUID | None = None
    gone_within_days: int = Field(default=0, ge=0)


class Manual(Contract):
    """A mailbox, a cellar of paper, a vendor without an API: `owner` does by hand what `instructions` say, and attests it."""

    owner: str
    instructions: Text
    elements: list[str] = Field(min_length=1)


class Store(Contract):
    """One store of the operator. `people` and `numbers`: this is the billing store, and there it says who is who and whose a
    number was. Its credentials are `SECRETS_DIR/stores/<store>.<wardline|verifier>.password`."""

    store: str
    label: Text
    kind: StoreKind
    controller: Controller
    location: Location = Location()
    tables: dict[str, Table] = {}
    manual: Manual | None = None
    numbers: Numbers | None = None
    people: str | None = None

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if (self.kind == "manual") != (self.manual is not None) or bool(self.tables) == bool(self.manual):
            raise ValueError("a manual source has an owner and instructions, every other store has tables")
        if self.kind in ("postgresql", "mysql") and any(table.one_person for table in self.tables.values()):
            raise ValueError("one_person is for stores of files")
        for name, table in self.tables.items():
            for missing in _named_columns(table) - table.columns.keys():
                raise ValueError(f"{name}: the column {missing} is used but not declared")
            for link in [*table.links, *table.stays_for]:
                if link.table not in self.tables:
                    raise ValueError(f"{name}: links to {link.table}, which this store does not have")
            if fault := _cannot_remain(self.kind, table):
                raise ValueError(f"{name}: {fault}")
        return self

    @cached_property
    def order(self) -> list[str]:
        """Tables so that whoever refers comes before what it refers to: the order in which rows can go."""
        left, placed = dict(self.tables), []
        while left:
            free = [
                name
                for name in left
                if not any(name == link.table for other in left for link in left[other].links if other != name)
            ]
            if not free:
                raise DataMapFault(f"{self.store}: the tables' links form a circle")
            placed += free
            for name in free:
                del left[name]
        return placed

    @property
    def elements(self) -> list[str]:
        """What the rows, or the papers, are kept or let go as."""
        return self.manual.elements if self.manual else [table.element for table in self.tables.values()]

    @property
    def holds(self) -> set[str]:
        """All that is known here of somebody: what rows are kept as, and what stands in their columns."""
        columns = {column.element for table in self.tables.values() for column in table.shown.values()}
        return columns | set(self.elements)

    @property
    def invoices(self) -> tuple[str, Invoice]:
        """The table of invoices, and its columns."""
        return next((name, table.claim) for name, table in self.tables.items() if table.claim)


class DataMap(Contract):
    """All stores, by name."""

    stores: dict[str, Store]

    def check(self, book: PolicyBook) -> list[str]:
        """Every way in which the map and the policy book do not fit; an empty list is what a start requires."""
        return [fault for store in self.stores.values() for fault in _misfits(store, book)]

    @cached_property
    def billing(self) -> Store:
        """The store that knows customers, numbers and invoices."""
        found = [store for store in self.stores.values() if store.numbers]
        if len(found) != 1:
            raise DataMapFault("exactly one store must say whose a number was")
        return found[0]


# Several times as fast where PyYAML was built with libyaml, as its published wheels are.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(folder: Path) -> DataMap:
    """Read every `*.yaml` of a folder. Raises DataMapFault naming the file and the fault."""
    stores = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            # Through JSON, since a strict model reads the spellings of enums there and refuses them as Python strings.
            store = Store.model_validate_json(json.dumps(_theirs(yaml.load(path.read_text(), _Loader))))
        except (yaml.YAMLError, ValidationError) as fault:
            raise DataMapFault(f"{path.name}: {fault}") from None
        stores[store.store] = store
    if not stores:
        raise DataMapFault(f"{folder} holds no data map")
    return DataMap(stores=stores)


def _theirs(written: Any) -> Any:
    """Whoever decides about a store decides about its tables, unless one says otherwise."""
    controller = written.get("controller") if isinstance(written, dict) else None
    for table in (written.get("tables") or {}).values() if controller else ():
        table.setdefault("controller", controller)
    return written


def _named_columns(table: Table) -> set[str]:
    own = [
        (place.by or place.column).partition(".")[0] for anchor in table.anchors for place in anchors_in(table, anchor)
    ]
    named = {table.tenant, table.at, *table.one_person, *table.key, *own, *(link.column for link in table.links)}
    counts = table.remains.counts if table.remains else None
    counted = {counts.prefix, counts.area, counts.type, *counts.people} if counts else set()
    counted |= {*table.remains.rows} if table.remains else set()
    voices = {column for channel in table.voices for column in channel}
    return named | counted | voices | {name for name in (table.invoice, table.kind_column) if name}


# What each kind of store can keep of rows that are anonymised; every other kind deletes them.
_LEAVES: dict[StoreKind, tuple[str, ...]] = {"postgresql": ("counts", "texts"), "parquet": ("counts", "rows")}


def _cannot_remain(kind: StoreKind, table: Table) -> str | None:
    """Why what the map lets remain can't be left by such a store, or would still tell who somebody was."""
    remains = table.remains
    if remains is None:
        return None
    for what in ("counts", "texts", "rows"):
        if getattr(remains, what) and what not in _LEAVES.get(kind, ()):
            return (
                f"{what} cannot remain of a {kind} store: what the book anonymises is deleted there, with nothing left"
            )
    if remains.texts and not table.texts:
        return "it has no texts that could remain"
    telling = {*table.identifying, *table.texts, *table.key, table.at, table.invoice}
    kept = sorted(name for name, how in remains.rows.items() if how is How.keep and name in telling)
    return f"{', '.join(kept)} can't remain as it is" if kept else None


def _misfits(store: Store, book: PolicyBook) -> list[str]:
    faults = [
        f"{store.store}: the policy book has no element {element}"
        for element in store.elements
        if not _known(book, element)
    ]
    for row in book.withdrawals:
        faults += [f"{store.store}.{fault}" for fault in _cannot_go(store, row)]
    for name, table in store.tables.items():
        for column, declared in table.columns.items():
            if declared.element != TECHNICAL and not _known(book, declared.element):
                faults.append(f"{store.store}.{name}.{column}: the policy book has no element {declared.element}")
        rules = table.rules(book)
        if not rules:
            faults.append(f"{store.store}.{name}: the policy book has no retention rule for its rows")
        for rule, _ in rules:
            needed = {rule.anchor} | ({rule.latest.anchor} if rule.latest else set())
            faults += [
                f"{store.store}.{name}: {rule.key} counts from {anchor}, which the map does not place"
                for anchor in sorted(needed - anchors_of(table))
            ]
    return faults


def _cannot_go(store: Store, row: Withdrawal) -> Iterator[str]:
    """What rests on a consent and can't be erased here without what does not."""
    for name, table in store.tables.items():
        needed = _named_columns(table) | table.identifying.keys()
        for column in table.parts(row.elements):
            if column in needed:
                yield f"{name}.{column}: {row.key} cannot erase it alone: it tells whose a row is, or how long it is kept"
            elif store.kind == "zendesk":
                yield (
                    f"{name}.{column}: {row.key} cannot erase it alone: a store of the kind zendesk takes away whole records"
                )
        for other, hanging in store.tables.items():
            hangs = any(link.table == name for link in hanging.links)
            if hangs and table.rests_on(row.elements) and not hanging.rests_on(row.elements):
                yield f"{name}: {row.key} cannot erase its rows alone: rows of {other} hang on them"


def anchors_of(table: Table) -> set[str]:
    """The events this table can date; a paid invoice is looked up in the billing store."""
    return {*table.anchors, *(["invoice_paid"] if table.invoice else [])}


def anchors_in(table: Table, anchor: str) -> list[AnchorAt]:
    """The places where an event is written; KeyError when the map has none."""
    places = table.anchors[anchor]
    return places if isinstance(places, list) else [places]


def _known(book: PolicyBook, element: str) -> bool:
    try:
        book.element(element)
    except NotInBook:
        return False
    return True

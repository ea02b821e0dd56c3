"""What the registry finds by itself: pure comparisons of promise and law, and of the book and the data map, both ways."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.anonymizer.contract import Drift
from services.registry.contract import Period, PolicyBook, Retention, Text
from services.registry.contract.faults import longer
from services.registry.contract.findings import FindingKind
from services.registry.contract.policy import Bounds


@dataclass(frozen=True)
class Observed:
    """A difference. `about`: the row, element or field; with its kind that is its key for as long as it is there."""

    kind: FindingKind
    about: str
    statement: Text
    rows: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.about}"


_UNLIKE = Text(sv="liknar inget personligt", en="looks like nothing personal")
# What is found by looking into the stores, and closed only by looking there again.
DRIFT: frozenset[FindingKind] = frozenset({"missing_in_store", "not_in_map", "mislabelled"})


@dataclass(frozen=True)
class Field:
    store: str
    table: str
    column: str
    element: str


def observed(book: PolicyBook, fields: Iterable[Field]) -> list[Observed]:
    """Everything there is to find in a book's rows of one day, and in what the data map says."""
    held = list(fields)
    return [*_promises(book), *_unknown(book, held), *_unheld(book, held)]


def drifted(found: Iterable[Drift]) -> list[Observed]:
    """The same where stores themselves were looked into: what they hold, and what the data map says they do."""
    return [_drifted(one) for one in found]


def _drifted(one: Drift) -> Observed:
    where = ".".join(part for part in (one.store, one.table, one.column) if part)
    if one.kind == "missing":
        told = Text(
            sv=f"{where} står i datakartan, men finns inte längre i registret.",
            en=f"{where}: in the data map, but the store has it no more.",
        )
        return Observed("missing_in_store", where, told)
    like = Text(sv=f"liknar {one.looks_like}", en=f"looks like {one.looks_like}") if one.looks_like else _UNLIKE
    seen = f"{one.alike}/{one.sampled}"
    if one.kind == "undeclared":
        told = Text(
            sv=f"{where} finns i registret, men ingen datakarta nämner den; innehållet {like.sv} ({seen}).",
            en=f"{where}: in the store, but no data map names it; what it holds {like.en} ({seen}).",
        )
        return Observed("not_in_map", where, told)
    told = Text(
        sv=f"{where} sägs inte innehålla personuppgifter; innehållet {like.sv} ({seen}).",
        en=f"{where} is said to hold nothing personal; what it holds {like.en} ({seen}).",
    )
    return Observed("mislabelled", where, told)


def _promises(book: PolicyBook) -> Iterator[Observed]:
    told = {key for finding in book.findings for key in finding.rows}
    for row in book.retention:
        if row.key not in told and row.promised and row.law and _contradict(row.promised, row.law):
            yield Observed("promise_and_law", row.key, _both_say(row, row.promised, row.law), (row.key,))


def _contradict(promised: Bounds, law: Bounds) -> bool:
    """Whether what was promised and what the law says cannot both be meant."""
    return (
        _differ(promised.max, law.max)
        or _exceeds(promised.min, law.max)
        or _exceeds(law.min, promised.max)
        or (promised.min is not None and _differ(promised.min, law.min))
    )


def _differ(one: Period | None, other: Period | None) -> bool:
    return one is not None and other is not None and (longer(one, other) or longer(other, one))


def _exceeds(least: Period | None, most: Period | None) -> bool:
    return least is not None and most is not None and longer(least, most)


def _both_say(row: Retention, promised: Bounds, law: Bounds) -> Text:
    return Text(
        sv=f"{row.label.sv}: sidan lovar {_said(promised)}, lagen säger {_said(law)}; ingen jurist har avgjort det.",
        en=f"{row.label.en}: the page promises {_said(promised)}, the law says {_said(law)}; no lawyer has decided it.",
    )


def _said(bounds: Bounds) -> str:
    return " – ".join(str(end) for end in (bounds.min, bounds.max) if end is not None)


def _unknown(book: PolicyBook, fields: Iterable[Field]) -> Iterator[Observed]:
    elements = {element.key for category in book.categories for element in category.elements}
    for field in fields:
        if field.element not in elements:
            where = f"{field.store}.{field.table}.{field.column}"
            yield Observed(
                "not_in_book",
                where,
                Text(
                    sv=f"{where} innehåller {field.element}, som regelboken inte känner.",
                    en=f"{where} holds {field.element}, which the policy book does not know.",
                ),
            )


def _unheld(book: PolicyBook, fields: Iterable[Field]) -> Iterator[Observed]:
    held = {field.element for field in fields}
    for category in book.categories:
        for element in category.elements:
            if element.key not in held:
                yield Observed(
                    "not_in_stores",
                    element.key,
                    Text(
                        sv=f"{element.label.sv} står i regelboken, men ingen datakarta säger var de finns.",
                        en=f"{element.label.en}: in the policy book, but no data map says where it is.",
                    ),
                    (element.key,),
                )

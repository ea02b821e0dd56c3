"""Who processes data for whom, in which chain, and where to: sub-processors and transfers of one day, and what is due."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from services.registry.contract import PolicyBook, Text
from services.registry.contract.faults import tier
from services.registry.contract.policy import Adequacy, SubProcessor, Transfer
from services.registry.contract.register import Due, SubProcessorTold, TransferTold


@dataclass(frozen=True)
class Said:
    """The register's own word on a sub-processor or transfer: from a day on; `row` None: it ended."""

    since: date
    row: SubProcessor | Transfer | None


def overlaid(book: PolicyBook, begun: Mapping[str, date], said: Mapping[str, Said]) -> PolicyBook:
    """The book with what the register says of sub-processors and transfers. Of two words on the same thing the one that began
    last counts; `begun`: since when the book has said what it says (also: nothing any more) of each.

    Keys are `subprocessor:…` and `transfer:…`.
    """
    wins = {key: one.row for key, one in said.items() if key not in begun or one.since >= begun[key]}
    return book.model_copy(
        update={
            "subprocessors": _laid_over("subprocessor", book.subprocessors, wins),
            "transfers": _laid_over("transfer", book.transfers, wins),
        }
    )


def _laid_over(kind: str, rows: Iterable, wins: Mapping[str, object]) -> tuple:
    merged = {f"{kind}:{row.identity}": row for row in rows} | {
        key: row for key, row in wins.items() if key.startswith(f"{kind}:")
    }
    return tuple(row for row in merged.values() if row is not None and getattr(row, "status", "") != "retired")


def begun(books: Iterable[PolicyBook]) -> dict[str, date]:
    """Since when the last of these books (in the order in which they came into force) says what it says of each row."""
    since: dict[str, date] = {}
    before: dict[str, object] = {}
    for book in books:
        rows = {f"subprocessor:{row.identity}": row for row in book.subprocessors}
        rows |= {f"transfer:{row.identity}": row for row in book.transfers}
        since |= {key: book.valid_from for key in rows.keys() | before.keys() if rows.get(key) != before.get(key)}
        before = rows
    return since


def serves(row: SubProcessor, services: Collection[str]) -> bool:
    """Whether a customer of these services is concerned; one without services of its own serves every customer."""
    return not services or not row.services or bool(set(row.services) & set(services))


class Chain:
    """Sub-processors and transfers of a book on one day."""

    def __init__(self, book: PolicyBook, day: date) -> None:
        self.book, self.day = book, day
        self.rows = {row.key: row for row in book.subprocessors}
        self.parents = {row.key: row.parent for row in book.subprocessors}
        self._places = {row.key: row for row in book.places}
        self._transfers: dict[str, list[Transfer]] = {}
        for transfer in book.transfers:
            self._transfers.setdefault(transfer.subprocessor, []).append(transfer)
        # Of several rows of one decision the one of the day counts; else the last, which tells when it ended.
        self._decisions: dict[str, Adequacy] = {}
        for row in sorted(book.adequacy, key=lambda row: (row.applies(day), row.valid_from or date.min)):
            self._decisions[row.key] = row

    def told(
        self, keys: Iterable[str], services: Collection[str], using: Counter[frozenset[str]]
    ) -> Iterator[SubProcessorTold]:
        """Those of them who concern a customer of these services. `using`: how many customer organisations use which services."""
        rows = (self.rows[key] for key in keys if key in self.rows)
        return (self._told(row, using) for row in rows if serves(row, services))

    def transfers(self, keys: Iterable[str]) -> Iterator[TransferTold]:
        """Those of them whose sub-processor there is."""
        named = {row.identity: row for row in self.book.transfers if row.subprocessor in self.rows}
        return (self._transfer(named[key]) for key in keys if key in named)

    def transfers_of(self, subprocessor: str) -> list[TransferTold]:
        return [self._transfer(row) for row in self._transfers.get(subprocessor, ())]

    def line(self, key: str) -> list[str]:
        """From the operator's own sub-processor down to this one."""
        chain = [key]
        while (above := self.parents.get(chain[0])) is not None and above not in chain:
            chain.insert(0, above)
        return chain

    def _told(self, row: SubProcessor, using: Counter[frozenset[str]]) -> SubProcessorTold:
        return SubProcessorTold(
            tier=tier(self.parents, row.key) or 1,
            chain=[self.rows[key].legal_name for key in self.line(row.key) if key in self.rows],
            services=list(row.services),
            covers=list(row.covers),
            data=[label_of(self.book, covered) for covered in row.covers],
            places=places_of(self.book, row),
            support_from=[self._places[place].label for place in row.support_from],
            certifications=list(row.certifications),
            customers=sum(count for used, count in using.items() if serves(row, used)),
            transfers=self.transfers_of(row.key),
            purpose=row.purpose,
            agreed_on=row.agreed_on,
            started_on=row.started_on,
            ends_on=row.ends_on,
            **row.model_dump(
                include={"key", "legal_name", "address", "contact", "parent", "agreement", "status", "source"}
            ),
        )

    def _transfer(self, row: Transfer) -> TransferTold:
        importer, decision = self.rows[row.subprocessor], self._decisions.get(row.decision or "")
        return TransferTold(
            key=row.identity,
            exporter=self.book.controller.name,
            importer=importer.legal_name,
            country=self._places[row.place].label,
            data=[label_of(self.book, covered) for covered in row.covers or importer.covers],
            decision_label=decision.label if decision else None,
            decision_from=decision.valid_from if decision else None,
            decision_to=decision.valid_to if decision else None,
            supplementary=list(row.supplementary),
            onward=row.onward,
            listed_on=row.listed_on,
            review_at=row.review_at,
            due=self.due(row),
            **row.model_dump(
                include={"subprocessor", "place", "mechanism", "module", "decision", "assessment", "source"}
            ),
        )

    def due(self, row: Transfer) -> list[Due]:
        """Why somebody has to look at a transfer. A decision that is no row of this day is not in force."""
        found = []
        if row.mechanism == "not_stated":
            found.append(Due(reason="mechanism_not_stated", since=row.valid_from))
        if row.mechanism == "adequacy":
            found += self._rests_on_a_decision(row, self._decisions.get(row.decision or ""))
        if row.review_at is not None and row.review_at <= self.day:
            found.append(Due(reason="review_due", since=row.review_at))
        return found

    def _rests_on_a_decision(self, row: Transfer, decision: Adequacy | None) -> Iterable[Due]:
        if decision is None or decision.place != row.place:
            yield Due(reason="decision_not_in_force", since=None)
            return
        if not decision.applies(self.day):
            ended = decision.valid_to and decision.valid_to < self.day
            yield Due(reason="decision_not_in_force", since=decision.valid_to + timedelta(days=1) if ended else None)
            return
        if decision.valid_to is not None:
            yield Due(reason="decision_ends", since=decision.valid_to)
        if decision.listed_importers:
            every = self.book.period("importer_list_check")
            if row.listed_on is None or every.last_day(row.listed_on) < self.day:
                yield Due(reason="importer_not_looked_up", since=row.listed_on)


def label_of(book: PolicyBook, covered: str) -> Text:
    """The label of a category or an element."""
    for category in book.categories:
        if category.key == covered:
            return category.label
    return book.element(covered).label


def places_of(book: PolicyBook, row: SubProcessor) -> list[Text]:
    labels = {place.key: place.label for place in book.places}
    return [labels[place] for place in row.places]

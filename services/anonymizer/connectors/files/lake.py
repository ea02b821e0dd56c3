"""Letting go of the rows of a lake whose time is over, a month (or whatever lies in one folder) at a time, by columns.

First all rows that go together are counted, checked and written down; then file after file is rewritten without them. The intent holds
the terms by which that was decided: whoever carries on after a crash decides the same, finds the counts written, and nothing left to
do in the files that were rewritten. Memory holds the columns that are counted of one folder, never a whole lake.

Where rows remain instead of counts, they go through the transform kernel file by file, each written down beside the lake before the
file it comes from is rewritten. Who was killed in between does that file again, under keys of its own: nobody has the others.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.anonymizer.connectors.files.formats import OWN, Folder, replace
from services.anonymizer.connectors.files.journal import Journal, Plan
from services.anonymizer.connectors.files.leaving import Leaving
from services.anonymizer.connectors.guard import Lease
from services.anonymizer.contract import Fate, Swept
from services.anonymizer.datamap import Table
from services.anonymizer.rules.branches import Verdicts
from services.anonymizer.rules.columns import verdicts
from services.anonymizer.rules.facts import Invoices, OpenInvoice, Terms
from services.anonymizer.rules.orders import Hold, columns_of, holding
from services.anonymizer.transforms.counts import Counts, Groups, anonymous, coarse
from services.anonymizer.transforms.files import transform_file
from services.anonymizer.transforms.kernel import Spec
from services.anonymizer.transforms.windows import Windows

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

ENDING = ".parquet"
_V, _KEY = "wardline_verdict", "wardline_key"


@dataclass(frozen=True)
class Lake:
    store: str
    name: str
    table: Table
    root: Path
    journal: Journal
    format: Folder

    def folders(self) -> list[str]:
        """What is swept at once: everything under one folder of the first level."""
        return sorted({path.relative_to(self.root).parts[0] for path in self._files()})

    def plan(self, step: object, folder: str, terms: Terms) -> Plan:
        """Counts what goes, by rule and month, and writes down what stays of it. Raises NotAnonymous."""
        import polars as pl

        decided, lines, gone = verdicts(self.table, terms, "sweep"), {}, []
        month = pl.col(self.table.at).dt.strftime("%Y-%m").alias("month")
        for path in self._files(folder):
            counts = self._going(path, decided).group_by(_V, month).agg(pl.len().alias("count")).collect()
            gone += [str(path.relative_to(self.root))] if len(counts) else []
            for number, when, count in counts.iter_rows():
                lines[number, when] = lines.get((number, when), 0) + count
        left = {number: self._leave(step, folder, number, decided, terms) for number in {number for number, _ in lines}}
        said = []
        for (number, when), count in sorted(lines.items(), key=lambda line: (line[0][1], line[0][0])):
            counted, told = left.pop(number, None), {}
            if counted:
                told = {"result": "anonymous", "remains": len(counted.released), "lost": counted.suppressed_rows}
            elif self._rows_remain(number, decided):
                told = {"result": "delinked", "remains": count}
            rule = decided.branches[number].decision.rule
            said.append(
                Swept(
                    store=self.store, table=self.name, rule=rule, month=when, how="files", count=count, **told
                ).model_dump(mode="json")
            )
        restricted = [list(one) for one in sorted(self.journal.frozen())]
        told = frozen(terms) | {"restricted": restricted} if gone else {}
        return Plan(said, dict.fromkeys(gone, []), terms=told)

    def carry_out(self, plan: Plan, lease: Lease, terms: Terms) -> None:
        """A file that nothing goes from any more is left as it is."""
        import polars as pl

        terms = thawed(plan.terms, terms) if plan.terms else terms
        decided = verdicts(self.table, terms, "sweep")
        self._spare(plan, decided, lease.step)
        with Leaving(lease, self.format.put_back) as leaving:
            for piece in plan.pieces():
                path, aside = self.root / piece, self.journal.aside(piece)
                self.format.put_back(path, aside)
                if not path.exists() or not self._going(path, decided).select(pl.len()).collect().item():
                    continue

                self._delink(path, decided, lease.step, terms)

                def preserve(source: Path | None, holds: list[Hold], path: Path = path) -> None:
                    self._preserve(path, source or path, holding(holds, self.table, terms.book), decided, lease)

                kept = self._judged(path, decided).filter(~self._goes(decided)).drop(_V, _KEY)
                is_left = kept.select(pl.len()).collect().item() > 0
                self.format.swap(path, leaving.of(aside, preserve), kept.sink_parquet if is_left else None)
                for folder in (path.parent, path.parent.parent):
                    if folder != self.root and not any(folder.iterdir()):
                        folder.rmdir()

    def _spare(self, plan: Plan, decided: "Verdicts[pl.Expr]", step: object) -> None:
        """Rows that somebody had restricted since they were planned (whoever planned them was killed) stay. What is said leaves them out;
        and since the counts that remain have them already, these are not made of them again when their time comes after all."""
        import polars as pl

        before = {tuple(one) for one in plan.terms.get("restricted", [])}
        late = sorted(one for one in self.journal.frozen() - before if one[0] in plan.gone)
        month = pl.col(self.table.at).dt.strftime("%Y-%m").alias("month")
        for piece in {piece for piece, _ in late}:
            frame = self._keyed(self.root / piece, decided).filter(
                pl.col(_KEY).is_in([m for p, m in late if p == piece])
            )
            counts = frame.filter(self._goes(decided)).group_by(_V, month).agg(pl.len().alias("count")).collect()
            for number, when, count in counts.iter_rows():
                rule = decided.branches[number].decision.rule
                line = next(one for one in plan.said if (one["rule"], one["month"]) == (rule, when))
                line["count"] -= count
        if late:
            self.journal.count(step, late)

    def months(self, terms: Terms) -> Iterator[tuple[str, int | None, int]]:
        """(month, branch, count) of everything that would go."""
        import polars as pl

        month = pl.col(self.table.at).dt.strftime("%Y-%m").alias("month")
        decided = verdicts(self.table, terms, "sweep")
        frames = [self._going(path, decided).group_by(month, _V).agg(pl.len().alias("count")) for path in self._files()]
        if frames:
            yield from (
                pl.concat(pl.collect_all(frames))
                .group_by("month", _V)
                .agg(pl.col("count").sum())
                .sort("month")
                .iter_rows()
            )

    def fates(self, terms: Terms, proposed: Terms) -> dict[tuple[Fate, Fate], int]:
        """What both terms make of all records, counted."""
        import polars as pl

        now, then = (verdicts(self.table, each, "sweep") for each in (terms, proposed))
        counts: dict[tuple[Fate, Fate], int] = {}
        for path in self._files():
            both = pl.scan_parquet(path, glob=False, hive_partitioning=False).select(
                now.number.alias("now"), then.number.alias("then")
            )
            for one, other, count in both.group_by("now", "then").agg(pl.len().alias("count")).collect().iter_rows():
                pair = now.fate(one), then.fate(other)
                counts[pair] = counts.get(pair, 0) + count
        return counts

    # --- of one file -------------------------------------------------------------------------------------------------------

    def _files(self, folder: str = ".") -> list[Path]:
        found = (self.root / folder).rglob(f"*{ENDING}") if (self.root / folder).is_dir() else [self.root / folder]
        return sorted(path for path in found if path.exists() and OWN not in path.relative_to(self.root).parts)

    def _judged(self, path: Path, decided: "Verdicts[pl.Expr]", some: "pl.LazyFrame | None" = None) -> "pl.LazyFrame":
        """A file's rows (or `some` of them) with their key and the number of the branch that decides each; what is frozen is decided by
        none."""
        import polars as pl

        piece = str(path.relative_to(self.root))
        marks = sorted(mark for frozen, mark in self.journal.frozen() if frozen == piece)
        number = pl.when(pl.col(_KEY).is_in(marks)).then(None).otherwise(pl.col(_V)).alias(_V) if marks else pl.col(_V)
        return self._keyed(path, decided, some).with_columns(number)

    def _keyed(self, path: Path, decided: "Verdicts[pl.Expr]", some: "pl.LazyFrame | None" = None) -> "pl.LazyFrame":
        """The same, whatever is frozen."""
        import polars as pl

        key = pl.concat_str([pl.col(name).cast(pl.String) for name in self.table.key], separator="|").alias(_KEY)
        frame = pl.scan_parquet(path, glob=False, hive_partitioning=False) if some is None else some
        return frame.with_columns(key, decided.number.alias(_V))

    def _going(self, path: Path, decided: "Verdicts[pl.Expr]") -> "pl.LazyFrame":
        return self._judged(path, decided).filter(self._goes(decided))

    def _goes(self, decided: "Verdicts[pl.Expr]") -> "pl.Expr":
        import polars as pl

        return pl.col(_V).is_in(decided.going).fill_null(False)

    def _leave(
        self, step: object, folder: str, number: int, decided: "Verdicts[pl.Expr]", terms: Terms
    ) -> Counts | None:
        """The counts of everything one rule anonymises here, written beside the lake. Raises NotAnonymous."""
        import polars as pl
        import pyarrow.parquet as pq

        counted = self.table.remains.counts if self.table.remains else None
        if not counted or decided.branches[number].decision.action != "anonymise":
            return None
        groups = Groups(self.table.at, counted.prefix, counted.area, counted.type, tuple(counted.people), terms.book.tz)
        needed = [groups.at, groups.prefix, groups.area, groups.type, *groups.people]
        batches = [
            coarse(batch, groups)
            for path in self._files(folder)
            for batch in self._judged(path, decided)
            .filter((pl.col(_V) == number) & ~pl.col(_KEY).is_in(self._counted(path)))
            .select(list(dict.fromkeys(needed)))
            .collect()
            .to_arrow(compat_level=pl.CompatLevel.oldest())
            .to_batches()
        ]
        if not batches:
            return None
        counts = anonymous(batches, groups, terms.book.number("k_anonymity"))
        target = self.journal.place("anonymous") / f"{step}-{number}.parquet"
        replace(target, lambda fresh: pq.write_table(counts.released, fresh))
        return counts

    def _counted(self, path: Path) -> list[str]:
        piece = str(path.relative_to(self.root))
        return sorted(mark for counted, mark in self.journal.counted() if counted == piece)

    def _rows_remain(self, number: int, decided: "Verdicts[pl.Expr]") -> bool:
        remains = self.table.remains
        return bool(remains and remains.rows) and decided.branches[number].decision.action == "anonymise"

    def _delink(self, path: Path, decided: "Verdicts[pl.Expr]", step: object, terms: Terms) -> None:
        """What stays of a file's rows, whole and on the disk before they go."""
        import polars as pl

        numbers = [number for number in decided.going if self._rows_remain(number, decided)]
        if not numbers:
            return

        def chosen(batch: "pa.RecordBatch") -> "pa.Array":
            judged = self._judged(path, decided, pl.from_arrow(batch).lazy())
            return judged.select(pl.col(_V).is_in(numbers).fill_null(False)).collect().to_series().to_arrow()

        spec = Spec("delinked", self.table.remains.rows, terms.book.tz)
        window = terms.book.period("delinking_window").shortest
        kernel = Windows(spec, self.table.at, window, chosen, {*self.table.key, *decided.number.meta.root_names()})
        target = self.journal.place("delinked", str(step)) / "-".join(path.relative_to(self.root).parts)
        replace(target, lambda fresh: transform_file(path, fresh, kernel, len(os.sched_getaffinity(0))))

    def _preserve(self, path: Path, old: Path, holds: list[Hold], decided: "Verdicts[pl.Expr]", lease: Lease) -> None:
        """What an order holds of the rows that go is copied aside, from where the old content lies meanwhile."""
        import polars as pl

        for hold in holds:
            named = [pl.col(column) == hold.identifier.value for column in columns_of(self.table, hold.identifier.type)]
            kept = self.journal.place("preserved", str(hold.hold), str(lease.step)) / "-".join(path.parts[-3:])
            if named and not kept.exists():
                at = pl.col(self.table.at)
                within = pl.lit(self.table.lasting) | ((at >= hold.from_) & (at < hold.to))
                rows = pl.scan_parquet(old, glob=False, hive_partitioning=False)
                going = self._judged(path, decided, rows).filter(self._goes(decided))
                held = going.filter(pl.any_horizontal(named) & within).drop(_V, _KEY).collect()
                if len(held):
                    replace(kept, lambda fresh, held=held: held.write_parquet(fresh))


def frozen(terms: Terms) -> dict[str, Any]:
    """What a decision was made by beside the book, as it is written into an intent."""
    told = {
        str(id): [
            one.paid_at.isoformat() if one.paid_at else None,
            one.claim_until.isoformat() if one.claim_until else None,
        ]
        for id, one in terms.invoices.open.items()
    }
    return {"now": terms.now.isoformat(), "invoices": told}


def thawed(told: dict[str, Any], terms: Terms) -> Terms:
    def moment(text: str | None) -> datetime | None:
        return datetime.fromisoformat(text) if text else None

    invoices = {int(id): OpenInvoice(moment(paid), moment(claim)) for id, (paid, claim) in told["invoices"].items()}
    return Terms(terms.book, datetime.fromisoformat(told["now"]), Invoices(invoices, terms.invoices.long_ago))

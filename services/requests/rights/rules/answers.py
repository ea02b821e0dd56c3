"""What a person is told: the preview with its numbers, and the answer without any.

An answer speaks of the ordinary view only, carries no counts per store, and says the same clause to everybody: data
that the law obliges the operator to keep, or forbids to mention, are excepted.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from chassis.ledger.canonical import canonical
from services.anonymizer.contract import Action, Outcome
from services.registry.contract import PolicyBook, Text
from services.requests.rights.contract import AnswerLine, Preview, PreviewLine


@dataclass(frozen=True)
class Told:
    """The outcomes of one store."""

    store: str
    label: Text
    outcomes: Sequence[Outcome]


def preview(request: UUID, told: Iterable[Told]) -> Preview:
    lines = [
        PreviewLine(
            store=part.store,
            label=part.label,
            table=outcome.table,
            category=outcome.category,
            action=outcome.action,
            rule=outcome.rule,
            reason=outcome.reason,
            legal_ref=outcome.legal_ref,
            until=outcome.until,
            count=outcome.count,
        )
        for part in told
        for outcome in part.outcomes
        if outcome.count
    ]
    kept = sum(line.count for line in lines if line.action is Action.keep)
    erased = sum(line.count for line in lines) - kept
    digest = hashlib.sha256(canonical([line.model_dump(mode="json") for line in lines])).hexdigest()
    return Preview(
        request=request, erased=erased, kept=kept, lines=lines, warning=_warning(erased, kept), digest=digest
    )


def answer_lines(told: Iterable[Told]) -> list[AnswerLine]:
    """One line for each store, category, action and rule: what an answer and its certificate may say."""
    lines: dict[tuple[str, str, Action, str], AnswerLine] = {}
    for part in told:
        for outcome in part.outcomes:
            if not outcome.count:
                continue
            key = (part.store, outcome.category, outcome.action, outcome.rule)
            known = lines.get(key)
            if known is None or _later(outcome, known):
                lines[key] = AnswerLine(
                    store=part.store,
                    label=part.label,
                    category=outcome.category,
                    action=outcome.action,
                    rule=outcome.rule,
                    reason=outcome.reason,
                    legal_ref=outcome.legal_ref,
                    until=outcome.until,
                )
    return list(lines.values())


def deletion_clauses(book: PolicyBook, lines: Iterable[AnswerLine]) -> list[Text]:
    clauses = [book.clause("deletion_answer")]
    if any(line.action is Action.keep for line in lines):
        clauses.append(book.clause("partial_erasure"))
    return clauses


def _later(outcome: Outcome, known: AnswerLine) -> bool:
    """A reason that still holds without a date outlasts every date."""
    return known.until is not None and (outcome.until is None or outcome.until > known.until)


def _warning(erased: int, kept: int) -> Text:
    return Text(
        sv=f"{erased} poster raderas och kan inte återställas. {kept} poster sparas tills vidare enligt reglerna.",
        en=f"{erased} records will be erased and cannot be restored. {kept} records are kept for now by the rules.",
    )

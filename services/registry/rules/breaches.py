"""Which duties to tell a breach brings, by when, and what the notice says: all from the book's rows and the last statement."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from services.registry.contract import Language, PolicyBook, Text
from services.registry.contract.breaches import (
    Breach,
    BreachRefused,
    Clock,
    ClockState,
    Form,
    FormField,
    NotConcerned,
    Notice,
    Statement,
)
from services.registry.contract.policy import BreachClock

_RISKS = ("none", "risk", "high")
_RISK = {
    "none": Text(sv="Osannolik risk", en="Unlikely to result in a risk"),
    "risk": Text(sv="Risk", en="Risk"),
    "high": Text(sv="Hög risk", en="High risk"),
}
_FIELDS = {
    "reporter": Text(sv="Anmälare", en="Notified by"),
    "contact": Text(sv="Kontakt, dataskyddsombud", en="Contact, data protection officer"),
    "reference": Text(sv="Vår referens", en="Our reference"),
    "aware": Text(sv="Upptäckt", en="Became aware"),
    "occurred": Text(sv="Inträffade", en="Occurred"),
    "facts": Text(sv="Vad som hände", en="What happened"),
    "categories": Text(sv="Uppgifter som berörs", en="Data concerned"),
    "subjects": Text(sv="Antal berörda personer", en="Number of people concerned"),
    "records": Text(sv="Antal berörda poster", en="Number of records concerned"),
    "risk": Text(sv="Bedömd risk", en="Risk as assessed"),
    "effects": Text(sv="Sannolika konsekvenser", en="Likely consequences"),
    "remedies": Text(sv="Åtgärder", en="Measures taken or proposed"),
    "told": Text(sv="Redan underrättade", en="Already told"),
}


def check_statement(book: PolicyBook, statement: Statement, aware_at: datetime, now: datetime) -> None:
    """Raises BreachRefused."""
    if max(aware_at, statement.occurred_from) > now:
        raise BreachRefused("A breach of the future cannot be reported.")
    if aware_at < statement.occurred_from:
        raise BreachRefused("Nobody can be aware of a breach before it begins.")
    if set(statement.categories) - {row.key for row in book.categories}:
        raise BreachRefused("The policy book has no such category of data.")


def clocks(
    book: PolicyBook, aware_at: datetime, statement: Statement, notices: list[Notice], now: datetime
) -> list[Clock]:
    """Every duty of this breach; one that was met stays although the risk is seen as lower by now."""
    given = {(notice.clock, notice.tenant): notice for notice in notices}
    found = []
    for row in book.breach_clocks:
        for whom in _concerned(row, statement):
            notice = given.get((row.key, whom))
            if notice is not None or _RISKS.index(statement.risk) >= _RISKS.index(row.from_risk):
                due = book.period(row.limit).after(_start(book, row, aware_at, given), book.tz)
                found.append(_clock(row, whom, due, notice, now))
    return found


def reminders(book: PolicyBook, clock: Clock, now: datetime) -> Iterator[str]:
    """What to remind of: `ahead` from the row's lead before the end, `overdue` from the end itself."""
    row = _row(book, clock.clock)
    if clock.state in ("running", "overdue") and row.remind.after(now, book.tz) >= clock.due_at:
        yield "ahead"
    if clock.state == "overdue":
        yield "overdue"


def check_notice(breach: Breach, clock: str, tenant: UUID | None, told_at: datetime, now: datetime) -> None:
    """Raises NotConcerned for a duty this breach does not have, BreachRefused for a notice of the future."""
    if (clock, tenant) not in {(one.clock, one.tenant) for one in breach.clocks}:
        raise NotConcerned
    if not breach.aware_at <= told_at <= now:
        raise BreachRefused("A notice is given after the breach became known, and not in the future.")


def check_all_told(breach: Breach) -> None:
    """Raises BreachRefused while somebody still has to be told."""
    if open_ := sorted({clock.clock for clock in breach.clocks if clock.told_at is None}):
        raise BreachRefused(f"Somebody still has to be told: {', '.join(open_)}.")


def form(book: PolicyBook, breach: Breach, clock: str, tenant: UUID | None, language: Language) -> Form:
    """The notice of one clock, prefilled. Raises NotConcerned."""
    duty = next((one for one in breach.clocks if (one.clock, one.tenant) == (clock, tenant)), None)
    if duty is None:
        raise NotConcerned
    values = _values(book, breach, duty, language)
    return Form(
        clock=clock,
        language=language,
        reference=str(breach.id),
        title=duty.label.in_(language),
        recipient=_recipient(book, duty, language),
        due_at=duty.due_at,
        fields=[FormField(label=_FIELDS[key].in_(language), value=value) for key, value in values.items() if value],
        missing=[_FIELDS[key].in_(language) for key, value in values.items() if not value],
    )


def _values(book: PolicyBook, breach: Breach, duty: Clock, language: Language) -> dict[str, str]:
    said, controller = breach.statement, book.controller
    until = _instant(book, said.occurred_to) if said.occurred_to else ""
    told = [f"{one.label.in_(language)} {_instant(book, one.told_at)}" for one in breach.clocks if one.told_at]
    values = {
        "reporter": f"{controller.name}, {controller.organisation_number}, {controller.address}",
        "contact": f"{controller.data_protection_officer}, {controller.email}, {controller.telephone}",
        "reference": str(breach.id),
        "aware": _instant(book, breach.aware_at),
        "occurred": f"{_instant(book, said.occurred_from)} – {until}".rstrip(" –"),
        "facts": said.facts,
        "categories": ", ".join(row.label.in_(language) for row in book.categories if row.key in said.categories),
        "subjects": "" if said.subjects is None else str(said.subjects),
        "records": "" if said.records is None else str(said.records),
        "risk": _RISK[said.risk].in_(language),
        "effects": said.effects,
        "remedies": said.remedies,
    }
    # Who else was told is for authorities; a customer or a person hears nothing of the others.
    return values | ({"told": ", ".join(told) or "–"} if duty.to in ("telecom", "data_protection") else {})


def _recipient(book: PolicyBook, duty: Clock, language: Language) -> str:
    for authority in book.authorities:
        if authority.role == duty.to:
            return f"{authority.label.in_(language)}, {authority.address}, {authority.email}"
    return (
        str(duty.tenant) if duty.tenant else Text(sv="De berörda personerna", en="The people concerned").in_(language)
    )


def _instant(book: PolicyBook, instant: datetime) -> str:
    return instant.astimezone(book.tz).strftime("%Y-%m-%d %H:%M %Z")


def _concerned(row: BreachClock, statement: Statement) -> list[UUID | None]:
    if row.capacity == "processor":
        return [*statement.tenants]
    return [None] if statement.as_controller else []


def _start(
    book: PolicyBook, row: BreachClock, aware_at: datetime, given: dict[tuple[str, UUID | None], Notice]
) -> datetime:
    """When the clock starts; of one that follows another notice, when that was given or at the latest was due."""
    if row.counts_from == "aware":
        return aware_at
    first = given.get((row.counts_from, None))
    return first.told_at if first else book.period(_row(book, row.counts_from).limit).after(aware_at, book.tz)


def _row(book: PolicyBook, key: str) -> BreachClock:
    return next(row for row in book.breach_clocks if row.key == key)


def _clock(row: BreachClock, tenant: UUID | None, due: datetime, notice: Notice | None, now: datetime) -> Clock:
    return Clock(
        clock=row.key,
        label=row.label,
        to=row.to,
        tenant=tenant,
        legal_ref=row.legal_ref,
        due_at=due,
        state=_state(due, notice, now),
        told_at=notice.told_at if notice else None,
        reference=notice.reference if notice else None,
    )


def _state(due: datetime, notice: Notice | None, now: datetime) -> ClockState:
    if notice is not None:
        return "met" if notice.told_at <= due else "met_late"
    return "running" if now < due else "overdue"

"""What differs between two books, row by row and in plain words, so that a lawyer reads what a change means."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from services.registry import wording, words
from services.registry.contract import Difference, Language, PolicyBook, Text
from services.registry.contract.policy import Row

# Of a row in a row: what its sentence calls it comes from its own section, and its `where` from both.
_INNER = ("elements", "grounds", "exceptions")
# What each key of a book is called.
Labels = dict[str, Text]
# Who a row is, and not what it says.
_IDENTITY = frozenset({"key", "tenant_periods", "tenant_endings"})


# What the public page shows; limits, findings and kinds of orders are for others to read.
_PUBLIC = frozenset(
    "book controller authorities categories collection purposes bases conditions retention recipients places subprocessors "
    "transfers adequacy rights measures clauses".split()
)
_NOT_SHOWN = frozenset({"source", "dpv"})


def public(found: Iterable[Difference]) -> list[Difference]:
    """Those differences that the public sees."""
    return [row for row in found if row.where.split("/")[0] in _PUBLIC and row.field not in _NOT_SHOWN]


def differences(old: PolicyBook, new: PolicyBook) -> list[Difference]:
    """Every row that was added, removed or changed, in the new book's order, a sentence for each field that changed."""
    called = _labels(old), _labels(new)
    return [
        *_facts(old, new, *called),
        *(found for section in _sections(new) for found in _section(old, new, section, *called)),
    ]


def _facts(old: PolicyBook, new: PolicyBook, was: Labels, now: Labels) -> Iterator[Difference]:
    """The book's own fields, and the controller's, which is one row."""
    for field in ("valid_from", "zone"):
        if getattr(old, field) != getattr(new, field):
            yield _changed("book", None, field, getattr(old, field), getattr(new, field), was, now)
    yield from _fields("controller", old.controller, new.controller, was, now)


def _sections(book: PolicyBook) -> list[str]:
    return [
        name for name in PolicyBook.model_fields if isinstance(getattr(book, name), tuple) and name not in _IDENTITY
    ]


def _section(old: PolicyBook, new: PolicyBook, section: str, was: Labels, now: Labels) -> Iterator[Difference]:
    before = _rows(getattr(old, section), section)
    after = _rows(getattr(new, section), section)
    for where, row in after.items():
        if where not in before:
            yield _whole("added", where, row, was, now)
        elif row != before[where]:
            yield from _fields(where, before[where], row, was, now)
    yield from (_whole("removed", where, row, was, now) for where, row in before.items() if where not in after)


def _rows(rows: tuple[Row, ...], section: str) -> dict[str, Row]:
    """Rows and the rows inside them, by where they stand; a rule that changes with time has a row for each of its times."""
    found: dict[str, Row] = {}
    times = Counter(row.identity for row in rows)
    for row in rows:
        where = f"{section}/{row.identity}" + (
            f"@{row.valid_from}" if times[row.identity] > 1 and row.valid_from else ""
        )
        found[where] = row
        for inner in _INNER:
            if (inside := getattr(row, inner, ())) and isinstance(inside[0], Row):
                found |= {f"{where}/{inner}/{one.identity}": one for one in inside}
    return found


def _fields(where: str, before: Row, after: Row, old: Labels, new: Labels) -> Iterator[Difference]:
    for field in type(after).model_fields:
        was, now = getattr(before, field), getattr(after, field)
        if was == now or (field in _INNER and _is_rows(was or now)):
            continue
        yield _changed(where, after, field, was, now, old, new)


def _is_rows(value: Any) -> bool:
    return bool(value) and isinstance(value[0], Row)


def _changed(where: str, row: Row | None, field: str, was: Any, now: Any, old: Labels, new: Labels) -> Difference:
    def sentence(language: Language) -> str:
        name = _name(where, row, new, language)
        told = words.field(field).in_(language)
        before, after = said(was, old, language), said(now, new, language)
        joint = {"sv": f"var {before}; blir {after}", "en": f"was {before}; becomes {after}"}[language]
        return f"{name}, {told}: {joint.rstrip('.')}."

    return Difference(
        where=where,
        kind="changed",
        field=field,
        before=said(was, old, "en"),
        after=said(now, new, "en"),
        words=_both(sentence),
    )


def _whole(kind: str, where: str, row: Row, old: Labels, new: Labels) -> Difference:
    called = new if kind == "added" else old

    def sentence(language: Language) -> str:
        verb = {"added": {"sv": "Ny", "en": "New"}, "removed": {"sv": "Borttagen", "en": "Removed"}}[kind][language]
        told = "; ".join(
            f"{words.field(field).in_(language)}: {said(getattr(row, field), called, language)}"
            for field in type(row).model_fields
            if field not in ("key", "label", *_INNER) and getattr(row, field) not in (None, (), "any")
        )
        return f"{verb}: {_name(where, row, called, language)}. {_capital(told).rstrip('.')}."

    return Difference(where=where, kind=kind, field=None, before=None, after=None, words=_both(sentence))


def _both(sentence: Callable[[Language], str]) -> Text:
    return Text(sv=sentence("sv"), en=sentence("en"))


def _name(where: str, row: Row | None, called: Labels, language: Language) -> str:
    """`Retention “Helpdesk call recordings”`: which section, and what the row is called there."""
    steps = where.split("/")
    inner = next((step for step in steps[1:] if step in _INNER), None)
    section = words.section(inner or steps[0]).in_(language)
    if row is None or where == "controller":
        return section
    left, right = {"sv": ("”", "”"), "en": ("“", "”")}[language]
    return f"{section} {left}{_called(row, called, language)}{right}"


def _called(row: Row, called: Labels, language: Language) -> str:
    for field in ("label", "legal_name"):
        if label := getattr(row, field, None):
            return label.in_(language) if isinstance(label, Text) else label
    return " – ".join(_named(part, called, language) for part in row.identity.split("/") if part != "any")


def said(value: Any, called: Labels, language: Language) -> str:
    """A value of the model as words; keys are said by what the book calls them."""
    match value:
        case None | () | "":
            return {"sv": "inget", "en": "nothing"}[language]
        case bool():
            return {"sv": "ja" if value else "nej", "en": "yes" if value else "no"}[language]
        case Text():
            return value.in_(language)
        case BaseModel() if hasattr(value, "unit"):
            return wording.period(value, language) + _year_end(value, language)
        case BaseModel():
            return ", ".join(
                f"{words.field(field).in_(language)} {said(inner, called, language)}"
                for field in type(value).model_fields
                if (inner := getattr(value, field)) not in (None, ())
            )
        case tuple() | list():
            return ", ".join(said(inner, called, language) for inner in value)
        case str():
            return _named(value, called, language)
        case _:
            return str(value)


def _year_end(period: Any, language: Language) -> str:
    return {"sv": " efter årets slut", "en": " after the year's end"}[language] if period.after_year_end else ""


def _named(value: str, called: Labels, language: Language) -> str:
    if (text := words.VALUE.get(value)) is not None:
        return text.in_(language)
    return label.in_(language) if (label := called.get(value)) is not None else value


def _labels(book: PolicyBook) -> Labels:
    """A sub-processor is called by its legal name."""
    found: Labels = {}
    for section in _sections(book):
        for row in _rows(getattr(book, section), section).values():
            label = getattr(row, "label", None)
            name = getattr(row, "legal_name", None)
            if label is not None or name is not None:
                found.setdefault(row.identity, label or Text(sv=name, en=name))
    return found


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]

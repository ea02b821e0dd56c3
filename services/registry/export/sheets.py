"""What a sheet of an export is: rows that come as JSON objects, and columns that say one cell of a row in words.

A row is written once, as it is, to a file of JSON lines; every format is drawn from that file, a row at a time, so that
a register of any size needs no more memory than a small one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from services.registry.labels import Label, Language

Row = Mapping[str, Any]
Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Context:
    """What every cell may need beside its row: the language, and `about.json` (operator, profile, instants, statements)."""

    language: Language
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """`key` heads a CSV, `label` what people read; `width` is in characters, `must`: an empty cell is said to be missing."""

    key: str
    label: Label
    cell: Callable[[Row, Context], Cell]
    width: int = 24
    must: bool = False


@dataclass(frozen=True)
class Sheet:
    """`key` names the file; `node` is a row in JSON-LD; a PDF shows a `card` for each row, or all rows as one `table`."""

    key: str
    title: Label
    columns: tuple[Column, ...]
    node: Callable[[Row, Context], dict[str, Any]]
    layout: Literal["card", "table"] = "table"
    heading: Callable[[Row, Context], str] = lambda row, context: ""


@dataclass(frozen=True)
class Profile:
    """`note`: what the reader has to know of the whole, such as what nobody knows yet. `scope`: what its reader needs beside
    `registry.export`."""

    key: str
    title: Label
    legal_ref: str
    sheets: tuple[Sheet, ...]
    note: Label | None = None
    scope: str | None = None


MISSING = Label(sv="— saknas —", en="— missing —")


def words(column: Column, row: Row, context: Context) -> Cell:
    """The cell as every format shows it."""
    told = column.cell(row, context)
    return MISSING.in_(context.language) if column.must and told in (None, "") else told


def said(name: str) -> Callable[[Row, Context], Cell]:
    """A field as it is; a list joined."""

    def cell(row: Row, _: Context) -> Cell:
        value = row[name]
        return "; ".join(map(str, value)) if isinstance(value, list) else value

    return cell


def text(name: str) -> Callable[[Row, Context], Cell]:
    """A field with the same words in both languages, or a list of such."""

    def cell(row: Row, context: Context) -> Cell:
        value = row[name]
        if isinstance(value, list):
            return "; ".join(each[context.language] for each in value)
        return value[context.language] if value else None

    return cell


def from_words(name: str, vocabulary: Mapping[str, Label]) -> Callable[[Row, Context], Cell]:
    """A field whose values the house says in words of its own (`wording`)."""
    return lambda row, context: vocabulary[row[name]].in_(context.language) if row[name] else None


def flag(name: str) -> Callable[[Row, Context], Cell]:
    return lambda row, context: ({"sv": "ja", "en": "yes"} if row[name] else {"sv": "nej", "en": "no"})[
        context.language
    ]

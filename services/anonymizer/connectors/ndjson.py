"""The lines of a collection: objects announce a table or the end, arrays are rows. Connectors hand over bytes."""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence

import orjson

from services.anonymizer.contract import Column, EndLine, TableLine
from services.anonymizer.datamap import TECHNICAL, Table
from services.anonymizer.datamap import Column as Declared
from services.anonymizer.rules.portability import may_be_taken_along
from services.registry.contract import PolicyBook, Text

SOUND = "sound"
"""The column beside the others that says where the sound of a record is."""
_SOUND_LABEL = Text(sv="Ljudfil", en="Sound file")


def shown(table: Table, book: PolicyBook, portable: bool = False) -> dict[str, Declared]:
    """The columns that a copy has: all that say something about a person, or those that they may take along."""
    return {
        column: declared
        for column, declared in table.shown.items()
        if not portable or may_be_taken_along(declared.element, book)
    }


def has_sound(table: Table, book: PolicyBook, portable: bool) -> bool:
    return bool(table.voices) and (not portable or may_be_taken_along(table.element, book))


def table_line(
    name: str,
    table: Table,
    book: PolicyBook,
    portable: bool = False,
    sound: bool = False,
    subjects: Sequence[int] = (),
) -> bytes:
    """`sound`: each row ends with the name of the file that has its sound."""
    named = [(column, declared.element, declared.label) for column, declared in shown(table, book, portable).items()]
    named += [(SOUND, table.element, _SOUND_LABEL)] if sound else []
    columns = [
        Column(
            name=column,
            element=element,
            category=book.category_of(element).key,
            label=label or book.element(element).label,
        )
        for column, element, label in named
    ]
    return _line(
        TableLine(table=name, label=table.label, columns=columns, subjects=list(subjects)).model_dump(mode="json")
    )


def whole_line(name: str, table: Table, book: PolicyBook, sound: bool = False) -> bytes:
    """Announces rows as they are: keys and flags too, so that whoever gets them back can put them together again."""
    columns = [
        Column(name=column, element=TECHNICAL, category=TECHNICAL, label=Text(sv=column, en=column))
        if declared.element == TECHNICAL
        else Column(
            name=column,
            element=declared.element,
            category=book.category_of(declared.element).key,
            label=book.element(declared.element).label,
        )
        for column, declared in table.columns.items()
    ]
    if sound:
        category = book.category_of(table.element).key
        columns.append(
            Column(name=SOUND, element=table.element, category=category, label=book.element(table.element).label)
        )
    return _line(TableLine(table=name, label=table.label, columns=columns).model_dump(mode="json"))


def file_lines(table: str, name: str, pieces: Iterable[bytes], subject: int | None) -> Iterator[bytes]:
    """A file that belongs to a table's rows, of one of several people."""
    subjects = [] if subject is None else [subject]
    yield _line(TableLine(table=table, columns=[], file=name, subjects=subjects).model_dump(mode="json"))
    for piece in pieces:
        yield _line([b64encode(piece).decode()])


def row_line(values: list[object]) -> bytes:
    """Timestamps come out as RFC 3339 with their offset."""
    return _line(values)


def end_line(counts: Mapping[str, int]) -> bytes:
    return _line(EndLine(counts=dict(counts)).model_dump(mode="json"))


def _line(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)

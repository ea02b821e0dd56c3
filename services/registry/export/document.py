"""PDF: a cover, then a card for each row or a table, in fonts that have every letter of both languages.

fpdf2 holds a document in memory until it is written, so a large register comes in parts, one document each. Lines are broken
and set here, since the library's own cells are made for pages of prose and are many times slower.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from fpdf import FPDF

from services.registry.export.sheets import MISSING, Context, Profile, Row, Sheet, words
from services.registry.export.spool import rows
from services.registry.export.wordings import cover_lines, instant
from services.registry.labels import Label

# Millimetres and points of A4.
_LEFT, _TOP, _BOTTOM = 16.0, 20.0, 18.0
_SIZE, _LINE = 8.0, 3.9
_LABEL = 46.0
_INK, _GREY, _AMBER, _RULE = (20, 50, 74), (96, 108, 118), (158, 98, 0), (201, 212, 220)
_PAGES_OF_A_PART = 400
_UNDRAWN = "\ufffd"
_NOT_HERE = Label(
    sv="Ett tecken som det här dokumentet inte kan visa; de andra formaten har det.",
    en="A character that this document cannot show; the other formats have it.",
)
_REMEMBERED = 4_000


def documents(folder: Path, out: Path, profile: Profile, context: Context) -> None:
    """`<profile>.pdf`, or `<profile>-part-01.pdf` and so on where there is more than a few hundred pages."""
    parts: list[Path] = []
    paper = _Paper(profile, context, part=1)
    paper.cover()
    for sheet in profile.sheets:
        paper.begin(sheet)
        for row in rows(folder, sheet.key):
            if paper.page_no() >= _PAGES_OF_A_PART:
                parts.append(_written(paper, out, profile, len(parts) + 1))
                paper = _Paper(profile, context, part=len(parts) + 1)
                paper.begin(sheet)
            paper.card(sheet, row) if sheet.layout == "card" else paper.table_row(sheet, row)
    parts.append(_written(paper, out, profile, len(parts) + 1))
    if len(parts) == 1:
        parts[0].rename(out / f"{profile.key}.pdf")


def _written(paper: "_Paper", out: Path, profile: Profile, number: int) -> Path:
    path = out / f"{profile.key}-part-{number:02}.pdf"
    paper.output(str(path))
    return path


@lru_cache(maxsize=1)
def _fonts() -> Path:
    """DejaVu, which comes with matplotlib; finding the files imports nothing of it."""
    return Path(find_spec("matplotlib").submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"


class _Paper(FPDF):
    """One document; `_y` is where the next line goes."""

    def __init__(self, profile: Profile, context: Context, part: int) -> None:
        super().__init__(format="A4")
        self.profile, self.context, self.part = profile, context, part
        self.language = context.language
        self._title = profile.title.in_(self.language)
        self._heading = ""
        self._y = _TOP
        self._wide: dict[tuple[str, float, str], float] = {}
        self._columns: list[tuple[float, float]] = []
        self.set_creation_date(datetime.fromisoformat(context.about["known_at"]))
        self.set_title(self._title)
        self.set_author(context.about["controller"]["name"])
        self.set_lang(self.language)
        self.set_auto_page_break(False)
        self.add_font("text", "", _fonts() / "DejaVuSans.ttf")
        self.add_font("text", "B", _fonts() / "DejaVuSans-Bold.ttf")
        self._drawn = set.intersection(*(set(font.cmap) for font in self.fonts.values()))
        # A register repeats itself: what two activities share is broken into lines once.
        self._lines = lru_cache(maxsize=_REMEMBERED)(self._lines)

    def footer(self) -> None:
        self._set(7, "", _GREY)
        about = self.context.about
        self.text(_LEFT, self.h - 9, f"{about['controller']['name']} · {self._title} · {instant(about['as_of'])}")
        number = f"{self.part}:{self.page_no()}"
        self.text(self.w - _LEFT - self.get_string_width(number), self.h - 9, number)

    def cover(self) -> None:
        self.add_page()
        self._rule(30, 1.2)
        self._y = 46
        for line in self._lines(self._title, self.w - 2 * _LEFT, 24, "B"):
            self._set(24, "B", _INK)
            self.text(_LEFT, self._y, line)
            self._y += 11
        self._y += 6
        for label, told in (*cover_lines(self.profile, self.context), (_UNDRAWN, _NOT_HERE.in_(self.language))):
            self._pair(label, told, size=9.5, line=5.4, label_width=62)
            self._y += 1.4

    def begin(self, sheet: Sheet) -> None:
        """A new page for a sheet: upright for cards, across for tables."""
        self._heading = sheet.title.in_(self.language)
        self._fresh(sheet)

    def card(self, sheet: Sheet, row: Row) -> None:
        """The name of the row, then label and text of each column that has any; kept together at its beginning."""
        self._room(sheet, 6 * _LINE + 6)
        self._y += 3
        for line in self._lines(sheet.heading(row, self.context), self.w - 2 * _LEFT, 11, "B"):
            self._set(11, "B", _INK)
            self.text(_LEFT, self._y + 3, line)
            self._y += 5.4
        self._rule(self._y, 0.3)
        self._y += 2.2
        for column in sheet.columns:
            told = words(column, row, self.context)
            if told not in (None, ""):
                self._pair(column.label.in_(self.language), str(told), sheet=sheet)
        self._y += 4

    def table_row(self, sheet: Sheet, row: Row) -> None:
        """A row of a table, as high as its highest cell; one higher than a page goes on on the next."""
        cells = [
            self._lines(_shown(words(column, row, self.context)), width - 2, _SIZE - 1, "")
            for column, (_, width) in zip(sheet.columns, self._columns, strict=True)
        ]
        height = max(len(lines) for lines in cells)
        done = 0
        while done < height:
            self._room(sheet, 2 * _LINE)
            fits = max(1, int((self.h - _BOTTOM - self._y) / 3.5))
            self._set(_SIZE - 1, "", (0, 0, 0))
            for lines, (left, _) in zip(cells, self._columns, strict=True):
                for number, each in enumerate(lines[done : done + fits]):
                    self.text(left + 1, self._y + 3 + number * 3.5, each)
            self._y += min(fits, height - done) * 3.5 + 1.6
            done += fits
        self._rule(self._y, 0.1, _RULE)

    def _fresh(self, sheet: Sheet) -> None:
        self.add_page(orientation="P" if sheet.layout == "card" else "L")
        self._y = _TOP
        self._set(14, "B", _INK)
        self.text(_LEFT, self._y, self._heading)
        self._y += 5
        if sheet.layout == "table":
            self._head(sheet)

    def _head(self, sheet: Sheet) -> None:
        whole, total = self.w - 2 * _LEFT, sum(column.width for column in sheet.columns)
        left, self._columns = _LEFT, []
        for column in sheet.columns:
            width = whole * column.width / total
            self._columns.append((left, width))
            left += width
        heads = [
            self._lines(column.label.in_(self.language), width - 2, _SIZE - 1, "B")
            for column, (_, width) in zip(sheet.columns, self._columns, strict=True)
        ]
        height = max(map(len, heads)) * 3.5 + 2
        self.set_fill_color(*_INK)
        self.rect(_LEFT, self._y, whole, height, style="F")
        self._set(_SIZE - 1, "B", (255, 255, 255))
        for lines, (at, _) in zip(heads, self._columns, strict=True):
            for number, each in enumerate(lines):
                self.text(at + 1, self._y + 3.2 + number * 3.5, each)
        self._y += height + 1

    def _pair(
        self,
        label: str,
        told: str,
        size: float = _SIZE,
        line: float = _LINE,
        label_width: float = _LABEL,
        sheet: Sheet | None = None,
    ) -> None:
        labels = self._lines(label, label_width - 3, size, "")
        lines = self._lines(told, self.w - 2 * _LEFT - label_width, size, "")
        amber = told == MISSING.in_(self.language)
        for number in range(max(len(labels), len(lines))):
            if sheet:
                self._room(sheet, line)
            if number < len(labels):
                self._set(size, "", _GREY)
                self.text(_LEFT, self._y + 3, labels[number])
            if number < len(lines):
                self._set(size, "", _AMBER if amber else (0, 0, 0))
                self.text(_LEFT + label_width, self._y + 3, lines[number])
            self._y += line

    def _room(self, sheet: Sheet, needed: float) -> None:
        if self._y + needed > self.h - _BOTTOM:
            self._fresh(sheet)

    def _rule(self, y: float, width: float, colour: tuple[int, int, int] = _INK) -> None:
        self.set_draw_color(*colour)
        self.set_line_width(width)
        self.line(_LEFT, y, self.w - _LEFT, y)

    def _set(self, size: float, style: str, colour: tuple[int, int, int]) -> None:
        self._font(size, style)
        self.set_text_color(*colour)

    def _font(self, size: float, style: str) -> None:
        if (self.font_size_pt, self.font_style) != (size, style) or not self.font_family:
            self.set_font("text", style, size)

    def _lines(self, told: str, width: float, size: float, style: str) -> list[str]:
        """The text broken into lines; a word that fits no line is broken too."""
        self._font(size, style)
        if not told.isascii():
            told = "".join(each if ord(each) in self._drawn or each.isspace() else _UNDRAWN for each in told)
        return [line for piece in told.split("\n") for line in self._broken(piece, width, size, style)] or [""]

    def _broken(self, told: str, width: float, size: float, style: str) -> Iterator[str]:
        space = self._width(" ", size, style)
        line, used = "", 0.0
        for word in told.split():
            wide = self._width(word, size, style)
            if wide > width:
                if line:
                    yield line
                    line, used = "", 0.0
                *whole, word = self._cut(word, width, size, style)
                yield from whole
                wide = self._width(word, size, style)
            if line and used + space + wide > width:
                yield line
                line, used = word, wide
            else:
                line, used = (f"{line} {word}", used + space + wide) if line else (word, wide)
        yield line

    def _cut(self, word: str, width: float, size: float, style: str) -> Iterator[str]:
        """A word in pieces that each fit a line, looked at once from its beginning to its end, however long it is."""
        begins, used = 0, 0.0
        for place, letter in enumerate(word):
            wide = self._width(letter, size, style)
            if used + wide > width and place > begins:
                yield word[begins:place]
                begins, used = place, 0.0
            used += wide
        yield word[begins:]

    def _width(self, word: str, size: float, style: str) -> float:
        """Of the font that is set."""
        known = self._wide.get((word, size, style))
        if known is None:
            known = self.get_string_width(word)
            if len(self._wide) < 50_000:
                self._wide[word, size, style] = known
        return known


def _shown(cell: object) -> str:
    return "" if cell is None else str(cell)

"""XLSX: a first sheet that says what this is, then a worksheet for each sheet, written row by row."""

from datetime import datetime
from pathlib import Path

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from services.registry.export.sheets import MISSING, Cell, Context, Profile, Sheet, words
from services.registry.export.spool import rows
from services.registry.export.wordings import cover_lines
from services.registry.labels import Label

_INK, _PALE, _AMBER = "#14324a", "#eef3f7", "#fdf1d8"
# What a cell of a spreadsheet can hold, and what stands at the end of one that holds no more.
_LONGEST = 32_767
_CUT = Label(sv=" … (allt står i CSV och JSON)", en=" … (all of it is in CSV and JSON)")


def workbook(folder: Path, out: Path, profile: Profile, context: Context) -> None:
    """The same rows give the same bytes: the file is dated by what was known, not by when it was made."""
    path = out / f"{profile.key}.xlsx"
    with xlsxwriter.Workbook(str(path), {"constant_memory": True, "tmpdir": str(folder)}) as book:
        book.set_properties(
            {
                "title": profile.title.in_(context.language),
                "author": context.about["controller"]["name"],
                "created": datetime.fromisoformat(context.about["known_at"]).replace(tzinfo=None),
            }
        )
        formats = _Formats(book)
        _cover(book.add_worksheet({"sv": "Om", "en": "About"}[context.language]), formats, profile, context)
        for sheet in profile.sheets:
            _fill(book.add_worksheet(sheet.title.in_(context.language)[:31]), formats, folder, sheet, context)


class _Formats:
    def __init__(self, book: Workbook) -> None:
        font = {"font_name": "Calibri", "font_size": 10, "valign": "top"}
        self.title = book.add_format(font | {"bold": True, "font_size": 18, "font_color": _INK})
        self.label = book.add_format(font | {"bold": True, "font_color": _INK, "text_wrap": True})
        self.text = book.add_format(font | {"text_wrap": True})
        self.head = book.add_format(
            font | {"bold": True, "font_color": "white", "bg_color": _INK, "text_wrap": True, "border": 1}
        )
        self.cell = book.add_format(font | {"text_wrap": True, "border": 1, "border_color": "#c9d4dc"})
        self.missing = book.add_format(
            font | {"italic": True, "bg_color": _AMBER, "border": 1, "border_color": "#c9d4dc"}
        )


def _cover(page: Worksheet, formats: _Formats, profile: Profile, context: Context) -> None:
    page.set_column(0, 0, 30)
    page.set_column(1, 1, 90)
    page.hide_gridlines(2)
    page.set_row(0, 30)
    page.write_string(0, 0, profile.title.in_(context.language), formats.title)
    for number, (label, told) in enumerate(cover_lines(profile, context), start=2):
        page.write_string(number, 0, label, formats.label)
        page.write_string(number, 1, told, formats.text)


def _fill(page: Worksheet, formats: _Formats, folder: Path, sheet: Sheet, context: Context) -> None:
    page.freeze_panes(1, min(2, len(sheet.columns) - 1))
    page.set_landscape()
    page.set_paper(8)
    page.fit_to_pages(1, 0)
    page.repeat_rows(0)
    page.set_footer("&L&F&R&P / &N")
    for place, column in enumerate(sheet.columns):
        page.set_column(place, place, column.width)
        page.write_string(0, place, column.label.in_(context.language), formats.head)
    missing = MISSING.in_(context.language)
    number = 0
    for number, row in enumerate(rows(folder, sheet.key), start=1):
        for place, column in enumerate(sheet.columns):
            told = words(column, row, context)
            _write(page, number, place, _fitting(told, context), formats.missing if told == missing else formats.cell)
    page.autofilter(0, 0, max(number, 1), len(sheet.columns) - 1)


def _write(page: Worksheet, row: int, place: int, told: Cell, look: Format) -> None:
    """As text whatever it looks like: nothing in a register is a formula or a link."""
    if told is None or told == "":
        page.write_blank(row, place, None, look)
    elif isinstance(told, int | float) and not isinstance(told, bool):
        page.write_number(row, place, told, look)
    else:
        page.write_string(row, place, str(told), look)


def _fitting(told: Cell, context: Context) -> Cell:
    if not isinstance(told, str) or len(told) <= _LONGEST:
        return told
    cut = _CUT.in_(context.language)
    return told[: _LONGEST - len(cut)] + cut

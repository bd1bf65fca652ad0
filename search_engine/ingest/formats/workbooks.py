"""Excel workbooks, as the text of their cells: .xlsx by openpyxl, .xls by xlrd."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import date, datetime, time
from pathlib import Path

import openpyxl
import xlrd

from search_engine.errors import ReadError
from search_engine.ingest.formats.markdown_table import format_table


def convert_xlsx(path: Path) -> str:
    """All sheets as Markdown tables, each under its name, hidden ones too.

    A formula is the value that was last computed for it; one that was never computed is blank.
    """
    with warnings.catch_warnings():
        # openpyxl warns of what it does not keep when it saves; nothing is saved here.
        warnings.simplefilter("ignore")
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
        with closing(workbook):
            sections = []
            for sheet in workbook.worksheets:
                # The size that a sheet states may be wrong, or a million rows of nothing.
                sheet.reset_dimensions()
                rows = sheet.iter_rows(values_only=True)
                sections.append(_format_sheet(sheet.title, (map(_write, row) for row in rows)))
    return "\n\n".join(section for section in sections if section)


def convert_xls(path: Path) -> str:
    """As `convert_xlsx`, of the format before 2007.

    Raises:
        ReadError: the workbook is encrypted.
    """
    try:
        # It reports what is odd in a file to standard output, unless told otherwise.
        workbook = xlrd.open_workbook(path, logfile=io.StringIO(), on_demand=True)
    except xlrd.XLRDError as error:
        if "encrypted" in str(error):
            reason = "is encrypted; save it without a password"
            raise ReadError(str(path), reason) from error
        raise ReadError(str(path), f"is damaged: {error}") from error
    with workbook:
        sections = [
            _format_sheet(sheet.name, _read_rows(sheet, workbook.datemode))
            for sheet in map(workbook.sheet_by_index, range(workbook.nsheets))
        ]
    return "\n\n".join(section for section in sections if section)


def _format_sheet(name: str, rows: Iterable[Iterable[str]]) -> str:
    table = format_table([list(row) for row in rows])
    return f"## {name}\n\n{table}" if table else ""


def _read_rows(sheet: xlrd.sheet.Sheet, datemode: int) -> Iterator[list[str]]:
    for index in range(sheet.nrows):
        yield [_write(_read_cell(cell, datemode)) for cell in sheet.row(index)]


def _read_cell(cell: xlrd.sheet.Cell, datemode: int) -> object:
    if cell.ctype == xlrd.XL_CELL_DATE:
        try:
            moment = xlrd.xldate_as_datetime(cell.value, datemode)
        except (ValueError, OverflowError):
            return cell.value
        # A number below 1 is a time of day; the date is where the calendar begins.
        return moment.time() if cell.value < 1 else moment
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return bool(cell.value)
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return xlrd.error_text_from_code.get(cell.value, "")
    return cell.value


def _write(value: object) -> str:
    """A value as a person would write it: dates as ISO, numbers with 15 digits as Excel has."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return format(value, ".15g")
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)

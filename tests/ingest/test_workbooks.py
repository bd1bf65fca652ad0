"""Workbooks of both formats: values as a person would write them, and what is left out."""

from __future__ import annotations

import datetime as dt
import io
import struct
import zipfile
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.chart import BarChart

from search_engine.ingest.formats.markdown_table import format_table
from tests.ingest.office_files import (
    label,
    number,
    record,
    write_xls,
    write_zip,
)
from tests.ingest.reading import read, read_one, read_problem


def test_workbook(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    workbook.properties.creator = "Ann Lee"
    workbook.properties.title = "Sales"
    sheet = workbook.active
    sheet.title = "Zahlen"
    rows: list[list[object]] = [
        [None, None, "id", None, "when", "name", "ok", "how much", "time"],
        [],
        [None, None, 1, None, dt.date(2024, 5, 1), "a|b\nc", True, 0.1 + 0.2, dt.time(8, 30)],
        [None, None, 2.0, None, dt.datetime(2024, 5, 1, 8, 30), "=A1+1", False, 1e21, None],
    ]
    for row in rows:
        sheet.append(row)
    sheet.merge_cells("C6:D7")
    sheet["C6"] = "merged"
    hidden = workbook.create_sheet("Hidden")
    hidden.sheet_state = "hidden"
    hidden.append(["seen", "all the same"])
    workbook.create_sheet("Empty")
    workbook.create_chartsheet("Chart").add_chart(BarChart())
    workbook.save(tmp_path / "a.xlsx")
    document = read_one(tmp_path, "a.xlsx", (tmp_path / "a.xlsx").read_bytes())
    assert document.text == (
        "## Zahlen\n\n"
        "| id | when | name | ok | how much | time |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| 1 | 2024-05-01 | a\\|b c | TRUE | 0.3 | 08:30:00 |\n"
        "| 2 | 2024-05-01 08:30:00 |  | FALSE | 1e+21 |\n"
        "| merged |\n\n"
        "## Hidden\n\n| seen | all the same |\n| --- | --- |"
    )
    assert (document.title, document.metadata["author"]) == ("Sales", "Ann Lee")


@pytest.mark.parametrize("size", ["A1", "A1:XFD1048576"])
def test_the_size_that_a_sheet_states_is_not_believed(tmp_path: Path, size: str) -> None:
    workbook = openpyxl.Workbook()
    workbook.active.append(["a", "b"])
    workbook.active.append(["c", "d"])
    buffer = io.BytesIO()
    workbook.save(buffer)
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    assert b'ref="A1:B2"' in members[name]
    members[name] = members[name].replace(b'ref="A1:B2"', f'ref="{size}"'.encode())
    text = read_one(tmp_path, "a.xlsx", write_zip(members)).text
    assert text == "## Sheet\n\n| a | b |\n| --- | --- |\n| c | d |"


def test_empty_workbook(tmp_path: Path) -> None:
    openpyxl.Workbook().save(tmp_path / "a.xlsx")
    reason, _ = read_problem(tmp_path, "a.xlsx", (tmp_path / "a.xlsx").read_bytes())
    assert reason == "has no text: it is empty, or all of it is images"


def test_old_workbook(tmp_path: Path) -> None:
    cells = [
        label(0, 0, "Größe"),
        label(0, 1, "when"),
        label(0, 2, "ok"),
        number(1, 0, 7.0),
        number(1, 1, 45413.0, 1),
        record(0x205, struct.pack("<HHHBB", 1, 2, 0, 1, 0)),
        number(2, 0, 2.5),
        number(2, 1, 0.25, 1),
        record(0x205, struct.pack("<HHHBB", 2, 2, 0, 7, 1)),
    ]
    text = read_one(tmp_path, "a.xls", write_xls(cells)).text
    assert text == (
        "## Sheet\n\n| Größe | when | ok |\n| --- | --- | --- |\n"
        "| 7 | 2024-05-01 | TRUE |\n| 2.5 | 06:00:00 | #DIV/0! |"
    )


def test_both_formats_of_one_workbook_read_the_same(shared_data: Path) -> None:
    folder = shared_data / "folders/docs-mixed-markitdown/packages/markitdown/tests/test_files"
    (old,), _ = read(folder / "test.xls")
    (new,), _ = read(folder / "test.xlsx")
    assert old.text == new.text
    assert old.text.splitlines()[2:5] == [
        "| Alpha | Beta | Gamma | Delta |",
        "| --- | --- | --- | --- |",
        "| 89 | 82 | 100 | 12 |",
    ]
    assert dict(old.metadata) == {"author": "Adam Fourney", "created": "2015-06-05T18:17:20Z"}
    assert old.metadata == new.metadata


_CELL = st.text("a |\n", max_size=3)


@given(st.lists(st.lists(_CELL, max_size=5), max_size=6))
def test_tables_keep_every_cell_in_its_column(rows: list[list[str]]) -> None:
    table = format_table(rows)
    cells = [[" ".join(cell.split()) for cell in row] for row in rows]
    kept = [row for row in cells if any(row)]
    used = [k for k in range(5) if any(k < len(row) and row[k] for row in kept)]
    lines = table.splitlines()
    assert len(lines) == (len(kept) + 1 if kept else 0)
    for line, row in zip([*lines[:1], *lines[2:]], kept, strict=True):
        found = [each.replace("\\|", "|").strip() for each in _split(line)]
        wanted = [row[k] if k < len(row) else "" for k in used]
        assert found + [""] * (len(used) - len(found)) == wanted
    if kept:
        assert len(_split(lines[0])) == len(_split(lines[1])) == len(used)


def _split(line: str) -> list[str]:
    marked = line.replace("\\|", "\0")
    return [each.replace("\0", "\\|") for each in marked[1:-1].split("|")]

"""CSV and TSV: dialects, headers, quotes, encodings, and rows that are none."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.errors import ReadError
from search_engine.ingest.formats import delimited
from search_engine.ingest.formats.delimited import read_delimited
from search_engine.ingest.readers import Fields
from tests.ingest.reading import read_bytes, read_problem


def read_rows(path: Path) -> list[Mapping[str, object] | tuple[int | None, str]]:
    contents = [reading.content for reading in read_delimited(path)]
    return [
        content.values if isinstance(content, Fields) else (content.line, content.reason)
        for content in contents
        if isinstance(content, Fields | ReadError)
    ]


def rows_of(folder: Path, name: str, data: bytes) -> list[object]:
    (folder / name).write_bytes(data)
    return list(read_rows(folder / name))


def test_rows_become_documents(tmp_path: Path) -> None:
    data = b'id,title,text,year\na,T,"one, ""two""\nthree",1999\n\nb,,four,\n'
    documents, problems = read_bytes(tmp_path, "a.csv", data)
    assert problems == []
    assert [
        (d.doc_id, d.title, d.text, d.first_line, d.single_line, d.metadata["year"])
        for d in documents
    ] == [
        ("r/a.csv#a", "T", 'one, "two"\nthree', 2, True, 1999),
        ("r/a.csv#b", "", "four", 5, True, None),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(tmp_path: Path, delimiter: str) -> None:
    lines = [["name", "said"], ["Ada", "no, well; yes | and\tso"], ["Bo", "a, b, c"], ["Cy", ""]]
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows(lines)
    # Other delimiters stand in the cells, as often as they like.
    expected = [dict(zip(lines[0], [cell or None for cell in line], strict=True))
                for line in lines[1:]]  # fmt: skip
    assert rows_of(tmp_path, "a.csv", buffer.getvalue().encode()) == expected


def test_tsv_is_by_tabs_whatever_its_cells(tmp_path: Path) -> None:
    data = b"a\tb\nx,y\tz,w\n"
    assert rows_of(tmp_path, "a.tsv", data) == [{"a": "x,y", "b": "z,w"}]
    assert rows_of(tmp_path, "a.tsv.gz", gzip.compress(data)) == [{"a": "x,y", "b": "z,w"}]
    one_column = b"text\none; two; three\nfour, five\n"
    assert rows_of(tmp_path, "b.csv", one_column) == [
        {"text": "one; two; three"}, {"text": "four, five"}
    ]  # fmt: skip


def test_without_a_header_columns_are_numbered(tmp_path: Path) -> None:
    for first in ("0", "-1.5", "12,5", "2024-01-31", "10:30", "1e5", "50%"):
        data = f"{first}\tone\n1\ttwo\n".encode()
        assert rows_of(tmp_path, "a.tsv", data)[0] == {"column-1": first, "column-2": "one"}
    long = "x" * 101
    assert rows_of(tmp_path, "a.tsv", f"a\t{long}\n".encode()) == [
        {"column-1": "a", "column-2": long}
    ]


def test_names_that_come_again_or_are_empty(tmp_path: Path) -> None:
    data = b",text,text, b \n0,1,2,3\n"
    assert rows_of(tmp_path, "a.csv", data) == [
        {"column-1": "0", "text": "1", "text-2": "2", "b": "3"}
    ]


def test_rows_of_another_width_are_named_and_the_rest_goes_in(tmp_path: Path) -> None:
    data = b'a,b\n1,"x\ny"\n2\n3,4,5\n6,7\n'
    found = rows_of(tmp_path, "a.csv", data)
    assert found[0] == {"a": "1", "b": "x\ny"}
    assert found[1:3] == [
        (4, "has 1 cells where the first row has 2; check its quotes and delimiters"),
        (5, "has 3 cells where the first row has 2; check its quotes and delimiters"),
    ]
    assert found[3] == {"a": "6", "b": "7"}
    keys = [r.content.key for r in read_delimited(tmp_path / "a.csv")
            if isinstance(r.content, Fields)]  # fmt: skip
    assert keys == ["row-1", "row-4"]


def test_huge_cells_and_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The limit of the module csv is 131,072 characters unless somebody raises it.
    long = "x" * 200_000
    assert rows_of(tmp_path, "a.csv", f"a,b\n1,{long}\n".encode()) == [{"a": "1", "b": long}]
    limit = csv.field_size_limit()
    try:
        csv.field_size_limit(50)
        monkeypatch.setattr(delimited, "_MAX_CELL", 50)
        data = b'a,b\n1,2\n3,"never closed\n' + b"4,5\n" * 12 + b"6,7\n"
        found = rows_of(tmp_path, "a.csv", data)
    finally:
        csv.field_size_limit(limit)
    assert found[0] == {"a": "1", "b": "2"}
    line, reason = found[1]  # type: ignore[misc]
    assert line == 3
    assert "is a quote never closed?" in reason
    assert found[-1] == {"a": "6", "b": "7"}
    monkeypatch.setattr(delimited, "_MAX_LINE", 20)
    found = rows_of(tmp_path, "a.csv", b"a,b\n1," + b"x" * 70 + b"\n3,4\n")
    assert found == [(2, "is no row of a table: a line has more than 0 MiB"), {"a": "3", "b": "4"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = "name,ort\nMüller,Köln € Süd\nBärbel,Düsseldorf\n"
    assert rows_of(tmp_path, "a.csv", text.encode(encoding)) == [
        {"name": "Müller", "ort": "Köln € Süd"},
        {"name": "Bärbel", "ort": "Düsseldorf"},
    ]


def test_mixed_encodings_are_told_cell_by_cell(tmp_path: Path) -> None:
    far = b"x,y\n" * 20_000
    data = b"a,b\n" + far + "é,".encode() + b"\xe9\n" + b"ok,\x81\x8d\n" + b"z,z\n"
    found = rows_of(tmp_path, "a.csv", data)
    assert found[-3] == {"a": "é", "b": "é"}
    assert found[-2] == (
        20_003,
        "is no row of a table: byte 0x81 is neither UTF-8 nor cp1252; save the file as UTF-8",
    )
    assert found[-1] == {"a": "z", "b": "z"}


def test_what_is_no_table(tmp_path: Path) -> None:
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x00" * 50
    assert read_problem(tmp_path, "a.csv", png) == ("is not a table but a PNG image", None)
    assert read_problem(tmp_path, "b.csv.gz", b"a,b\n1,2\n")[0].startswith("is not a gzip file")
    assert read_problem(tmp_path, "c.csv", b"a,b\n") == ("is empty", None)
    broken = "a,b\n".encode("utf-16") + b"\x00"
    assert "breaks off or is damaged as UTF-16" in read_problem(tmp_path, "d.csv", broken)[0]


def test_gzip_that_breaks_off(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n**5 % 1000003}\n" for n in range(20_000))
    packed = gzip.compress(f"a,b\n{rows}".encode())
    documents, problems = read_bytes(tmp_path, "a.csv.gz", packed[: len(packed) // 2])
    assert "breaks off here" in problems[-1].reason
    assert problems[-1].line is not None and problems[-1].line > 1000
    assert documents[0].text == "a: 0\nb: 0"
    assert [str(d.metadata["b"]) for d in documents] == [
        str(n**5 % 1000003) for n in range(len(documents))
    ]


def test_progress_is_in_bytes_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + "some,words\n" * 50_000)
    progress = [reading.bytes_read or 0 for reading in read_delimited(path)]
    assert progress == sorted(progress)
    assert progress[-1] == path.stat().st_size
    assert 0.3 < progress[25_000] / progress[-1] < 0.7


cells = st.text(st.sampled_from('ab"\n,;|é😀 '), max_size=6)
tables = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=6)
)


@given(tables, st.sampled_from(["\n", "\r\n"]))
def test_what_csv_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], end: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.tsv"
    width = len(table[0]) if table else 2
    header = [f"name{n}" for n in range(width)]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter="\t", lineterminator=end).writerows([header, *table])
    path.write_bytes(buffer.getvalue().encode())
    expected = [
        {name: cell or None for name, cell in zip(header, row, strict=True)}
        for row in table
        if any(cell.strip() for cell in row)
    ]
    assert read_rows(path) == expected

"""Office files that cannot be read, and what their properties say."""

from __future__ import annotations

from pathlib import Path

import pytest

from search_engine.ingest.formats import zip_archive
from search_engine.ingest.formats.document_properties import clean_title, make_metadata
from tests.ingest.compound_file import write_compound_file
from tests.ingest.office_files import (
    label,
    paragraph,
    record,
    write_docx,
    write_xls,
    write_zip,
)
from tests.ingest.reading import read_one, read_problem


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        (
            "a.docx",
            write_compound_file({"EncryptedPackage": b"x", "EncryptionInfo": b"x"}),
            "is encrypted; save it without a password",
        ),
        (
            "a.xls",
            write_xls([], record(0x2F, bytes(54))),
            "is encrypted; save it without a password",
        ),
        (
            "a.docx",
            write_compound_file({"WordDocument": b"x"}),
            "is an old Word document (.doc); save it as .docx",
        ),
        (
            "a.pptx",
            write_compound_file({"PowerPoint Document": b"x"}),
            "is an old presentation (.ppt); save it as .pptx",
        ),
        ("a.xls", write_compound_file({"Other": b"x"}), "is not an Office document"),
        ("a.docx", b"plain text", "is not a .docx file, whatever its name says"),
        (
            "a.xls",
            b"<table><tr><td>x</td></tr></table>",
            "is not a .xls file, whatever its name says",
        ),
        (
            "a.docx",
            write_docx(paragraph("x"))[:400],
            "is damaged: it begins as a ZIP archive but its end is missing or broken",
        ),
        ("a.docx", write_zip({"word/x": "x"}), "is a ZIP archive but not an Office document"),
        ("a.docx", write_zip({"a.txt": "x"}), "is a ZIP archive but not an Office document"),
        (
            "a.xlsx",
            write_zip({"[Content_Types].xml": "x", "xl/workbook.bin": "x"}),
            "is a binary workbook (.xlsb); save it as .xlsx",
        ),
        ("a.docx", write_docx(""), "has no text: it is empty, or all of it is images"),
    ],
)
def test_no_office_document(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    assert read_problem(tmp_path, name, data) == (reason, None)


def test_damaged_properties(tmp_path: Path) -> None:
    data = write_docx(paragraph("x"), members={"docProps/core.xml": "<a>"})
    reason, _ = read_problem(tmp_path, "a.docx", data)
    assert reason.startswith("is damaged: docProps/core.xml in it cannot be read (")


def test_content_says_what_it_is_not_the_name(tmp_path: Path) -> None:
    assert (
        read_one(tmp_path, "a.xls", write_docx(paragraph("a Word document"))).text
        == "a Word document"
    )
    cells = [label(0, 0, "old")]
    assert read_one(tmp_path, "a.xlsx", write_xls(cells)).text == "## Sheet\n\n| old |\n| --- |"


def test_encrypted_members(tmp_path: Path) -> None:
    data = bytearray(write_zip({"[Content_Types].xml": "x", "word/document.xml": "x"}))
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1
    assert read_problem(tmp_path, "a.docx", bytes(data)) == (
        "is encrypted; save it without a password",
        None,
    )


@pytest.mark.parametrize(("sizes", "refused"), [((1000, 1000), False), ((1001,), True)])
def test_expansion_of_one_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], refused: bool
) -> None:
    monkeypatch.setattr(zip_archive, "_MAX_MEMBER", 1000)
    monkeypatch.setattr(zip_archive, "_MAX_TOTAL", 2000)
    _check_expansion(tmp_path, sizes, refused)


@pytest.mark.parametrize(("sizes", "refused"), [((900, 900, 200), False), ((900, 900, 201), True)])
def test_expansion_of_all_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], refused: bool
) -> None:
    monkeypatch.setattr(zip_archive, "_MAX_MEMBER", 1000)
    monkeypatch.setattr(zip_archive, "_MAX_TOTAL", 2000)
    _check_expansion(tmp_path, sizes, refused)


def _check_expansion(folder: Path, sizes: tuple[int, ...], refused: bool) -> None:
    data = write_zip({str(number): bytes(size) for number, size in enumerate(sizes)})
    reason, _ = read_problem(folder, "a.docx", data)
    large = reason.startswith("expands to more than")
    assert large == refused
    assert large or reason == "is a ZIP archive but not an Office document"


def test_limits_of_expansion() -> None:
    assert (zip_archive._MAX_MEMBER, zip_archive._MAX_TOTAL) == (2**30, 2**31)


@pytest.mark.parametrize(
    ("title", "clean"),
    [
        ("PowerPoint Presentation", ""),
        ("Microsoft Word - Report of May", "Report of May"),
        ("Microsoft Word - report.doc", ""),
        ("Word Document", ""),
        ("Slide 1", ""),
        ("untitled", ""),
        ("A\x00  title\n", "A title"),
        ("Presentation of results", "Presentation of results"),
    ],
)
def test_clean_title(title: str, clean: str) -> None:
    assert clean_title(title) == clean


@pytest.mark.parametrize(
    ("author", "created", "metadata"),
    [
        ("Ann  Lee\x00", "2024-05-01", {"author": "Ann Lee", "created": "2024-05-01"}),
        ("python-docx", "1601-01-01T00:00:00Z", {}),
        ("openpyxl", "2024-13-01", {}),
        ("", "", {}),
    ],
)
def test_metadata(author: str, created: str, metadata: dict[str, str]) -> None:
    assert dict(make_metadata(author, created)) == metadata

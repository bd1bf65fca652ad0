"""PDF files: pages, titles, authors, and what is said of each bad one."""

from __future__ import annotations

from pathlib import Path

import pypdfium2
import pytest
from PIL import Image
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen import canvas

from search_engine.ingest.formats import pdf
from tests.ingest.reading import read, read_problem


def draw_pdf(path: Path, pages: list[list[str]], *, title: str = "", password: str = "") -> None:
    encryption = StandardEncryption(password, canPrint=1) if password else None
    drawing = canvas.Canvas(str(path), encrypt=encryption)
    if title:
        drawing.setTitle(title)
    for lines in pages:
        for number, line in enumerate(lines):
            drawing.drawString(72, 700 - 15 * number, line)
        drawing.showPage()
    drawing.save()


def test_pdf_pages(tmp_path: Path) -> None:
    pages = [["Page one.", "Its second line."], [], ["An exam-", "ple of a broken word"]]
    draw_pdf(tmp_path / "a.pdf", pages, title="Annual report")
    (document,), problems = read(tmp_path / "a.pdf")
    assert problems == []
    expected = ["Page one.\nIts second line.", "", "An example of a broken word"]
    assert document.text == "\n\n".join(expected)
    assert document.pages == (0, 28, 30)
    assert [
        document.text[start : start + len(page)]
        for start, page in zip(document.pages, expected, strict=True)
    ] == expected
    assert (document.title, document.first_line, document.markup) == (
        "Annual report",
        None,
        "plain",
    )


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("", "scan-7"),
        ("untitled", "scan-7"),
        ("(anonymous)", "scan-7"),
        ("thesis_final.dvi", "scan-7"),
        ("Microsoft Word - Budget 2024", "Budget 2024"),
        ("Microsoft Word - budget.docx", "scan-7"),
        ("PowerPoint Presentation", "scan-7"),
        ("  Node.js in   practice ", "Node.js in practice"),
    ],
)
def test_pdf_title(tmp_path: Path, title: str, shown: str) -> None:
    draw_pdf(tmp_path / "scan-7.pdf", [["text"]], title=title)
    (document,), _ = read(tmp_path / "scan-7.pdf")
    assert document.title == shown


def test_pdf_with_a_password(tmp_path: Path) -> None:
    draw_pdf(tmp_path / "a.pdf", [["secret"]], password="pw")
    assert read_problem(tmp_path, "a.pdf", (tmp_path / "a.pdf").read_bytes()) == (
        "is encrypted and needs a password; save it without one",
        None,
    )


def test_pdf_without_text(tmp_path: Path) -> None:
    draw_pdf(tmp_path / "a.pdf", [[], []])
    reason, _ = read_problem(tmp_path, "a.pdf", (tmp_path / "a.pdf").read_bytes())
    assert reason == (
        "has no text on any page (scanned?); --ocr reads it where tesseract is installed"
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"hello", "is not a PDF file, whatever its name says"),
        (b"%PDF-1.4 nothing", "is damaged: it begins as a PDF file but cannot be opened as one"),
    ],
)
def test_not_pdf(tmp_path: Path, data: bytes, reason: str) -> None:
    assert read_problem(tmp_path, "a.pdf", data) == (reason, None)


def test_pdf_page_that_fails_loses_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_pdf(tmp_path / "a.pdf", [["one"], ["two"], ["three"]])
    read_page = pdf._read_page

    def fail(document: pypdfium2.PdfDocument, index: int) -> tuple[str, bool]:
        if index == 1:
            raise pypdfium2.PdfiumError("Failed to load page.")
        return read_page(document, index)

    monkeypatch.setattr(pdf, "_read_page", fail)
    (document,), problems = read(tmp_path / "a.pdf")
    assert document.text == "one\n\n\n\nthree"
    assert document.pages == (0, 5, 7)
    assert [problem.reason for problem in problems] == [
        "page 2 cannot be read (Failed to load page.)"
    ]


@pytest.mark.parametrize(
    ("author", "shown"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        ("  Ada \n Lovelace ", "Ada Lovelace"),
        ("anonymous", None),
        ("(unspecified)", None),
        ("User", None),
        ("Administrator", None),
        ("", None),
    ],
)
def test_pdf_author(tmp_path: Path, author: str, shown: str | None) -> None:
    drawing = canvas.Canvas(str(tmp_path / "a.pdf"))
    drawing.setAuthor(author)
    drawing.drawString(72, 700, "text")
    drawing.save()
    (document,), _ = read(tmp_path / "a.pdf")
    assert document.metadata.get("author") == shown


def draw_scan(path: Path, kinds: str) -> None:
    """Pages by letter: "t" has text, "s" an image, "b" nothing."""
    drawing = canvas.Canvas(str(path))
    image = ImageReader(Image.new("L", (60, 40), 128))
    for number, kind in enumerate(kinds, start=1):
        if kind == "t":
            drawing.drawString(72, 700, f"text of page {number}")
        elif kind == "s":
            drawing.drawImage(image, 72, 400, 300, 200)
        drawing.showPage()
    drawing.save()


def test_pdf_that_is_mostly_scanned(tmp_path: Path) -> None:
    draw_scan(tmp_path / "a.pdf", "tsss")
    (document,), problems = read(tmp_path / "a.pdf")
    assert (document.text.strip(), document.pages) == ("text of page 1", (0, 16, 18, 20))
    assert [problem.reason for problem in problems] == [
        "has no text on 3 of 4 pages (scanned?, the first is page 2); "
        "--ocr reads them where tesseract is installed"
    ]


@pytest.mark.parametrize("kinds", ["tts", "tsts", "tbbb"])
def test_pdf_with_some_pages_without_text(tmp_path: Path, kinds: str) -> None:
    draw_scan(tmp_path / "a.pdf", kinds)
    (_,), problems = read(tmp_path / "a.pdf")
    assert problems == []

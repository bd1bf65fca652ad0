"""Each format: what is read from a good file, and what is said of every kind of bad one."""

from __future__ import annotations

from pathlib import Path

import pypdfium2
import pytest
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen import canvas

from search_engine.ingest import pdf
from search_engine.ingest.markdown import outline_markdown
from tests.ingest.reading import read, read_bytes, read_one, read_problem

# Plain text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_plain_text_in_every_encoding_with_a_mark(tmp_path: Path, encoding: str) -> None:
    text = "Café 😀\r\nsecond line\n"
    document = read_one(tmp_path, "notes.txt", text.encode(encoding))
    assert document.text == text
    assert (document.doc_id, document.title, document.markup) == ("r/notes.txt", "notes", "plain")
    assert (document.first_line, document.single_line) == (1, False)


def test_plain_text_big_endian(tmp_path: Path) -> None:
    data = b"\xfe\xff" + "naïve".encode("utf-16-be")
    assert read_one(tmp_path, "a.log", data).text == "naïve"


@pytest.mark.parametrize(
    ("data", "reason", "line"),
    [
        (
            b"one\ntwo\nth\xe9ree\n",
            "byte 0xe9 is not UTF-8; convert the file to UTF-8",
            3,
        ),
        (
            "one\ntwo".encode("utf-16")[:-1],
            "breaks off or is damaged as UTF-16; save the file again as UTF-8",
            2,
        ),
        (
            b"abc\x00\x01",
            "is not text but binary data (it has zero bytes); give it its own extension",
            None,
        ),
        (
            b"\x89PNG\r\n\x1a\n\x00\x00",
            "is not text but a PNG image; give it its own extension",
            None,
        ),
        (b"%PDF-1.4\n", "is not text but a PDF file; give it its own extension", None),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_not_text(tmp_path: Path, name: str, data: bytes, reason: str, line: int | None) -> None:
    assert read_problem(tmp_path, name, data) == (reason, line)


# Markdown


def test_markdown_is_the_file_as_it_stands(tmp_path: Path) -> None:
    text = (
        "---\r\ntitle: The Guide\r\ndraft: false\r\nweight: 3\r\ndate: 2024-05-01\r\n"
        "tags: [a, b]\r\n---\r\n# Heading\r\n\r\nBody.\r\n"
    )
    document = read_one(tmp_path, "g.md", text.encode())
    assert document.text == text
    assert document.title == "The Guide"
    assert dict(document.metadata) == {"draft": False, "weight": 3, "date": "2024-05-01"}
    assert (document.markup, document.first_line) == ("markdown", 1)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# First Steps { #first-steps }\n", "First Steps"),
        (
            "Intro.\n\n## `code` and *stress* [link](http://x) ![pic](y)\n",
            "code and stress link pic",
        ),
        ("Setext\nheading\n===\n", "Setext heading"),
        ("```\n# not a heading\n```\n", "page"),
        ("# \n\n## Second\n", "Second"),
        ("# Use {braces} & &amp; <b>bold</b>\n", "Use {braces} & & bold"),
        ("# Kramdown {: .cls key=v }\n", "Kramdown"),
        ("---\ntitle: 2024\n---\n# Other\n", "2024"),
        ("---\ntitle: ''\n---\n# Other\n", "Other"),
        ("---\n\nA rule, not front matter\n\n---\n# Other\n", "Other"),
        ("no heading", "page"),
    ],
)
def test_markdown_title(tmp_path: Path, text: str, title: str) -> None:
    assert read_one(tmp_path, "page.md", text.encode()).title == title


def test_broken_front_matter_is_text_and_a_problem(tmp_path: Path) -> None:
    text = "---\ntitle: a: b\n---\n# H\n"
    documents, problems = read_bytes(tmp_path, "a.md", text.encode())
    assert [document.text for document in documents] == [text]
    assert [(problem.line, problem.reason) for problem in problems] == [
        (
            1,
            "the front matter is not YAML (mapping values are not allowed in this context); "
            "it was indexed as text",
        )
    ]
    outline = outline_markdown(text)
    assert (outline.body, outline.headings[-1].start) == (0, text.index("# H"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_outline_offsets(end: str) -> None:
    lines = [
        "---", "a: 1", "---", "# One", "", "~~~", "# code", "~~~", "", "> # quoted", "",
        "Two", "---", "", "   ### Three ###", "text 😀", "#### Four",
    ]  # fmt: skip
    text = end.join(lines)
    outline = outline_markdown(text)
    assert text[outline.body :].startswith("# One")
    assert [(h.level, h.title) for h in outline.headings] == [
        (1, "One"), (2, "Two"), (3, "Three"), (4, "Four"),
    ]  # fmt: skip
    starts = ["# One", "Two", "   ### Three", "#### Four"]
    assert [text.index(start) for start in starts] == [h.start for h in outline.headings]


# HTML

_ARTICLE = (
    "<h1>Tea</h1><p>Tea is made of leaves that were picked in the morning.</p>"
    "<h2>Green</h2><p>It is steamed at once and never left to wither.</p>"
    "<h2>Black</h2><p>It withers for a day, is rolled, and turns dark in the air.</p>"
)


@pytest.mark.parametrize("frame", ["%s", "<main>%s</main>", "<div><div>%s</div></div>"])
def test_html_keeps_headings_and_drops_menus(tmp_path: Path, frame: str) -> None:
    page = (
        "<!doctype html><html><head><title>All about tea</title></head><body>"
        "<nav><ul><li><a href='/'>Home page</a></li></ul></nav>"
        f"{frame % _ARTICLE}<footer>Imprint</footer></body></html>"
    )
    document = read_one(tmp_path, "tea.html", page.encode())
    assert document.title == "Tea"  # the page's only h1
    assert (document.markup, document.first_line) == ("markdown", None)
    lines = [line for line in document.text.splitlines() if line]
    assert lines == [
        "# Tea",
        "Tea is made of leaves that were picked in the morning.",
        "## Green",
        "It is steamed at once and never left to wither.",
        "## Black",
        "It withers for a day, is rolled, and turns dark in the air.",
    ]


def test_html_encoding_declared_in_the_page(tmp_path: Path) -> None:
    page = (
        '<html><head><meta charset="iso-8859-1"><title>Café</title></head>'
        "<body><p>Crème brûlée is a dessert of cream and burnt sugar.</p></body></html>"
    )
    document = read_one(tmp_path, "a.htm", page.encode("latin-1"))
    assert document.title == "Café"
    assert document.text.strip() == "Crème brûlée is a dessert of cream and burnt sugar."


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html><body></body></html>", "is empty: the page has no text of its own"),
        (b"\x00\x01\x02\x03", "is not HTML but binary data (it has zero bytes)"),
        (b"just some words", "is not HTML: no element was found in it"),
        (b"%PDF-1.7\n", "is not HTML but a PDF file"),
    ],
)
def test_not_html(tmp_path: Path, data: bytes, reason: str) -> None:
    assert read_problem(tmp_path, "a.html", data) == (reason, None)


# PDF


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
    assert reason.startswith("has no text on any page (scanned?)")


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

    def fail(document: pypdfium2.PdfDocument, index: int) -> str:
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

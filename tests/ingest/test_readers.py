"""Each format: what is read from a good file, and what is said of every kind of bad one."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen import canvas

from search_engine.errors import ReadError
from search_engine.ingest import jsonl, pdf
from search_engine.ingest.folder import find_files, read_files
from search_engine.ingest.jsonl import read_jsonl
from search_engine.ingest.markdown import outline_markdown
from search_engine.types import Document


def read(path: Path) -> tuple[list[Document], list[ReadError]]:
    found = find_files([path])
    assert found.problems == ()
    records = list(read_files(found.files, {path.resolve().parent: "r"}))
    assert all((record.document is None) != (record.problem is None) for record in records)
    documents = [record.document for record in records if record.document is not None]
    return documents, [record.problem for record in records if record.problem is not None]


def read_bytes(folder: Path, name: str, data: bytes) -> tuple[list[Document], list[ReadError]]:
    path = folder / name
    path.write_bytes(data)
    return read(path)


def read_one(folder: Path, name: str, data: bytes) -> Document:
    documents, problems = read_bytes(folder, name, data)
    assert problems == []
    (document,) = documents
    return document


def read_problem(folder: Path, name: str, data: bytes) -> tuple[str, int | None]:
    documents, problems = read_bytes(folder, name, data)
    assert documents == []
    (problem,) = problems
    assert problem.path == str(folder / name)
    return problem.reason, problem.line


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


# JSON Lines


def test_jsonl_records(tmp_path: Path) -> None:
    lines = [
        '{"_id": "a", "id": "b", "title": "T", "text": "one", "year": 1999, "tags": ["x"]}',
        '{"id": 7, "contents": "two", "ok": true, "none": null}',
        '{"text": null, "content": "three"}',
        "",
        '{"doc_id": "", "body": "five", "title": 5}',
        '{"_id": "only-title", "title": "Six", "text": ""}',
    ]
    documents, problems = read_bytes(tmp_path, "a.jsonl", "\n".join(lines).encode())
    assert problems == []
    assert [
        (d.doc_id.removeprefix("r/a.jsonl#"), d.title, d.text, d.first_line, dict(d.metadata))
        for d in documents
    ] == [
        ("a", "T", "one", 1, {"id": "b", "year": 1999}),
        ("7", "", "two", 2, {"ok": True, "none": None}),
        ("line-3", "", "three", 3, {"text": None}),
        ("line-5", "", "five", 5, {"doc_id": ""}),
        ("only-title", "", "Six", 6, {}),
    ]
    assert all(d.single_line and d.source == str(tmp_path / "a.jsonl") for d in documents)


def test_jsonl_bad_lines_are_named_and_the_rest_goes_in(tmp_path: Path) -> None:
    lines = [
        b"\xef\xbb\xbf" + b'{"id": 1, "text": "first"}',
        b"{not json}",
        b"[1, 2]",
        b'{"id": 4, "title": "no text"}',
        b'{"id": 5, "text": "caf\xe9"}',
        b'{"id": 1, "text": "again"}',
        b'{"id": 7, "text": "  ", "title": ""}',
        b"[" * 100_000,
        b'{"id": 9, "text": "\\ud83d"}',
        b'{"id": 10, "text": "last"}',
    ]
    documents, problems = read_bytes(tmp_path, "a.ndjson", b"\n".join(lines))
    assert [document.text for document in documents] == ["first", "last"]
    assert [problem.line for problem in problems] == [2, 3, 4, 5, 6, 7, 8, 9]
    beginnings = [
        "is not JSON: Expecting property name",
        "is JSON but not an object of fields in braces",
        "has no text; it is looked for in text, contents, content, body",
        "byte 23 of the line is not UTF-8; convert the file to UTF-8",
        "the id '1' already stands on an earlier line",
        "is empty: neither its text nor its title says anything",
        "is nested too deeply",
        "has half a character in it ('\\ud83d', a lone surrogate)",
    ]
    for problem, beginning in zip(problems, beginnings, strict=True):
        assert problem.reason.startswith(beginning)


def test_jsonl_line_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_MAX_LINE", 50)
    long = json.dumps({"text": "x" * 200})
    data = f'{{"text": "one"}}\n{long}\n{{"text": "three"}}\n'.encode()
    documents, problems = read_bytes(tmp_path, "a.jsonl", data)
    assert [(d.text, d.first_line) for d in documents] == [("one", 1), ("three", 3)]
    assert [problem.line for problem in problems] == [2]
    assert problems[0].reason.startswith("is longer than")


@given(
    lengths=st.lists(st.integers(0, 24), max_size=12),
    limit=st.integers(1, 12),
    ends=st.booleans(),
)
def test_split_lines_keeps_count(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], limit: int, ends: bool
) -> None:
    lines = [b"x" * length for length in lengths]
    data = b"\n".join(lines) + (b"\n" if ends and lines else b"")
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr(jsonl, "_MAX_LINE", limit)
        found = list(jsonl._split_lines(file))
    expected = data.splitlines(keepends=True)
    assert [line[: limit + 1] for line in expected] == found


def test_jsonl_utf16_is_said_once(tmp_path: Path) -> None:
    data = '{"text": "a"}\n{"text": "b"}\n'.encode("utf-16")
    assert read_problem(tmp_path, "a.jsonl", data) == (
        "is UTF-16; JSON Lines are UTF-8: convert it",
        None,
    )


def test_jsonl_binary_is_said_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.txt", "text\n" * 10)
    assert read_problem(tmp_path, "a.jsonl", (tmp_path / "z.zip").read_bytes()) == (
        "is not JSON Lines but a ZIP archive or an office document",
        None,
    )


def records_jsonl(count: int) -> bytes:
    # Numbers squared modulo a prime do not compress away, so the file has many blocks.
    rows = [{"_id": f"d{n}", "text": f"{n**5 % 1000003} text"} for n in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_jsonl_gz_is_the_same_as_plain(tmp_path: Path) -> None:
    data = records_jsonl(500)
    plain, _ = read_bytes(tmp_path, "a.jsonl", data)
    packed, problems = read_bytes(tmp_path, "b.jsonl.gz", gzip.compress(data))
    assert problems == []
    assert [(d.doc_id[len("r/b.jsonl.gz#") :], d.text) for d in packed] == [
        (d.doc_id[len("r/a.jsonl#") :], d.text) for d in plain
    ]
    assert len(packed) == 500


def test_progress_is_in_bytes_on_disk(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(records_jsonl(20_000))
    with gzip.open(tmp_path / "b.jsonl.gz", "wb") as file:
        file.write(records_jsonl(20_000))
    for name in ("a.jsonl", "b.jsonl.gz"):
        found = find_files([tmp_path / name])
        progress = [r.bytes_read for r in read_files(found.files, {tmp_path.resolve(): "r"})]
        size = found.files[0].size
        assert progress == sorted(progress)
        assert progress[-1] == size
        assert 0.3 * size < progress[10_000] < 0.8 * size


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_jsonl_gz_damaged(tmp_path: Path, damage: str) -> None:
    data = records_jsonl(20_000)
    packed = bytearray(gzip.compress(data))
    middle = len(packed) // 2
    if damage == "cut":
        del packed[middle:]
    else:
        packed[middle : middle + 64] = bytes(byte ^ 0xFF for byte in packed[middle : middle + 64])
    documents, problems = read_bytes(tmp_path, "a.jsonl.gz", bytes(packed))
    last = problems[-1]
    assert ("breaks off here" if damage == "cut" else "damaged from here on") in last.reason
    assert last.line is not None and last.line > 1000
    before = [f"{n**5 % 1000003} text" for n in range(1000)]
    assert [document.text for document in documents[:1000]] == before


def test_jsonl_gz_that_is_not(tmp_path: Path) -> None:
    assert read_problem(tmp_path, "a.jsonl.gz", b'{"text": "a"}\n') == (
        "is not a gzip file; check how it was downloaded",
        None,
    )


def test_a_record_without_an_id_never_takes_that_of_another(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\n{"_id": "2", "text": "three"}\n')
    readings = [reading.content for reading in read_jsonl(path)]
    assert [content.doc_id for content in readings] == ["line-1", "line-2", "2"]


def test_numbers_that_json_does_not_have_are_named(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one", "score": NaN}\n{"text": "two"}\n')
    bad, good = (reading.content for reading in read_jsonl(path))
    assert (bad.line, good.text) == (1, "two")
    assert "NaN is no JSON number" in bad.reason

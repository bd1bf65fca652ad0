"""Electronic books: chapters in order, what the book says of itself, and damaged ones."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.ingest.reading import read, read_bytes, read_one, read_problem

_CONTAINER = (
    '<?xml version="1.0"?><container version="1.0" '
    'xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/>'
    "</rootfiles></container>"
)
_XHTML = "application/xhtml+xml"


def _chapter(body: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n'
        '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Window title</title>'
        f"<style>p {{}}</style></head><body><a id='top'/>{body}</body></html>"
    )


def _package(
    items: Sequence[tuple[str, str]], spine: Sequence[str], metadata: str = "", more: str = ""
) -> str:
    manifest = "".join(f'<item id="{i}" href="{href}" media-type="{_XHTML}"/>' for i, href in items)
    order = "".join(f'<itemref idref="{name}"/>' for name in spine)
    return (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">{metadata}</metadata>'
        f"<manifest>{manifest}{more}</manifest><spine>{order}</spine></package>"
    )


def _epub(package: str, members: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", _CONTAINER)
        archive.writestr("OEBPS/content.opf", package)
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_chapters_in_the_order_of_the_spine(tmp_path: Path) -> None:
    more = (
        f'<item id="nav" href="nav.xhtml" media-type="{_XHTML}" properties="scripted nav"/>'
        '<item id="cover" href="cover.svg" media-type="image/svg+xml"/>'
    )
    metadata = (
        "<dc:title>Das Büchlein</dc:title><dc:creator>Ann Lee</dc:creator>"
        "<dc:creator> </dc:creator>"
        "<dc:creator>Jörg\n Maß</dc:creator><dc:publisher>Press</dc:publisher>"
        "<dc:date>2020-01-02</dc:date>"
    )
    items = [("b", "text/b%20b.xhtml"), ("a", "../a.xhtml"), ("c", "c%2Bc.xhtml")]
    package = _package(items, ["cover", "nav", "a", "b", "a", "gone", "c"], metadata, more)
    data = _epub(
        package,
        {
            "OEBPS/nav.xhtml": _chapter("<ol><li>contents</li></ol>"),
            "OEBPS/cover.svg": "<svg><text>cover</text></svg>",
            "OEBPS/text/b b.xhtml": _chapter(
                '<h2>Größe</h2><p>snake_case <a href="a.xhtml">a link</a><img src="x" alt="a cup"/>'
                "</p><script>run()</script><table><tr><th>Q</th><th>P</th></tr>"
                "<tr><td>2</td><td>3</td></tr></table>"
            ),
            "a.xhtml": _chapter("<h1>First</h1>\n<p>one<br/>two &amp; &nbsp;three</p>"),
            "OEBPS/c%2Bc.xhtml": _chapter("<p>last</p>"),
        },
    )
    document = read_one(tmp_path, "a.epub", data)
    assert document.text.replace("\xa0", " ") == (
        "# First\n\none\ntwo &  three\n\n## Größe\n\nsnake_case a linka cup\n\n"
        "| Q | P |\n| --- | --- |\n| 2 | 3 |\n\nlast"
    )
    assert (document.title, document.markup) == ("Das Büchlein", "markdown")
    assert dict(document.metadata) == {
        "author": "Ann Lee, Jörg Maß",
        "publisher": "Press",
        "date": "2020-01-02",
    }


def test_title_is_the_first_heading_where_the_book_has_none(tmp_path: Path) -> None:
    data = _epub(
        _package([("a", "a.xhtml")], ["a"]), {"OEBPS/a.xhtml": _chapter("<h3>Start</h3>x")}
    )
    document = read_one(tmp_path, "a.epub", data)
    assert (document.title, dict(document.metadata)) == ("Start", {})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    chapter = _chapter("<p>Größe</p>").replace("utf-8", encoding).encode(encoding)
    data = _epub(_package([("a", "a.xhtml")], ["a"]), {"OEBPS/a.xhtml": chapter})
    assert read_one(tmp_path, "a.epub", data).text == "Größe"


def test_a_chapter_that_cannot_be_read_is_its_own_problem(tmp_path: Path) -> None:
    items = [("a", "a.xhtml"), ("b", "b.xhtml"), ("c", "c.xhtml")]
    content = {"OEBPS/a.xhtml": _chapter("<p>kept</p>"), "OEBPS/c.xhtml": "x" * 50}
    data = bytearray(_epub(_package(items, ["a", "b", "c"]), content))
    start = data.index(b"OEBPS/c.xhtml") + len("OEBPS/c.xhtml")
    data[start] ^= 0xFF
    documents, problems = read_bytes(tmp_path, "a.epub", bytes(data))
    assert [document.text for document in documents] == ["kept"]
    missing, damaged = [problem.reason for problem in problems]
    assert missing == (
        "the chapter OEBPS/b.xhtml cannot be read "
        "(\"There is no item named 'OEBPS/b.xhtml' in the archive\")"
    )
    assert damaged.startswith("the chapter OEBPS/c.xhtml cannot be read (")


def _encryption(name: str) -> str:
    return (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" '
        'xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptedData><e:CipherData>'
        f'<e:CipherReference URI="{name}"/></e:CipherData></e:EncryptedData></encryption>'
    )


def test_protected_chapters_and_fonts(tmp_path: Path) -> None:
    package = _package([("a", "a.xhtml")], ["a"])
    content = {"OEBPS/a.xhtml": _chapter("<p>text</p>")}
    data = _epub(package, {**content, "META-INF/encryption.xml": _encryption("OEBPS/a.xhtml")})
    assert read_problem(tmp_path, "a.epub", data) == (
        "is protected against copying (DRM); it cannot be read",
        None,
    )
    data = _epub(package, {**content, "META-INF/encryption.xml": _encryption("OEBPS/font.otf")})
    assert read_one(tmp_path, "b.epub", data).text == "text"


def test_nothing_outside_the_book_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("SECRET")
    (tmp_path / "in").mkdir()
    entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{(tmp_path / "secret.txt").as_uri()}">]>'
    package = _package(
        [("a", "a.xhtml"), ("o", "../../secret.txt")], ["a", "o"], "<dc:title>T&e;</dc:title>"
    )
    package = package.replace("<package", entity + "<package")
    chapter = _chapter("<p>text &e;</p>").replace("<!DOCTYPE html>", entity)
    documents, problems = read_bytes(
        tmp_path / "in", "a.epub", _epub(package, {"OEBPS/a.xhtml": chapter})
    )
    (document,) = documents
    assert document.title == "T&e;"
    assert "text &e" in document.text
    assert "SECRET" not in document.text
    assert [each.reason.split("(")[0] for each in problems] == [
        "the chapter ../secret.txt cannot be read "
    ]


def test_no_book(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "x")
    reason = "is not an EPUB: it has no META-INF/container.xml"
    assert read_problem(tmp_path, "a.epub", buffer.getvalue()) == (reason, None)
    assert read_problem(tmp_path, "b.epub", b"text")[0] == (
        "is not a .epub file, whatever its name says"
    )
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("META-INF/container.xml", _CONTAINER)
    assert read_problem(tmp_path, "c.epub", buffer.getvalue())[0] == (
        "is damaged: it has no OEBPS/content.opf"
    )
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("META-INF/container.xml", "<container/>")
    assert read_problem(tmp_path, "d.epub", buffer.getvalue())[0] == (
        "is damaged: META-INF/container.xml names no book"
    )
    images = {"OEBPS/a.xhtml": _chapter('<img src="x.jpg"/>')}
    data = _epub(_package([("a", "a.xhtml")], ["a"]), images)
    assert read_problem(tmp_path, "e.epub", data)[0] == (
        "has no text: it is empty, or all of it is images"
    )


def test_a_book_by_a_program(shared_data: Path) -> None:
    folder = shared_data / "folders/docs-mixed-markitdown/packages/markitdown/tests/test_files"
    (document,), problems = read(folder / "test.epub")
    assert problems == []
    assert document.title == "Test EPUB Document"
    assert document.metadata["author"] == "Test Author"
    assert document.text.startswith("# Chapter 1: Test Content\n\nThis is a **test** paragraph")
    assert document.text.index("# Chapter 2: More Content") > 0

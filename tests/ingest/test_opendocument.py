"""OpenDocument: texts, spreadsheets and presentations, made by odfdo or written out."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import odfdo
import pytest

from tests.ingest.reading import read, read_one, read_problem

_NAMESPACES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{uri}:1.0"'
    for name, uri in (
        ("office", "office"),
        ("text", "text"),
        ("table", "table"),
        ("draw", "drawing"),
        ("presentation", "presentation"),
        ("svg", "svg-compatible"),
        ("meta", "meta"),
    )
)


def _odf(kind: str, body: str, members: Mapping[str, str] = {}) -> bytes:
    content = (
        f"<office:document-content {_NAMESPACES}><office:body><office:{kind}>{body}"
        f"</office:{kind}></office:body></office:document-content>"
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {"content.xml": content, **members}.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def test_text_as_a_library_writes_it(tmp_path: Path) -> None:
    document = odfdo.Document("text")
    document.body.clear()
    document.meta.title = "The Title"
    document.meta.initial_creator = "Jörg Maß"
    document.meta.creator = "Ann Lee"
    document.meta.creation_date = datetime(2024, 5, 1, 8, 30)
    document.body.append(odfdo.Header(1, "Größe 日本"))
    document.body.append(odfdo.Paragraph("state-of-the-art snake_case 2*3"))
    document.body.append(odfdo.Header(2, "Below"))
    document.body.append(odfdo.List(["tea", "milk"]))
    table = odfdo.Table("T")
    table.set_values([["Qty", "Price"], [2, "3 | EUR"]])
    document.body.append(table)
    document.save(tmp_path / "a.odt")
    (found,), problems = read(tmp_path / "a.odt")
    assert problems == []
    assert found.text == (
        "# Größe 日本\n\nstate-of-the-art snake_case 2*3\n\n## Below\n\n- tea\n- milk\n\n"
        "| Qty | Price |\n| --- | --- |\n| 2 | 3 \\| EUR |"
    )
    assert (found.title, found.markup) == ("The Title", "markdown")
    assert found.metadata["author"] == "Jörg Maß"
    assert str(found.metadata["created"]).startswith("2024-05-01T08:30:00")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            "<text:p>a  b\n c<text:s text:c='3'/>d<text:tab/>e<text:line-break/>f</text:p>",
            "a b c   d\te\nf",
        ),
        ("<text:p>a<text:span>b<text:a>c</text:a></text:span>d</text:p>", "abcd"),
        ("<text:p># no heading</text:p>", "\\# no heading"),
        ("<text:p>#include</text:p>", "#include"),
        ("<text:h text:outline-level='9'>deep\n<text:line-break/>two</text:h>", "###### deep two"),
        ("<text:h>no level</text:h>", "# no level"),
        ("<text:p/><text:p> </text:p><text:h text:outline-level='1'/><text:p>x</text:p>", "x"),
        (
            "<text:p>said<text:note><text:note-citation>1</text:note-citation><text:note-body>"
            "<text:p>the note</text:p></text:note-body></text:note> so</text:p>",
            "said[1] so\n\n[1] the note",
        ),
        (
            "<text:p>a<office:annotation><text:p>comment</text:p></office:annotation>b</text:p>",
            "ab",
        ),
        (
            "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
            "<text:table-of-content><text:index-body><text:p>contents</text:p></text:index-body>"
            "</text:table-of-content><text:section><text:p>kept</text:p></text:section>",
            "kept",
        ),
        (
            "<text:p>x<draw:frame><draw:text-box><text:p>in a box</text:p></draw:text-box>"
            "<svg:title>A cup</svg:title><svg:desc> of\n tea </svg:desc></draw:frame>y</text:p>",
            "xy\n\nin a box\n\nA cup\n\nof tea",
        ),
        (
            "<text:list><text:list-header><text:p>head</text:p></text:list-header><text:list-item>"
            "<text:p>one</text:p><text:p>more</text:p><text:list><text:list-item><text:p>in"
            "<text:line-break/>ner</text:p></text:list-item></text:list></text:list-item>"
            "</text:list>",
            "- head\n- one\n  more\n  - in\n    ner",
        ),
        (
            "<text:p><text:ruby><text:ruby-base>東京</text:ruby-base><text:ruby-text>とうきょう"
            "</text:ruby-text></text:ruby></text:p>",
            "東京",
        ),
    ],
)
def test_elements(tmp_path: Path, body: str, text: str) -> None:
    assert read_one(tmp_path, "a.odt", _odf("text", body)).text == text


_THREE = 'table:number-columns-repeated="3"'


def _cell(text: str, attributes: str = "") -> str:
    return f"<table:table-cell {attributes}><text:p>{text}</text:p></table:table-cell>"


def test_spreadsheet(tmp_path: Path) -> None:
    wide = '<table:table-cell table:number-columns-repeated="16380"/>'
    body = (
        '<table:table table:name="Zahlen"><table:table-column/>'
        f"<table:table-header-rows><table:table-row>{_cell('id')}<table:table-cell/>{_cell('n')}"
        f"{wide}</table:table-row></table:table-header-rows>"
        f"<table:table-row-group><table:table-row>{_cell('7', _THREE)}"
        f"{wide}</table:table-row></table:table-row-group>"
        f'<table:table-row table:number-rows-repeated="9">{_cell("x")}'
        '<table:covered-table-cell/><table:table-cell office:date-value="2024-05-01"/>'
        "</table:table-row>"
        f'<table:table-row table:number-rows-repeated="1048550">{wide}</table:table-row>'
        '</table:table><table:table table:name="Empty"/>'
    )
    document = read_one(tmp_path, "a.ods", _odf("spreadsheet", body))
    assert document.text == (
        "## Zahlen\n\n| id |  | n |\n| --- | --- | --- |\n| 7 | 7 | 7 |\n| x |  | 2024-05-01 |"
    )


def test_counts_that_are_too_large_or_no_numbers(tmp_path: Path) -> None:
    body = (
        '<table:table table:name="T"><table:table-row>'
        + _cell("a", 'table:number-columns-repeated="999999999"')
        + _cell("never")
        + "</table:table-row></table:table>"
    )
    text = read_one(tmp_path, "a.ods", _odf("spreadsheet", body)).text
    assert text.count("| a ") == 16384
    assert "never" not in text
    body = '<text:p>x<text:s text:c="99999999999"/>y<text:s text:c="-1"/>z</text:p>'
    assert read_one(tmp_path, "b.odt", _odf("text", body)).text == "x y z"
    body = '<text:p>x<text:s text:c="999999999"/>y</text:p>'
    assert read_one(tmp_path, "c.odt", _odf("text", body)).text == "x" + " " * 100 + "y"


def test_presentation(tmp_path: Path) -> None:
    frame = "<draw:frame {0}><draw:text-box><text:p>{1}</text:p></draw:text-box></draw:frame>"
    body = (
        "<draw:page>"
        + frame.format("", "point")
        + frame.format('presentation:class="title"', "Über<text:line-break/>blick")
        + "<presentation:notes><draw:page-thumbnail/>"
        + frame.format("", "say hello")
        + "</presentation:notes></draw:page><draw:page/><draw:page><draw:g><draw:custom-shape>"
        "<text:p>in a shape</text:p></draw:custom-shape></draw:g></draw:page>"
    )
    document = read_one(tmp_path, "a.odp", _odf("presentation", body))
    assert document.text == (
        "# Über blick\n\npoint\n\n### Notes:\n\nsay hello\n\n\n\n# Slide 3\n\nin a shape"
    )
    starts = [document.text[start:].split("\n", 1)[0] for start in document.pages]
    assert starts == ["# Über blick", "", "# Slide 3"]
    assert document.title == "Über blick"


def test_last_editor_where_nobody_is_named_as_the_first(tmp_path: Path) -> None:
    meta = (
        f'<office:document-meta {_NAMESPACES} xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<office:meta><dc:title> </dc:title><dc:creator>Ann Lee</dc:creator></office:meta>"
        "</office:document-meta>"
    )
    body = "<text:h text:outline-level='2'>Heading</text:h>"
    document = read_one(tmp_path, "a.odt", _odf("text", body, {"meta.xml": meta}))
    assert (document.title, dict(document.metadata)) == ("Heading", {"author": "Ann Lee"})


def test_nothing_outside_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("SECRET")
    (tmp_path / "in").mkdir()
    entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{(tmp_path / "secret.txt").as_uri()}">]>'
    inner = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY e "&a;&a;">]>'
    for number, declaration in enumerate((entity, inner)):
        content = declaration + (
            f"<office:document-content {_NAMESPACES}><office:body><office:text><text:p>seen &e; too"
            "</text:p></office:text></office:body></office:document-content>"
        )
        data = _odf("text", "", {"content.xml": content})
        document = read_one(tmp_path / "in", f"{number}.odt", data)
        assert document.text == "seen  too"


_MANIFEST = (
    '<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
    '<m:file-entry m:full-path="content.xml">{0}</m:file-entry></m:manifest>'
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            _odf(
                "text",
                "",
                {
                    "META-INF/manifest.xml": _MANIFEST.format("<m:encryption-data/>"),
                    "content.xml": "\x00\x01",
                },
            ),
            "is encrypted; save it without a password",
        ),
        (
            _odf("text", "<text:p/>", {"META-INF/manifest.xml": _MANIFEST.format("")}),
            "has no text: it is empty, or all of it is images",
        ),
        (
            _odf("text", "", {"content.xml": "<a/>"}),
            "has no text: it is empty, or all of it is images",
        ),
        (b"text", "is not a .odt file, whatever its name says"),
        (
            _odf("text", "<text:p>x</text:p>")[:100],
            "is damaged: it begins as a ZIP archive but its end is missing or broken",
        ),
    ],
)
def test_no_document(tmp_path: Path, data: bytes, reason: str) -> None:
    assert read_problem(tmp_path, "a.odt", data) == (reason, None)


def test_another_archive_and_broken_xml(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "x")
    reason, _ = read_problem(tmp_path, "a.odt", buffer.getvalue())
    assert reason == "is a ZIP archive but not an OpenDocument file"
    reason, _ = read_problem(tmp_path, "b.odt", _odf("text", "<text:p>"))
    assert reason.startswith("is damaged: content.xml in it cannot be read (")

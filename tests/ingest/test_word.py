"""Word documents: headings, code, tables, and nothing from outside the file."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from search_engine.errors import ReadError
from search_engine.types import Document
from tests.ingest.office_files import (
    CORE,
    RELATIONS,
    TYPES,
    WORD,
    paragraph,
    style,
    write_docx,
    write_zip,
)
from tests.ingest.reading import read, read_one


def test_word_headings_code_tables_and_properties(tmp_path: Path) -> None:
    styles = (
        style("H1", "heading 1")
        + style("Eigene", "Eigene", '<w:pPr><w:outlineLvl w:val="1"/></w:pPr>')
        + style("Unter", "Unter", '<w:basedOn w:val="Eigene"/>')
        + style(
            "Body",
            "Body",
            '<w:basedOn w:val="Eigene"/><w:pPr><w:outlineLvl w:val="9"/></w:pPr>',
        )
        + style("HeadC", "HeadC")
        + style("T", "Chapter's")
        + style("Q", "O'Code", '<w:rPr><w:rFonts w:ascii="Courier New"/></w:rPr>')
        + style("Loop", "Loop", '<w:basedOn w:val="Loop"/>')
    )
    table = "".join(
        "<w:tr>" + "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) + "</w:tr>"
        for row in (("Qty", "Price"), ("2", "3 EUR"))
    )
    body = (
        paragraph("Größe 日本", "H1")
        + paragraph("snake_case and 2*3*4.")
        + paragraph("Own level", "Eigene")
        + paragraph("Own level again", "Unter")
        + paragraph("No heading", "Body")
        + paragraph("C-head", "HeadC")
        + paragraph("# not a heading", "Q")
        + paragraph("    indented", "Q")
        + paragraph("Plain", "T")
        + paragraph("Loop", "Loop")
        + f"<w:tbl>{table}</w:tbl>"
    )
    core = CORE.format(title="The Title", author="Jörg Maß", created="2024-03-15T05:45:00Z")
    document = read_one(tmp_path, "a.docx", write_docx(body, styles, {"docProps/core.xml": core}))
    assert document.text == (
        "# Größe 日本\n\nsnake_case and 2*3*4.\n\n## Own level\n\n## Own level again\n\n"
        "No heading\n\n#### C-head\n\n```\n# not a heading\n    indented\n```\n\nPlain\n\nLoop\n\n"
        "|  |  |\n| --- | --- |\n| Qty | Price |\n| 2 | 3 EUR |"
    )
    assert (document.title, document.markup) == ("The Title", "markdown")
    assert dict(document.metadata) == {"author": "Jörg Maß", "created": "2024-03-15T05:45:00Z"}


def test_title_is_the_first_heading_where_the_properties_have_none(tmp_path: Path) -> None:
    body = paragraph("before") + paragraph("Überblick", "T")
    core = CORE.format(title="Microsoft Word - x.doc", author="", created="yesterday")
    data = write_docx(body, style("T", "Title"), {"docProps/core.xml": core})
    document = read_one(tmp_path, "a.docx", data)
    assert (document.title, dict(document.metadata)) == ("Überblick", {})


def test_links_images_and_deleted_text(tmp_path: Path) -> None:
    relations = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="i" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
        'relationships/image" Target="media/a.png"/>'
        '<Relationship Id="x" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
        'relationships/image" Target="file:///etc/hostname" TargetMode="External"/>'
        '<Relationship Id="l" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
        'relationships/hyperlink" Target="https://example.org/" TargetMode="External"/>'
        "</Relationships>"
    )
    drawing = (
        "<w:p><w:r><w:drawing><wp:inline "
        'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing">'
        '<wp:docPr id="1" name="P" descr="{description}"/>'
        '<a:graphic xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main">'
        '<a:graphicData><pic:pic xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/'
        'picture"><pic:blipFill><a:blip xmlns:r="http://schemas.openxmlformats.org/officeDocument'
        '/2006/relationships" r:{how}="{target}"/></pic:blipFill></pic:pic></a:graphicData>'
        "</a:graphic></wp:inline></w:drawing></w:r></w:p>"
    )
    link = (
        '<w:p><w:hyperlink xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/'
        f'relationships" r:id="l">{paragraph("the page")[5:-6]}</w:hyperlink>'
        "<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>"
    )
    body = (
        link
        + drawing.format(description="A cup (of tea)", how="embed", target="i")
        + drawing.format(description="outside", how="link", target="x")
    )
    members = {"word/_rels/document.xml.rels": relations, "word/media/a.png": "not really"}
    assert read_one(tmp_path, "a.docx", write_docx(body, members=members)).text == (
        "the page\n\nA cup (of tea)"
    )


def test_word_without_styles(tmp_path: Path) -> None:
    data = write_zip(
        {
            "[Content_Types].xml": TYPES,
            "_rels/.rels": RELATIONS,
            "word/document.xml": f'<w:document xmlns:w="{WORD}"><w:body>{paragraph("text")}'
            "</w:body></w:document>",
        }
    )
    assert read_one(tmp_path, "a.docx", data).text == "text"


def test_nothing_outside_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("SECRET")
    (tmp_path / "in").mkdir()
    entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{(tmp_path / "secret.txt").as_uri()}">]>'
    data = write_docx(paragraph("seen"))
    core = entity + CORE.format(title="T &e;", author="A", created="")
    source = zipfile.ZipFile(io.BytesIO(data))
    members = {name: source.read(name).decode() for name in source.namelist()}
    document = read_one(
        tmp_path / "in", "a.docx", write_zip({**members, "docProps/core.xml": core})
    )
    assert (document.text, document.title) == ("seen", "T &e;")
    text = members["word/document.xml"].replace("seen", "seen &e;")
    documents, problems = _read(
        tmp_path / "in", write_zip({**members, "word/document.xml": entity + text})
    )
    assert not any("SECRET" in each.text for each in documents)
    assert len(documents) + len(problems) == 1


def _read(folder: Path, data: bytes) -> tuple[list[Document], list[ReadError]]:
    (folder / "b.docx").write_bytes(data)
    return read(folder / "b.docx")


def test_a_book_with_the_styles_of_its_publisher(shared_data: Path) -> None:
    folder = shared_data / "folders/docs-rust-book/nostarch/docx"
    (document,), problems = read(folder / "chapter06.docx")
    assert problems == []
    assert document.title == "Enums and Pattern Matching"
    headings = [line for line in document.text.splitlines() if line.startswith(("# ", "## "))]
    assert headings[:3] == [
        "# Enums and Pattern Matching",
        "## Defining an Enum",
        "## The match Control Flow Construct",
    ]

"""OpenDocument texts, spreadsheets and presentations (ISO/IEC 26300, as LibreOffice writes)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

from lxml import etree

from search_engine.errors import ReadError
from search_engine.ingest.formats.document_properties import find_title, make_metadata
from search_engine.ingest.formats.opendocument_text import (
    DRAW,
    OFFICE,
    PRESENTATION,
    TABLE,
    convert_blocks,
    convert_table,
)
from search_engine.ingest.formats.slides import join_slides
from search_engine.ingest.formats.zip_archive import check_expansion, find_text, read_xml
from search_engine.ingest.readers import Reading
from search_engine.types import Document

_DC = "{http://purl.org/dc/elements/1.1/}"
_META = "{urn:oasis:names:tc:opendocument:xmlns:meta:1.0}"
_MANIFEST = "{urn:oasis:names:tc:opendocument:xmlns:manifest:1.0}"


def read_opendocument(path: Path) -> Iterator[Reading]:
    """The file as one Markdown document; what kind of file it is, its content says.

    Headings, lists and tables are kept, notes stand below their paragraph, comments and deleted
    text are left out. A spreadsheet has a table for each sheet, hidden ones too; a presentation has
    its slides for pages and the speaker's notes below each. The title is that of the properties,
    else the first heading; the metadata are `author` and `created`, where the properties name them.

    Raises:
        ReadError: the file is no OpenDocument, is encrypted or damaged, or has no text.
    """
    check_expansion(path)
    with ZipFile(path) as archive:
        members = set(archive.namelist())
        if "content.xml" not in members:
            raise ReadError(str(path), "is a ZIP archive but not an OpenDocument file")
        if "META-INF/manifest.xml" in members:
            manifest = read_xml(archive, "META-INF/manifest.xml")
            if next(manifest.iter(f"{_MANIFEST}encryption-data"), None) is not None:
                raise ReadError(str(path), "is encrypted; save it without a password")
        content = read_xml(archive, "content.xml")
        properties = read_xml(archive, "meta.xml") if "meta.xml" in members else None
    text, pages = _convert_body(content)
    if not text:
        raise ReadError(str(path), "has no text: it is empty, or all of it is images")
    title = author = created = ""
    if properties is not None:
        title = find_text(properties, [f"{_DC}title"])
        # `dc:creator` is who saved it last.
        author = find_text(properties, [f"{_META}initial-creator", f"{_DC}creator"])
        created = find_text(properties, [f"{_META}creation-date"])
    document = Document(
        doc_id="",
        text=text,
        title=find_title(title, text),
        markup="markdown",
        pages=pages,
        metadata=make_metadata(author, created),
    )
    yield Reading(document)


def _convert_body(content: etree._Element) -> tuple[str, tuple[int, ...]]:
    """The Markdown of the content, and where each slide of a presentation starts in it."""
    body = content.find(f"{OFFICE}body")
    kind = body[0] if body is not None and len(body) else None
    if kind is None:
        return "", ()
    if kind.tag == f"{OFFICE}presentation":
        return join_slides(_convert_slide(page) for page in kind.iterfind(f"{DRAW}page"))
    if kind.tag == f"{OFFICE}spreadsheet":
        return "\n\n".join(_convert_sheets(kind)), ()
    return "\n\n".join(convert_blocks(kind)), ()


def _convert_sheets(spreadsheet: etree._Element) -> Iterator[str]:
    for table in spreadsheet.iterfind(f"{TABLE}table"):
        text = convert_table(table)
        if text:
            yield f"## {table.get(f'{TABLE}name', '')}\n\n{text}"


def _convert_slide(page: etree._Element) -> str:
    titles: list[str] = []
    blocks: list[str] = []
    notes: list[str] = []
    for shape in page:
        if shape.tag == f"{PRESENTATION}notes":
            notes.extend(convert_blocks(shape))
        elif shape.get(f"{PRESENTATION}class") == "title":
            titles.extend(convert_blocks(shape))
        else:
            blocks.extend(convert_blocks(shape))
    heading = [f"# {' '.join(' '.join(titles).split())}"] if titles else []
    return "\n\n".join([*heading, *blocks, *(["### Notes:", *notes] if notes else [])])

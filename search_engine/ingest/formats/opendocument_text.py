"""The elements of an OpenDocument body as blocks of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from search_engine.ingest.formats.markdown_table import format_table

OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_SVG = "{urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0}"

# Not what the document says: comments, what was deleted, forms, tables of contents.
_LEFT_OUT = {
    f"{OFFICE}annotation",
    f"{OFFICE}forms",
    f"{OFFICE}event-listeners",
    f"{TEXT}tracked-changes",
    f"{TEXT}table-of-content",
    f"{TEXT}ruby-text",
    f"{TABLE}tracked-changes",
}
_CELLS = {f"{TABLE}table-cell", f"{TABLE}covered-table-cell"}
_ROW_GROUPS = {f"{TABLE}table-header-rows", f"{TABLE}table-rows", f"{TABLE}table-row-group"}
_VALUES = (f"{OFFICE}string-value", f"{OFFICE}date-value", f"{OFFICE}time-value", f"{OFFICE}value")
_MAX_COLUMNS = 16384
_MAX_SPACES = 100
_SPACES = re.compile(r"[ \t\r\n]+")
# A paragraph that begins so is no heading.
_HASHES = re.compile(r"^(?=#{1,6}\s)", re.MULTILINE)


def convert_blocks(element: etree._Element) -> Iterator[str]:
    """The paragraphs, headings, lists and tables in an element, in order, none of them empty."""
    if not isinstance(element.tag, str) or element.tag in _LEFT_OUT:
        return
    if element.tag in {f"{TEXT}p", f"{TEXT}h"}:
        yield from _convert_paragraph(element)
    elif element.tag == f"{TEXT}list":
        items = "\n".join(_convert_list(element, ""))
        if items:
            yield items
    elif element.tag == f"{TABLE}table":
        table = convert_table(element)
        if table:
            yield table
    elif element.tag in {f"{_SVG}title", f"{_SVG}desc"}:
        # What somebody wrote about an image.
        text = _SPACES.sub(" ", element.text or "").strip()
        if text:
            yield text
    else:
        for child in element:
            yield from convert_blocks(child)


def convert_table(table: etree._Element) -> str:
    """A table as Markdown, "" without text. A row that is repeated is written once."""
    return format_table([_read_cells(row) for row in _find_rows(table)])


def _find_rows(table: etree._Element) -> Iterator[etree._Element]:
    for child in table:
        if child.tag == f"{TABLE}table-row":
            yield child
        elif child.tag in _ROW_GROUPS:
            yield from _find_rows(child)


def _read_cells(row: etree._Element) -> list[str]:
    """The text of each cell up to the last that has some: a sheet is as wide as its program."""
    cells: list[str] = []
    blank = 0
    for cell in row:
        if cell.tag not in _CELLS:
            continue
        repeated = _read_count(cell, f"{TABLE}number-columns-repeated")
        repeated = min(repeated, _MAX_COLUMNS - len(cells) - blank)
        text = " ".join(block for child in cell for block in convert_blocks(child))
        if not text:
            text = next((value for name in _VALUES if (value := cell.get(name))), "")
        if text:
            cells += [""] * blank + [text] * repeated
            blank = 0
        else:
            blank += repeated
    return cells


def _convert_paragraph(paragraph: etree._Element) -> Iterator[str]:
    """The paragraph itself, and then what hangs on it: notes, text boxes, described images."""
    hanging: list[str] = []
    text = "".join(_read_inline(paragraph, hanging)).strip()
    if text and paragraph.tag == f"{TEXT}h":
        level = min(_read_count(paragraph, f"{TEXT}outline-level"), 6)
        yield f"{'#' * level} {' '.join(text.split())}"
    elif text:
        yield _HASHES.sub(r"\\", text)
    yield from hanging


def _read_inline(element: etree._Element, hanging: list[str]) -> Iterator[str]:
    """The text of a paragraph in pieces; white space in it is one space, as the format has it."""
    yield _SPACES.sub(" ", element.text or "")
    for child in element:
        if child.tag == f"{TEXT}s":
            yield " " * min(_read_count(child, f"{TEXT}c"), _MAX_SPACES)
        elif child.tag == f"{TEXT}tab":
            yield "\t"
        elif child.tag == f"{TEXT}line-break":
            yield "\n"
        elif child.tag == f"{TEXT}note":
            citation = "".join(child.itertext(f"{TEXT}note-citation")).strip()
            yield f"[{citation}]"
            body = child.find(f"{TEXT}note-body")
            if body is not None:
                hanging.append(f"[{citation}] {' '.join(convert_blocks(body))}")
        elif isinstance(child.tag, str) and child.tag.startswith(DRAW):
            if child.tag == f"{DRAW}a":
                yield from _read_inline(child, hanging)
            else:
                hanging.extend(convert_blocks(child))
        elif isinstance(child.tag, str) and child.tag not in _LEFT_OUT:
            yield from _read_inline(child, hanging)
        yield _SPACES.sub(" ", child.tail or "")


def _convert_list(element: etree._Element, indent: str) -> Iterator[str]:
    """One line for each item, and for each further paragraph of one, indented below it."""
    for item in element:
        if item.tag not in {f"{TEXT}list-item", f"{TEXT}list-header"}:
            continue
        lead = f"{indent}- "
        for child in item:
            if child.tag == f"{TEXT}list":
                yield from _convert_list(child, f"{indent}  ")
                continue
            for block in convert_blocks(child):
                yield lead + block.replace("\n", f"\n{indent}  ")
                lead = f"{indent}  "


def _read_count(element: etree._Element, name: str) -> int:
    """A number of at least 1; 1 where the attribute is missing or no number."""
    value = element.get(name, "1")
    return max(int(value), 1) if value.isdecimal() and len(value) < 10 else 1

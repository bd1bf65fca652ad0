"""Which paragraph styles of a Word document are headings or code, as mammoth is told it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from zipfile import ZipFile

from lxml import etree

from search_engine.errors import ReadError
from search_engine.ingest.formats.zip_archive import read_xml

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_LEVELS = 6
# Styles of publishers have no outline level, but names by custom: a chapter's title, then A-heads,
# B-heads and so on below it.
_TITLE = re.compile(r"(?:book|chapter|document|(?:front|back)matter)?[ -]?title", re.IGNORECASE)
_LETTERED = re.compile(r"head(?:ing)?[ -]?([a-e])|([a-e])[ -]?head(?:ing)?", re.IGNORECASE)
_MONOSPACED = re.compile(
    r"courier|consolas|menlo|monaco|lucida console|andale mono|\bmono(?:space)?\b", re.IGNORECASE
)
_CODE = {"source code"}


def map_styles(archive: ZipFile) -> str:
    """The style map of a document, a line for each style that is a heading or code.

    A heading is what has an outline level (its own, or that of a style it is based on), or is
    named as one. Code is what is set in a monospaced font.

    Raises:
        ReadError: the styles are damaged; a document without any has an empty map.
    """
    try:
        styles = read_xml(archive, "word/styles.xml")
    except ReadError:
        if "word/styles.xml" in archive.namelist():
            raise
        return ""
    by_id = {
        style.get(f"{_WORD}styleId", ""): style
        for style in styles.iterfind(f"{_WORD}style")
        if style.get(f"{_WORD}type", "paragraph") == "paragraph"
    }
    lines = []
    for style in by_id.values():
        name = _read_value(style, "name")
        if not name:
            continue
        chain = list(_follow_bases(style, by_id))
        quoted = name.replace("\\", "\\\\").replace("'", "\\'")
        level = _find_level(name, chain)
        if level is not None:
            lines.append(f"p[style-name='{quoted}'] => h{level}:fresh")
        elif name.lower() in _CODE or _is_monospaced(chain):
            lines.append(f"p[style-name='{quoted}'] => pre:separator('\\n')")
    return "\n".join(lines)


def _follow_bases(
    style: etree._Element, by_id: dict[str, etree._Element]
) -> Iterator[etree._Element]:
    """The style and those it is based on, the nearest first."""
    seen: set[str] = set()
    following: etree._Element | None = style
    while following is not None:
        yield following
        base = _read_value(following, "basedOn")
        following = None if base in seen else by_id.get(base)
        seen.add(base)


def _find_level(name: str, chain: list[etree._Element]) -> int | None:
    for style in chain:
        value = _read_value(style, "pPr", "outlineLvl")
        if value.isdecimal():
            # 9 says that it is body text, though the style it is based on is a heading.
            return int(value) + 1 if int(value) < _LEVELS else None
    if _TITLE.fullmatch(name):
        return 1
    lettered = _LETTERED.fullmatch(name)
    if lettered is None:
        return None
    return 2 + "abcde".index((lettered[1] or lettered[2]).lower())


def _is_monospaced(chain: list[etree._Element]) -> bool:
    for style in chain:
        fonts = style.find(f"{_WORD}rPr/{_WORD}rFonts")
        font = "" if fonts is None else fonts.get(f"{_WORD}ascii", "")
        if font:
            return _MONOSPACED.search(font) is not None
    return False


def _read_value(style: etree._Element, *path: str) -> str:
    element = style.find("/".join(f"{_WORD}{name}" for name in path))
    return "" if element is None else element.get(f"{_WORD}val", "")

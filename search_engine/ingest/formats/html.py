"""Saved web pages, by trafilatura: what the page says, without menus and footers."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from types import MappingProxyType

from lxml.html import HtmlElement
from trafilatura import extract, html2txt
from trafilatura.metadata import extract_metadata
from trafilatura.settings import DEFAULT_CONFIG
from trafilatura.utils import load_html

from search_engine.errors import ReadError
from search_engine.ingest.formats.html_cleaning import clean_page
from search_engine.ingest.formats.plain import DecodedText, decode_text, find_encoding, name_binary
from search_engine.ingest.readers import Reading
from search_engine.types import NO_METADATA, Document

_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)
# trafilatura takes less than 250 characters for a failure, and then gives all text without its
# structure. A file that somebody keeps may well be that short.
_SHORT_PAGES = deepcopy(DEFAULT_CONFIG)
_SHORT_PAGES["DEFAULT"]["MIN_EXTRACTED_SIZE"] = "1"
# Where a page names its encoding, and the encodings that browsers take for those that are named
# (WHATWG Encoding Standard, section 4.2).
_DECLARATION = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_DECLARED_WITHIN = 4_096
_MEANT = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
}


def read_html(path: Path) -> Iterator[Reading]:
    """The main text of the page as one Markdown document; its title is the page's own.

    The encoding is UTF-8 where the bytes are, else the one that the page names, else the one that
    they look like. The metadata is the author, where the page names one.

    Raises:
        ReadError: the file is not HTML, or says nothing, or is in no encoding that is recognised.
    """
    data = path.read_bytes()
    kind = name_binary(data)
    if kind is not None:
        raise ReadError(str(path), f"is not HTML but {kind}")
    if not data.strip():
        raise ReadError(str(path), "is empty")
    decoded = _decode(data, path)
    if decoded.problem is not None:
        yield Reading(decoded.problem)
    tree = load_html(decoded.text)
    if tree is None:
        raise ReadError(str(path), "is not HTML: no element was found in it")
    clean_page(tree)
    # The extensive look is for the date of a page; it takes seconds on some.
    described = extract_metadata(tree, extensive=False)
    text = _extract_markdown(tree) or html2txt(tree)
    if not text.strip():
        raise ReadError(str(path), "is empty: the page has no text of its own")
    author = MappingProxyType({"author": described.author}) if described.author else NO_METADATA
    title = described.title or ""
    yield Reading(Document(doc_id="", text=text, title=title, markup="markdown", metadata=author))


def _decode(data: bytes, path: Path) -> DecodedText:
    declared = _DECLARATION.search(data[:_DECLARED_WITHIN])
    if declared is None or find_encoding(data) != "utf-8":
        return decode_text(data, path)
    try:
        return DecodedText(data.decode(), "utf-8")
    except UnicodeDecodeError:
        pass
    try:
        name = codecs.lookup(declared[1].decode("ascii")).name
        encoding = _MEANT.get(name, name)
        return DecodedText(data.decode(encoding), encoding)
    except (LookupError, UnicodeDecodeError):
        return decode_text(data, path)


def _extract_markdown(tree: HtmlElement) -> str:
    """The main text as Markdown, "" where trafilatura finds none.

    Where nothing in a page marks its main part (pages by hand, or by pandoc), trafilatura gathers
    the paragraphs and drops the headings. The page then is read again as one article, which it is.
    """
    text: str = extract(tree, output_format="markdown") or ""
    headings = len(tree.xpath("//h1|//h2|//h3|//h4|//h5|//h6"))
    found = len(_HEADING.findall(text))
    if 2 * found >= headings:
        return text
    page = deepcopy(tree)
    for body in page.xpath("//body"):
        body.tag = "article"
    whole: str = extract(page, output_format="markdown", fast=True, config=_SHORT_PAGES) or ""
    return whole if len(_HEADING.findall(whole)) > found else text

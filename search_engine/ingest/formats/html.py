"""Saved web pages, by trafilatura: what the page says, without menus and footers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

from lxml.html import HtmlElement
from trafilatura import extract, html2txt
from trafilatura.metadata import extract_metadata
from trafilatura.settings import DEFAULT_CONFIG
from trafilatura.utils import load_html

from search_engine.errors import ReadError
from search_engine.ingest.plain import name_binary
from search_engine.ingest.readers import Reading
from search_engine.types import Document

_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)
# trafilatura takes less than 250 characters for a failure, and then gives all text without its
# structure. A file that somebody keeps may well be that short.
_SHORT_PAGES = deepcopy(DEFAULT_CONFIG)
_SHORT_PAGES["DEFAULT"]["MIN_EXTRACTED_SIZE"] = "1"


def read_html(path: Path) -> Iterator[Reading]:
    """The main text of the page as one Markdown document; its title is the page's own.

    The encoding is the one that the bytes or the page's own declaration say.

    Raises:
        ReadError: the file is not HTML, or says nothing.
    """
    data = path.read_bytes()
    kind = name_binary(data)
    if kind is not None:
        raise ReadError(str(path), f"is not HTML but {kind}")
    if not data.strip():
        raise ReadError(str(path), "is empty")
    tree = load_html(data)
    if tree is None:
        raise ReadError(str(path), "is not HTML: no element was found in it")
    # The extensive look is for the date of a page; it takes seconds on some.
    title = extract_metadata(tree, extensive=False).title or ""
    text = _extract_markdown(tree) or html2txt(tree)
    if not text.strip():
        raise ReadError(str(path), "is empty: the page has no text of its own")
    yield Reading(Document(doc_id="", text=text, title=title, markup="markdown"))


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

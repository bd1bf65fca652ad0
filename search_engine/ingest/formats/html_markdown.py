"""All text of a piece of HTML as Markdown: for pages that are nothing but content.

A web page has menus and footers, and `html` looks for the main text in it. A mail or a chapter of
a book has none, and what looks like one there (a list, a signature, a note) must not be lost.
"""

from __future__ import annotations

import re
import warnings

from bs4 import BeautifulSoup, Tag
from bs4.element import Declaration, ProcessingInstruction
from markdownify import ATX, MarkdownConverter

_UNSEEN = ("head", "script", "style", "template", "noscript", "object", "svg")
_BLOCKS = ("table", "p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "pre", "blockquote")
_CELLS = ("td", "th", "caption")
_ROWS = ("tr", "tbody", "thead", "tfoot", "colgroup", "col")
_BLANK_LINES = re.compile(r"\n{3,}")
# Mail programs fill up with these what shows in the list of messages.
_INVISIBLE = re.compile("[\u00ad\u034f\u200b\u2060\ufeff]+")


def convert_html(markup: str | bytes) -> str:
    """The text with headings, lists, tables and emphasis; links and images are what they say.

    Tables that only lay out the page are taken apart.

    Args:
        markup: HTML or XHTML; bytes are UTF-8, or in the encoding that they declare.
    """
    with warnings.catch_warnings():
        # The parser warns of XHTML, and of text that looks like a file's name.
        warnings.simplefilter("ignore")
        encoding = "utf-8" if isinstance(markup, bytes) else None
        soup = BeautifulSoup(markup, "html.parser", from_encoding=encoding)
    for element in soup(_UNSEEN):
        element.decompose()
    for node in soup(string=True):
        if isinstance(node, Declaration | ProcessingInstruction):
            node.extract()
    for image in soup("img"):
        image.replace_with(str(image.get("alt") or ""))
    for table in reversed(soup("table")):
        if _is_layout(table):
            _take_apart(table)
    # This is read, not rendered: backslashes would stand within words.
    converter = MarkdownConverter(
        heading_style=ATX, escape_asterisks=False, escape_underscores=False, strip=["a"]
    )
    try:
        text = converter.convert_soup(soup)
    except RecursionError:
        text = soup.get_text("\n", strip=True)
    lines = "\n".join(line.rstrip() for line in _INVISIBLE.sub("", text).splitlines())
    return _BLANK_LINES.sub("\n\n", lines).strip()


def _is_layout(table: Tag) -> bool:
    """Whether a table holds blocks, or has a single column: then it shows no relation of cells."""
    if table.find(_BLOCKS) is not None:
        return True
    return all(len(row(("td", "th"))) < 2 for row in table("tr"))


def _take_apart(table: Tag) -> None:
    for part in table((*_CELLS, *_ROWS)):
        # A table in this one that is still there is one to keep.
        if part.find_parent("table") is not table:
            continue
        if part.name in _CELLS:
            part.name = "div"
        else:
            part.unwrap()
    table.unwrap()

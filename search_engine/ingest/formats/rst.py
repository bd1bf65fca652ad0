"""reStructuredText files and their headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

from search_engine.ingest.formats.markdown import Heading
from search_engine.ingest.formats.plain import read_text
from search_engine.ingest.readers import Reading
from search_engine.types import Document

# Those of `str.splitlines` but `\v` and `\f`, which docutils takes for a space.
_LINE_END = re.compile("\r\n|[\n\r\x1c-\x1e\x85\u2028\u2029]")
# docutils takes up to 50 microseconds and half a kilobyte a line.
_MAX_LINES = 100_000


def read_rst(path: Path) -> Iterator[Reading]:
    """The file as one document, its text exactly as it stands; the title is the first heading.

    Bytes that are not in the encoding of the rest are a problem of their own.

    Raises:
        ReadError: the file is not text.
    """
    decoded = read_text(path)
    if decoded.problem is not None:
        yield Reading(decoded.problem)
    headings = outline_rst(decoded.text)
    title = next((heading.title for heading in headings if heading.title), "")
    yield Reading(Document(doc_id="", text=decoded.text, title=title, markup="rst", first_line=1))


# The reader and the chunker ask for the same text one after the other.
@lru_cache(maxsize=4)
def outline_rst(text: str) -> tuple[Heading, ...]:
    """The section titles of a reStructuredText, in order, found by docutils.

    Each style of adornment is a level, in the order in which they first come. No directive is run
    and no role is looked up, so those of Sphinx and unknown ones are nothing special; a title
    within the content of a directive is none. Of a text of more than 100,000 lines the titles of
    the first 100,000; a heading without a title ends them.

    Returns:
        A heading's offset is that of the line of its overline, or of its title without one.
    """
    from search_engine.ingest.formats.rst_titles import find_titles

    starts = [0, *(match.end() for match in islice(_LINE_END.finditer(text), _MAX_LINES))]
    is_cut = len(starts) > _MAX_LINES
    levels: dict[str, int] = {}
    headings = [
        Heading(starts[line - 1], levels.setdefault(style, len(levels) + 1), title)
        for line, style, title in find_titles(text[: starts[-1]] if is_cut else text)
    ]
    if is_cut:
        headings.append(Heading(starts[-1], 1, ""))
    return tuple(headings)

"""reStructuredText files and their headings."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from search_engine.ingest.formats.markdown import Heading
from search_engine.ingest.formats.plain import read_text
from search_engine.ingest.readers import Reading
from search_engine.types import Document

# docutils takes these for a space, and `str.splitlines` for the end of a line.
_BLANKS = str.maketrans("\v\f", "  ")


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
    within the content of a directive is none.

    Returns:
        A heading's offset is that of the line of its overline, or of its title without one.
    """
    from search_engine.ingest.formats.rst_titles import find_titles

    lines = text.translate(_BLANKS).splitlines(keepends=True)
    starts = [0, *accumulate(map(len, lines))]
    levels: dict[str, int] = {}
    return tuple(
        Heading(starts[line - 1], levels.setdefault(style, len(levels) + 1), title)
        for line, style, title in find_titles(text)
    )

"""Pieces that say nothing by themselves, joined to their neighbours.

A fence, an anchor, a heading without its text: the title and the headings encoded with such a piece
would find it above the passages that answer.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

_WORD = re.compile(r"[^\W_]")
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.DOTALL)
_FENCE = re.compile(r"^[ \t]*(?:`{3,}[^`\n]*|~{3,}.*)$", re.MULTILINE)
# What ends a block in some languages: `end`, `#endif`, the comment after a brace, `public:`.
_BLOCK_END = re.compile(
    r"\bend\b|^[ \t]*#[ \t]*endif\b.*$|(?<=\})[ \t]*//.*$|\b(?:public|private|protected)[ \t]*:",
    re.MULTILINE,
)


class Marks:
    """Where a text has mark-up that says nothing by itself.

    Args:
        text: the whole.
        titles: start and end of the lines that are a heading without what stands under it,
            ascending.
        silent: other mark-up that is no content.
        fences: offsets of what opens and closes blocks by turns, ascending.
    """

    def __init__(
        self,
        text: str,
        titles: Sequence[tuple[int, int]],
        *,
        silent: Sequence[re.Pattern[str]] = (),
        fences: Sequence[int] = (),
    ) -> None:
        self._text = text
        self._titles = titles
        self._starts = [start for start, _ in titles]
        self._silent = silent
        self._fences = fences

    @classmethod
    def of_markdown(cls, text: str, headings: Sequence[int]) -> Marks:
        """Headings that start at these offsets, fences, HTML comments and tags."""
        fences = [match.start() for match in _FENCE.finditer(text)]
        titles = [(start, find_line_end(text, start)) for start in headings]
        return cls(text, titles, silent=(_TAG, _FENCE), fences=fences)

    @classmethod
    def of_rst(cls, text: str, headings: Sequence[int]) -> Marks:
        """Titles that start at these offsets, with their overlines."""
        titles = []
        for start in headings:
            end = find_line_end(text, start)
            if _WORD.search(text, start, end) is None:
                end = find_line_end(text, end + 1)
            titles.append((start, end))
        return cls(text, titles)

    @classmethod
    def of_code(cls, text: str, lines: Sequence[int]) -> Marks:
        """The lines that begin a class at these offsets, and what ends a block."""
        titles = [(start, find_line_end(text, start)) for start in lines]
        return cls(text, titles, silent=(_BLOCK_END,))

    def lead(self, start: int, end: int) -> bool:
        """Whether a piece without content has a heading in it, or opens a fence."""
        if bisect_left(self._starts, start) < bisect_left(self._starts, end):
            return True
        fences = bisect_left(self._fences, start)
        return fences % 2 == 0 and bisect_left(self._fences, end) - fences == 1

    def cut_out(self, start: int, end: int) -> str:
        """A piece without its headings and what else is no content."""
        rest, position = [], start
        first, last = bisect_left(self._starts, start), bisect_left(self._starts, end)
        for title_start, title_end in self._titles[first:last]:
            rest.append(self._text[position:title_start])
            position = min(title_end, end)
        rest.append(self._text[position:end])
        content = "".join(rest)
        for pattern in self._silent:
            content = pattern.sub("", content)
        return content


def find_line_end(text: str, offset: int) -> int:
    """Where the line of an offset ends, before its line feed."""
    end = text.find("\n", offset)
    return len(text) if end < 0 else end


def join_slight(
    text: str,
    pieces: Iterable[tuple[int, int]],
    marks: Marks | None,
    fits: Callable[[str], bool],
) -> list[tuple[int, int, int]]:
    """The pieces, those without content joined to a neighbour where both together fit.

    A heading and the opening of a fence go to what follows, anything else to what stands before;
    where there is nothing or no room, the other way; without room on either side it stays alone.

    Args:
        pieces: start and end of each.
        marks: of the text; None where only a piece without a word has no content.
        fits: whether a text is short enough for a chunk of joined pieces.

    Returns:
        start, end, and where the first content begins, whose section the chunk belongs to.
    """
    chunks: list[tuple[int, int, int]] = []
    waiting: list[tuple[int, int]] = []

    def join_before(end: int) -> bool:
        if not chunks or not fits(text[chunks[-1][0] : end]):
            return False
        chunks[-1] = (chunks[-1][0], end, chunks[-1][2])
        return True

    def release_first() -> None:
        start, end = waiting.pop(0)
        if not join_before(end):
            chunks.append((start, end, start))

    for start, end in pieces:
        content = text[start:end] if marks is None else marks.cut_out(start, end)
        slight = _WORD.search(content) is None
        leads = marks is not None and marks.lead(start, end)
        if slight and not waiting and not leads and join_before(end):
            continue
        while waiting and not fits(text[waiting[0][0] : end]):
            release_first()
        if slight:
            waiting.append((start, end))
        else:
            chunks.append((waiting[0][0] if waiting else start, end, start))
            waiting.clear()
    while waiting:
        release_first()
    return chunks

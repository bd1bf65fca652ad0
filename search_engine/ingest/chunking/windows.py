"""Long texts cut into windows that a splitter takes in its stride."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

# The splitter's time grows with the square of the text it is given: slowly with many lines, fast
# within one line. So it gets a window at a time, a small one where lines are long.
WINDOW = 65_536
_SMALL_WINDOW = 4_096
_BREAKS = ("\n\n", "\n\r\n", "\n", "。", ". ", " ")


def cut_windows(
    text: str, start: int, end: int, sections: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Stretches of a text that together are all of `start` to `end`.

    Args:
        sections: offsets in the text at which a window ends rather than elsewhere, ascending.
    """
    while start < end:
        window_end = _find_window_end(text, start, end, size=WINDOW, sections=sections)
        if max(map(len, text[start:window_end].splitlines())) > _SMALL_WINDOW:
            window_end = _find_window_end(text, start, end, size=_SMALL_WINDOW, sections=sections)
        yield start, window_end
        start = window_end


def _find_window_end(text: str, start: int, end: int, *, size: int, sections: Sequence[int]) -> int:
    """The best place to end a window, in its second half: a section's start, else a line's."""
    limit = start + size
    if limit >= end:
        return end
    earliest = start + size // 2
    section = bisect_right(sections, limit) - 1
    if section >= 0 and sections[section] > earliest:
        return sections[section]
    for mark in _BREAKS:
        position = text.rfind(mark, earliest, limit)
        if position >= 0:
            return position + len(mark)
    return limit

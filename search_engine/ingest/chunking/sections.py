"""The sections of a text, and the headings that each stands under."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from search_engine.ingest.formats.markdown import Heading


class Sections:
    """The sections of a text: where each starts, and the headings it stands under.

    Args:
        headings: in order; one without a title ends the sections of its level and below.

    Attributes:
        starts: offset of each heading, ascending.
    """

    def __init__(self, headings: Sequence[Heading]) -> None:
        self.starts = [heading.start for heading in headings]
        self._paths: list[tuple[str, ...]] = [()]
        open_headings: list[Heading] = []
        for heading in headings:
            open_headings = [above for above in open_headings if above.level < heading.level]
            open_headings.append(heading)
            self._paths.append(tuple(above.title for above in open_headings if above.title))

    def find_path(self, offset: int) -> tuple[str, ...]:
        """The headings above an offset, outermost first, one that begins there included."""
        return self._paths[bisect_right(self.starts, offset)]

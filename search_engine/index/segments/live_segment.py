"""What of a segment a question looks at, and how segments are shared out among the cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_engine.filters import Filter
from search_engine.index.segments.segment import Segment

# Handing fewer rows to another core takes longer than comparing them.
SMALLEST_PIECE = 5_000


@dataclass(frozen=True, slots=True)
class LiveSegment:
    """A segment and which of its chunks are alive: bool [n], or None where all are."""

    segment: Segment
    alive: NDArray[np.bool_] | None

    @property
    def chunk_count(self) -> int:
        """How many chunks are alive."""
        everything = len(self.segment.chunk_ids)
        return everything if self.alive is None else int(self.alive.sum())

    def allowing(self, where: Filter) -> LiveSegment:
        """The segment with only those chunks alive that a filter lets through."""
        return self.among(self.segment.columns.matches(where))

    def among(self, allowed: NDArray[np.bool_]) -> LiveSegment:
        """The segment with only those of its living chunks alive that are allowed: bool [n]."""
        return LiveSegment(self.segment, allowed if self.alive is None else allowed & self.alive)

    def pieces(self, most: int) -> Iterator[LiveSegment]:
        """The segment in pieces of about so many living chunks, where all are compared anyway.

        A graph is walked from one entry, so it stays whole.
        """
        if self.chunk_count <= most or not self.segment.dense.exact:
            yield self
            return
        count = len(self.segment.chunk_ids)
        step = -(-count // -(-self.chunk_count // most))
        for start in range(0, count, step):
            rows = slice(start, start + step)
            alive = np.zeros(count, np.bool_)
            alive[rows] = True if self.alive is None else self.alive[rows]
            yield LiveSegment(self.segment, alive)


def share_out(segments: Sequence[LiveSegment], cores: int) -> list[list[LiveSegment]]:
    """Segments, or pieces of them, in groups of about the same number of chunks to compare."""
    total = sum(live.chunk_count for live in segments)
    # Two pieces a core even out what segments of other sizes leave uneven.
    most = max(SMALLEST_PIECE, -(-total // (2 * cores)))
    groups: list[list[LiveSegment]] = [[] for _ in range(cores)]
    sizes = [0] * cores
    pieces = [piece for live in segments for piece in live.pieces(most)]
    # The largest first, each to the group that has least to do.
    for piece in sorted(pieces, key=lambda live: -live.chunk_count):
        least = sizes.index(min(sizes))
        groups[least].append(piece)
        sizes[least] += piece.chunk_count
    return [group for group in groups if group]

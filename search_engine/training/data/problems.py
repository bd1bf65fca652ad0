"""What was wrong with records that make no example: counted, and the first of them kept."""

from __future__ import annotations

from collections.abc import Iterator

from search_engine.errors import ReadError

_KEPT = 1000


class Problems:
    """The problems of a training set; iterating gives the first thousand, `len` is all.

    Where a set streams, they are of the records that were read so far, and of this process.
    """

    def __init__(self) -> None:
        self._kept: list[ReadError] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ReadError]:
        return iter(self._kept)

    def add(self, problem: ReadError) -> None:
        """Count one more."""
        self._count += 1
        if len(self._kept) < _KEPT:
            self._kept.append(problem)

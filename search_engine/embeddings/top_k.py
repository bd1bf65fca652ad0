"""The best scores of each row, gathered from blocks of columns."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import ConfigError

# Of scores float32 [rows, columns] that are computed at a time; 32 MB in all.
COLUMNS = 8_192
_SCORES = 1_024 * COLUMNS


def rows_at_once(k: int) -> int:
    """How many rows are searched at a time, so that scores and what is kept stay bounded."""
    return max(1, _SCORES // max(COLUMNS, k))


def require_positive(value: int, what: str) -> None:
    """Check a number of things.

    Raises:
        ConfigError: it is below 1.
    """
    if value < 1:
        raise ConfigError(f"{what} is {value}; it must be 1 or more")


class TopK:
    """The k best scores of each row, best first, of equal ones the first column's.

    Args:
        rows: how many.
        k: how many are kept of each row.

    Attributes:
        scores: float32 [rows, k]; minus infinity where there were fewer.
        positions: int64 [rows, k], their columns; -1 where there were fewer.
    """

    def __init__(self, rows: int, k: int) -> None:
        self.scores = np.full((rows, k), -math.inf, np.float32)
        self.positions = np.full((rows, k), -1, np.int64)

    def add(self, scores: NDArray[np.float32], first: int, *, floor: float = -math.inf) -> None:
        """Take the scores of further columns, which stand after all earlier ones.

        Args:
            scores: float32 [rows, m], minus infinity for what is left out.
            first: the position of the first of these columns.
            floor: scores below it may be passed over.
        """
        if not scores.size:
            return
        highest = scores.max(axis=1)
        # What only ties with the last that is kept comes after it.
        rows = np.flatnonzero((highest > self.scores[:, -1]) & (highest >= floor))
        if not len(rows):
            return
        found, columns = _best_columns(
            scores if len(rows) == len(scores) else scores[rows], self.scores.shape[1]
        )
        both = np.concatenate([self.scores[rows], found], axis=1)
        positions = np.concatenate([self.positions[rows], columns + first], axis=1)
        order = np.argsort(-both, axis=1, kind="stable")[:, : self.scores.shape[1]]
        self.scores[rows] = np.take_along_axis(both, order, axis=1)
        self.positions[rows] = np.take_along_axis(positions, order, axis=1)


def _best_columns(
    scores: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The k best scores of each row and their columns, by column; all where there are fewer."""
    rows, count = scores.shape
    if k >= count:
        return scores, np.broadcast_to(np.arange(count), scores.shape)
    last = np.partition(scores, count - k, axis=1)[:, count - k, None]
    chosen = scores >= last
    if np.count_nonzero(chosen) > rows * k:
        # More tie with the last than there is room for: the first of them are taken.
        above = scores > last
        ties = chosen & ~above
        room = k - np.count_nonzero(above, axis=1, keepdims=True)
        chosen = above | (ties & (np.cumsum(ties, axis=1, dtype=np.int32) <= room))
    columns = (np.flatnonzero(chosen) % count).reshape(rows, k)
    return np.take_along_axis(scores, columns, axis=1), columns

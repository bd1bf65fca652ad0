"""The most similar pairs among many vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_engine.embeddings.semantic_search import leave_out_self
from search_engine.embeddings.similarity import (
    SimilarityName,
    Vectors,
    compare_prepared,
    prepare_vectors,
)
from search_engine.embeddings.top_k import COLUMNS, TopK, require_positive, rows_at_once


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of vectors, best first; of equal scores the lower positions come first.

    Attributes:
        first, second: int64 [p], positions of the two; the first is the lower one.
        scores: float32 [p], descending.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)


def mine_paraphrases(
    vectors: Vectors,
    *,
    top_k: int = 100,
    max_pairs: int = 500_000,
    similarity: SimilarityName = "cosine",
) -> Pairs:
    """The best pairs of vectors of which one is among the `top_k` most similar to the other.

    Every vector is compared with every other one, in blocks: memory holds the vectors, at most
    some 100 MB of scores, and about three times `max_pairs` pairs. Each pair comes once.

    Args:
        vectors: [n, d].
        top_k: how many others of each vector are looked at.
        max_pairs: how many pairs are returned at most.

    Raises:
        ConfigError: `top_k` or `max_pairs` is below 1, or as for `similarity`.
    """
    require_positive(top_k, "top_k")
    require_positive(max_pairs, "max_pairs")
    count = len(vectors)
    pool = _PairPool(count, max_pairs)
    step = rows_at_once(top_k)
    for start in range(0, count, step):
        rows = prepare_vectors(vectors[start : start + step], similarity)
        best = TopK(len(rows), min(top_k, count))
        for column in range(0, count, COLUMNS):
            columns = prepare_vectors(vectors[column : column + COLUMNS], similarity)
            scores = compare_prepared(rows, columns, name=similarity)
            leave_out_self(scores, start, column)
            best.add(scores, column, floor=pool.floor)
        pool.add(start, best)
    return pool.best()


class _PairPool:
    """The best pairs so far.

    Attributes:
        floor: a pair of a lower score is not among the best any more.
    """

    def __init__(self, count: int, most: int) -> None:
        self._count = count
        self._most = most
        # A pair is one number, the lower position times the count plus the higher.
        self._codes = [np.empty(0, np.int64)]
        self._scores = [np.empty(0, np.float32)]
        self.floor = -math.inf

    def add(self, start: int, best: TopK) -> None:
        """Take what was found for the vectors from a position on."""
        rows, places = np.nonzero((best.positions >= 0) & (best.scores >= self.floor))
        own, other = rows + start, best.positions[rows, places]
        lower, higher = np.minimum(own, other), np.maximum(own, other)
        self._codes.append(lower * self._count + higher)
        self._scores.append(best.scores[rows, places])
        if sum(map(len, self._codes)) > 2 * self._most:
            self._prune()

    def best(self) -> Pairs:
        """The best pairs, in order."""
        self._prune()
        lower, higher = np.divmod(self._codes[0], max(1, self._count))
        return Pairs(lower, higher, self._scores[0])

    def _prune(self) -> None:
        """Keep the best, in order, each once: as it was found first."""
        codes, places = np.unique(np.concatenate(self._codes), return_index=True)
        scores = np.concatenate(self._scores)[places]
        order = np.argsort(-scores, kind="stable")[: self._most]
        self._codes, self._scores = [codes[order]], [scores[order]]
        if len(order) == self._most:
            self.floor = float(scores[order[-1]])

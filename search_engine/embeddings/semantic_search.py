"""The vectors of a corpus that are most similar to each query, however large the corpus is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.embeddings.similarity import (
    SimilarityName,
    compare_prepared,
    prepare_vectors,
)
from search_engine.embeddings.top_k import COLUMNS, TopK, require_positive, rows_at_once


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What was found for each of n queries, best first.

    Attributes:
        positions: int64 [n, k], in the corpus.
        scores: float32 [n, k], descending; of equal ones the first in the corpus comes first.
    """

    positions: NDArray[np.int64]
    scores: NDArray[np.float32]


def semantic_search(
    queries: NDArray[Any],
    corpus: NDArray[Any] | Iterable[NDArray[Any]],
    *,
    top_k: int = 10,
    similarity: SimilarityName = "cosine",
    exclude_self: bool = False,
) -> Neighbours:
    """Compare every query with every vector of the corpus and keep the best.

    The corpus is read once, in order. Beside the queries and the result, memory holds one block
    of it and some 100 MB of scores.

    Args:
        queries: [n, d], or [d] for one.
        corpus: [m, d], or blocks of it one after the other; an array may be mapped from a file.
        top_k: how many are kept for each query; fewer where the corpus has fewer.
        exclude_self: the queries are the first n vectors of the corpus, and none finds itself.

    Raises:
        ConfigError: `top_k` is below 1, or as for `similarity`.
    """
    require_positive(top_k, "top_k")
    queries = np.atleast_2d(queries)
    if isinstance(corpus, np.ndarray):
        top_k = min(top_k, max(1, len(corpus)))
    step = rows_at_once(top_k)
    found = [
        TopK(len(queries[start : start + step]), top_k) for start in range(0, len(queries), step)
    ]
    total = 0
    for block in _blocks(corpus):
        prepared = prepare_vectors(block, similarity)
        for number, best in enumerate(found):
            start = number * step
            rows = prepare_vectors(queries[start : start + step], similarity)
            scores = compare_prepared(rows, prepared, name=similarity)
            if exclude_self:
                leave_out_self(scores, start, total)
            best.add(scores, total)
        total += len(prepared)
    kept = min(top_k, max(0, total - exclude_self))
    positions = [np.empty((0, kept), np.int64), *(best.positions[:, :kept] for best in found)]
    scores_found = [np.empty((0, kept), np.float32), *(best.scores[:, :kept] for best in found)]
    return Neighbours(np.concatenate(positions), np.concatenate(scores_found))


def leave_out_self(scores: NDArray[np.float32], first_row: int, first_column: int) -> None:
    """Set to minus infinity where the row and the column are the same vector.

    Args:
        scores: float32 [rows, columns], a block of the scores of vectors with themselves.
        first_row, first_column: the positions of the vectors at which the block begins.
    """
    begin = max(first_row, first_column)
    end = min(first_row + scores.shape[0], first_column + scores.shape[1])
    both = np.arange(begin, max(begin, end))
    scores[both - first_row, both - first_column] = -math.inf


def _blocks(corpus: NDArray[Any] | Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    for block in (corpus,) if isinstance(corpus, np.ndarray) else corpus:
        for start in range(0, len(block), COLUMNS):
            yield block[start : start + COLUMNS]

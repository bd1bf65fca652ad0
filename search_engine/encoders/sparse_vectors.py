"""What is computed of sparse vectors: the heaviest terms, shared terms, similarity, sparsity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.checkpoints.layout import Similarity
from search_engine.errors import ConfigError
from search_engine.types import SparseVectors


@dataclass(frozen=True, slots=True)
class Sparsity:
    """How sparse vectors are.

    Attributes:
        active_dims: terms with a weight, the mean over the vectors; 0 without vectors.
        sparsity_ratio: share of the vocabulary without a weight, likewise; 1 without vectors.
    """

    active_dims: float
    sparsity_ratio: float


def keep_heaviest(
    indices: NDArray[np.int32], weights: NDArray[np.float32], most: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `most` entries of a vector whose weights are largest without their signs.

    Of equal ones, those of the lower terms are kept. Sentence Transformers leaves it open which.

    Args:
        indices, weights: the entries, by ascending term.

    Returns:
        the same of those that are kept, by ascending term.
    """
    if len(indices) <= most:
        return indices, weights
    # Stable, so that equal weights stay by ascending term.
    kept = np.sort(np.argsort(-np.abs(weights), kind="stable")[:most])
    return indices[kept], weights[kept]


def stack_rows(
    rows: Sequence[tuple[NDArray[np.int32], NDArray[np.float32]]], size: int
) -> SparseVectors:
    """Vectors of the terms and weights of each, the terms ascending.

    Args:
        size: terms in the vocabulary.
    """
    counts = [len(indices) for indices, _ in rows]
    return SparseVectors(
        indptr=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
        indices=np.concatenate([np.empty(0, np.int32), *(indices for indices, _ in rows)]),
        weights=np.concatenate([np.empty(0, np.float32), *(weights for _, weights in rows)]),
        size=size,
    )


def measure_sparsity(vectors: SparseVectors) -> Sparsity:
    """How many terms have a weight, on average, and what share has none."""
    if len(vectors) == 0 or vectors.size == 0:
        return Sparsity(active_dims=0.0, sparsity_ratio=1.0)
    active = len(vectors.indices) / len(vectors)
    return Sparsity(active_dims=active, sparsity_ratio=1 - active / vectors.size)


def intersect(query: SparseVectors, documents: SparseVectors) -> SparseVectors:
    """What each term that both have adds to their dot product, where that is more than nothing.

    Args:
        query: one vector, which is compared with each document, or as many as documents.

    Returns:
        a vector for each document: of each shared term, the product of its two weights.

    Raises:
        ConfigError: the vocabularies differ in size, or the number of vectors does not fit.
    """
    met = _meet(query, documents)
    products = met * documents.weights
    shared = products > 0
    ends = np.concatenate([[0], np.cumsum(shared)])[documents.indptr]
    return SparseVectors(
        indptr=ends.astype(np.int64),
        indices=documents.indices[shared],
        weights=products[shared],
        size=documents.size,
    )


def compare_all(
    queries: SparseVectors, documents: SparseVectors, *, similarity: Similarity
) -> NDArray[np.float32]:
    """The similarity of each query with each document, float32 [queries, documents].

    Dot product and cosine, or distances with a minus sign: the higher, the more alike.

    Raises:
        ConfigError: the vocabularies differ in size.
    """
    scores = np.empty((len(queries), len(documents)), np.float32)
    for position in range(len(queries)):
        query = stack_rows([queries.row(position)], queries.size)
        scores[position] = compare_pairs(query, documents, similarity=similarity)
    return scores


def compare_pairs(
    queries: SparseVectors, documents: SparseVectors, *, similarity: Similarity
) -> NDArray[np.float32]:
    """The similarity of each query with the document at its place, float32 [documents].

    Args:
        queries: as many as documents, or one, which is compared with all of them.
        similarity: as for `compare_all`.

    Raises:
        ConfigError: the vocabularies differ in size, or the number of vectors does not fit.
    """
    met = _meet(queries, documents).astype(np.float64)
    theirs = documents.weights.astype(np.float64)
    rows = _rows(documents)
    count = len(documents)
    if similarity == "manhattan":
        # Terms of the query alone are in its own sum; at shared ones that has to be corrected.
        distances = np.bincount(rows, np.abs(met - theirs) - np.abs(met), count)
        return -(distances + _sums(queries, np.abs(queries.weights))).astype(np.float32)
    dots = np.bincount(rows, met * theirs, count)
    if similarity == "dot":
        return dots.astype(np.float32)
    squares = _sums(queries, queries.weights.astype(np.float64) ** 2)
    their_squares = np.bincount(rows, theirs**2, count)
    if similarity == "euclidean":
        return -np.sqrt(np.maximum(squares - 2 * dots + their_squares, 0)).astype(np.float32)
    lengths = np.sqrt(squares * their_squares)
    return np.divide(dots, lengths, out=np.zeros(count), where=lengths > 0).astype(np.float32)


def _meet(queries: SparseVectors, documents: SparseVectors) -> NDArray[np.float32]:
    """For each entry of the documents, what the query at that place weighs the same term."""
    if queries.size != documents.size:
        raise ConfigError(
            f"vectors over {queries.size} terms cannot be compared with vectors over "
            f"{documents.size}; encode both with the same model."
        )
    if len(queries) == 1:
        weights = np.zeros(queries.size, np.float32)
        weights[queries.indices] = queries.weights
        return weights[documents.indices]
    if len(queries) != len(documents):
        raise ConfigError(
            f"{len(queries)} vectors cannot be paired with {len(documents)}; give one, or as many."
        )
    # Row and term as one number, ascending in both.
    keys = _rows(queries) * queries.size + queries.indices
    wanted = _rows(documents) * documents.size + documents.indices
    met = np.zeros(len(wanted), np.float32)
    _, places, found = np.intersect1d(keys, wanted, assume_unique=True, return_indices=True)
    met[found] = queries.weights[places]
    return met


def _rows(vectors: SparseVectors) -> NDArray[np.int64]:
    """The row that each entry stands in."""
    return np.repeat(np.arange(len(vectors), dtype=np.int64), np.diff(vectors.indptr))


def _sums(vectors: SparseVectors, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The sum over the entries of each row."""
    return np.bincount(_rows(vectors), values, len(vectors)).astype(np.float64)

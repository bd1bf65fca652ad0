"""Sparse vectors compared with the same computed on dense arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from search_engine.encoders.sparse_vectors import (
    Sparsity,
    compare_all,
    compare_pairs,
    intersect,
    keep_heaviest,
    measure_sparsity,
    stack_rows,
)
from search_engine.errors import ConfigError
from search_engine.types import SparseVectors

SIZE = 6
DISTANCES = {
    "dot": lambda a, b: a @ b,
    "cosine": lambda a, b: a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12),
    "euclidean": lambda a, b: -np.linalg.norm(a - b),
    "manhattan": lambda a, b: -np.abs(a - b).sum(),
}
# Halves, so that sums are exact; many zeros, so that rows can be empty.
WEIGHTS = st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0, 2.5, -1.5])


def dense(rows: int) -> st.SearchStrategy[NDArray[np.float32]]:
    return arrays(np.float32, (rows, SIZE), elements=WEIGHTS)


def sparsify(rows: NDArray[np.float32]) -> SparseVectors:
    kept = [np.flatnonzero(row).astype(np.int32) for row in rows]
    return stack_rows(
        [(terms, row[terms]) for terms, row in zip(kept, rows, strict=True)], rows.shape[1]
    )


def densify(vectors: SparseVectors) -> NDArray[np.float32]:
    rows = np.zeros((len(vectors), vectors.size), np.float32)
    for position in range(len(vectors)):
        terms, weights = vectors.row(position)
        rows[position, terms] = weights
    return rows


@pytest.mark.parametrize("similarity", DISTANCES)
@given(queries=dense(4), documents=dense(4))
def test_similarity(
    similarity: str, queries: NDArray[np.float32], documents: NDArray[np.float32]
) -> None:
    expected = np.array([[DISTANCES[similarity](a, b) for b in documents] for a in queries])
    found = compare_all(sparsify(queries[:3]), sparsify(documents), similarity=similarity)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[:3], atol=1e-6)
    pairs = compare_pairs(sparsify(queries), sparsify(documents), similarity=similarity)
    np.testing.assert_allclose(pairs, expected.diagonal(), atol=1e-6)


@given(queries=dense(3), documents=dense(3))
def test_intersection(queries: NDArray[np.float32], documents: NDArray[np.float32]) -> None:
    for given_queries, expected in (
        (queries, queries * documents),
        (queries[:1], queries[:1] * documents),
    ):
        found = intersect(sparsify(given_queries), sparsify(documents))
        assert densify(found).tolist() == np.maximum(expected, 0).tolist()
        assert (found.weights > 0).all()
        assert found.indptr[-1] == len(found.indices) == len(found.weights)


def test_the_heaviest_are_kept_and_of_equal_ones_the_lower_terms() -> None:
    terms = np.array([1, 4, 5, 7, 9], np.int32)
    weights = np.array([2, -3, 2, 1, 2], np.float32)
    for most, expected in ((1, [4]), (2, [1, 4]), (3, [1, 4, 5]), (4, [1, 4, 5, 9]), (9, terms)):
        kept, its_weights = keep_heaviest(terms, weights, most)
        assert kept.tolist() == list(expected)
        assert its_weights.tolist() == [weights[terms.tolist().index(term)] for term in kept]


def test_sparsity() -> None:
    rows = np.array([[1, 0, 0, 2, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]], np.float32)
    assert measure_sparsity(sparsify(rows)) == Sparsity(2.0, 1 - 2 / 6)
    assert measure_sparsity(sparsify(rows[:0])) == Sparsity(0.0, 1.0)


def test_vectors_that_do_not_fit_together() -> None:
    three, two = sparsify(np.eye(3, 6, dtype=np.float32)), sparsify(np.eye(2, 6, dtype=np.float32))
    other = sparsify(np.eye(3, 7, dtype=np.float32))
    with pytest.raises(ConfigError, match="2 vectors cannot be paired with 3"):
        compare_pairs(two, three, similarity="dot")
    with pytest.raises(ConfigError, match="over 6 terms cannot be compared with vectors over 7"):
        intersect(three, other)
    assert compare_all(three, sparsify(np.eye(0, 6, dtype=np.float32)), similarity="dot").shape == (
        3,
        0,
    )

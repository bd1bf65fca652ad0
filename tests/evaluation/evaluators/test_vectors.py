"""Exact search over sparse vectors in blocks is that over dense ones."""

from __future__ import annotations

import numpy as np
import pytest

from search_engine.errors import ConfigError
from search_engine.evaluation.evaluators import vectors
from search_engine.evaluation.evaluators.vectors import (
    compare_rows,
    find_nearest,
    take_rows,
    to_dense,
)
from tests.evaluation.evaluators.stubs import to_sparse

GENERATOR = np.random.default_rng(2)


def make_vectors(count: int) -> np.ndarray:
    values = GENERATOR.integers(0, 4, size=(count, 9)) * (GENERATOR.random((count, 9)) < 0.5)
    return values.astype(np.float32)


@pytest.mark.parametrize(("rows", "columns"), [(100, 8_192), (2, 3), (1, 1)])
@pytest.mark.parametrize("top_k", [1, 4, 30])
def test_blocks_change_nothing(monkeypatch, rows: int, columns: int, top_k: int) -> None:
    monkeypatch.setattr(vectors, "COLUMNS", columns)
    monkeypatch.setattr(vectors, "rows_at_once", lambda k: rows)
    queries, corpus = make_vectors(5), make_vectors(17)
    found = find_nearest(
        to_sparse(queries),
        [to_sparse(corpus[:10]), to_sparse(corpus[10:])],
        top_k=top_k,
        similarity="dot",
    )
    scores = queries @ corpus.T
    # Of equal scores, the first in the corpus.
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    np.testing.assert_array_equal(found.positions, expected)
    np.testing.assert_array_equal(found.scores, np.take_along_axis(scores, expected, axis=1))


def test_rows_of_sparse_vectors() -> None:
    dense = make_vectors(6)
    rows = np.array([4, 0, 4, 5])
    np.testing.assert_array_equal(to_dense(take_rows(to_sparse(dense), rows)), dense[rows])
    np.testing.assert_array_equal(to_dense(take_rows(dense, rows)), dense[rows])


def test_dense_and_sparse_vectors_are_not_compared() -> None:
    dense, sparse = make_vectors(3), to_sparse(make_vectors(3))
    for a, b in ((dense, sparse), (sparse, dense)):
        with pytest.raises(ConfigError, match="sparse"):
            compare_rows(a, b, "dot")
        with pytest.raises(ConfigError, match="sparse"):
            find_nearest(a, [b], top_k=1, similarity="dot")
    # One vector would be compared with all.
    with pytest.raises(ConfigError, match="1 vectors cannot be paired with 3"):
        compare_rows(take_rows(sparse, np.array([0])), sparse, "dot")

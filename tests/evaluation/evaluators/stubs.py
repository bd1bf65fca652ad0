"""Encoders that know the vector, or the score, of each text by heart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from search_engine.types import SparseVectors


class Dense:
    """Vectors by text; those of queries may be others than those of documents."""

    def __init__(
        self,
        vectors: Mapping[str, Sequence[float]],
        *,
        queries: Mapping[str, Sequence[float]] | None = None,
        similarity: str = "dot",
    ) -> None:
        self.similarity = similarity
        self.name = "stub"
        self.calls: list[tuple[str, list[str], int | None]] = []
        self._vectors = vectors
        self._queries = vectors if queries is None else queries

    def encode(self, texts, *, truncate_dim=None):
        return self._look_up("encode", texts, self._vectors, truncate_dim)

    def encode_query(self, texts, *, truncate_dim=None):
        return self._look_up("query", texts, self._queries, truncate_dim)

    def encode_document(self, texts, *, truncate_dim=None):
        return self._look_up("document", texts, self._vectors, truncate_dim)

    def _look_up(self, kind, texts, vectors, truncate_dim):
        self.calls.append((kind, list(texts), truncate_dim))
        found = np.array([vectors[text] for text in texts], np.float32)
        return found[:, :truncate_dim]


class Sparse(Dense):
    """The same as sparse vectors."""

    max_active_dims = None

    def encode(self, texts):
        return to_sparse(super().encode(texts))

    def encode_query(self, texts):
        return to_sparse(super().encode_query(texts))

    def encode_document(self, texts):
        return to_sparse(super().encode_document(texts))


class Cross:
    """Scores by pair of texts; 0 for others."""

    name = "cross stub"
    num_labels = 1

    def __init__(self, scores: Mapping[tuple[str, str], float]) -> None:
        self._scores = scores

    def predict(self, pairs):
        return np.array([self._scores.get(pair, 0) for pair in pairs], np.float32)


class Labeller:
    """A label by pair of texts, of three."""

    name = "labeller"
    num_labels = 3

    def __init__(self, labels: Mapping[tuple[str, str], int]) -> None:
        self._labels = labels

    def predict_labels(self, pairs):
        return np.eye(3, dtype=np.float32)[[self._labels[pair] for pair in pairs]]


def to_sparse(dense: np.ndarray) -> SparseVectors:
    rows, terms = np.nonzero(dense)
    return SparseVectors(
        indptr=np.searchsorted(rows, np.arange(len(dense) + 1)).astype(np.int64),
        indices=terms.astype(np.int32),
        weights=dense[rows, terms],
        size=dense.shape[1],
    )

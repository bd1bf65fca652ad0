"""The dense kind `flat`: every vector is compared, through FAISS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search_engine.config import DenseConfig
from search_engine.index.dense.metric import metric_of
from search_engine.index.dense.vector_storage import StoredVectors, VectorStorage, write_vectors

FILE_NAME = "dense.faiss"


class FaissFlat:
    """Exact search over the memory-mapped vectors of one segment: see DenseIndex."""

    def __init__(self, folder: Path, config: DenseConfig) -> None:  # noqa: ARG002 (the contract's)
        self._storage = VectorStorage(folder / FILE_NAME)

    @classmethod
    def check(cls, config: DenseConfig, similarity: str) -> None:  # noqa: ARG003 (the contract's)
        """Refuse a similarity that is no metric.

        Raises:
            ConfigError: with the reason.
        """
        metric_of(similarity)

    @staticmethod
    def write(folder: Path, vectors: StoredVectors, config: DenseConfig) -> None:  # noqa: ARG004
        """Save the vectors; there may be none."""
        write_vectors(folder / FILE_NAME, vectors)

    @property
    def vectors(self) -> StoredVectors:
        """The vectors as they are stored, memory-mapped."""
        return self._storage.vectors

    @property
    def exact(self) -> bool:
        """Always: every vector is compared."""
        return True

    def search(
        self, query: NDArray[np.float32], depth: int, *, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """A few more than the best `depth` vectors: see DenseIndex.search."""
        return self._storage.scan(query, depth, allowed=allowed)

    def search_above(
        self, query: NDArray[np.float32], threshold: float, *, allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        """The ordinals of all vectors that score the threshold or more, int64 [m]."""
        return self._storage.scan_above(query, threshold, allowed=allowed)

    def rescore(
        self, query: NDArray[np.float32], ordinals: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Scores float32 [m], each summed by itself in the same order."""
        return self._storage.rescore(query, ordinals)

    def score_error(self, query: NDArray[np.float32]) -> float:
        """The most by which a score of `search` differs from that of `rescore`."""
        return self._storage.score_error(query)

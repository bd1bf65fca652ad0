"""How the vectors of a segment may be indexed, by name.

A kind writes the vectors of a segment into its folder, and its constructor opens what was written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from search_engine.registry import Registry


class DenseIndex(Protocol):
    """The dense index of one segment."""

    def __init__(self, folder: Path) -> None: ...

    @classmethod
    def check_similarity(cls, similarity: str) -> None:
        """Refuse a similarity that the kind cannot serve, by a ConfigError with the reason."""

    @staticmethod
    def write(folder: Path, vectors: NDArray[np.float32]) -> None:
        """Save vectors, float32 [n, dim]."""

    def search(
        self, query: NDArray[np.float32], depth: int, *, alive: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Candidates for the best `depth`, best first.

        Args:
            query: float32 [dim].
            depth: how many are wanted; a kind gives some more, so that ties show.
            alive: bool [n], which vectors may be found; None is all.

        Returns:
            ordinals int64 [m] and scores float32 [m], m >= min(depth, number alive).
        """

    def search_above(
        self, query: NDArray[np.float32], threshold: float, *, alive: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        """The ordinals of all vectors that score the threshold or more, int64 [m]."""

    def rescore(
        self, query: NDArray[np.float32], ordinals: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The scores float32 [m] of vectors, each the same whatever vectors stand beside it."""

    def score_error(self, query: NDArray[np.float32]) -> float:
        """The most by which a score of `search` differs from that of `rescore`."""


dense_kinds: Registry[type[DenseIndex]] = Registry(
    "dense kind",
    group="search_engine.dense_kinds",
    builtin={"flat": "search_engine.index.faiss_flat:FaissFlat"},
)

"""How the vectors of a segment may be indexed, by name.

A kind writes the vectors of a segment into its folder, and its constructor opens what was written.
Every kind of ours keeps the vectors in `dense.faiss` (see vector_storage), so that they can be
scored again, scanned and merged; a graph stands beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from search_engine.config import DenseConfig
from search_engine.index.dense.vector_storage import StoredVectors
from search_engine.registry import Registry

# Scanning so many vectors takes as long as one candidate of a graph search: of 200,000 x 384, 0.06
# us each and 3.3 us, and where a tenth are allowed, 4.1 ms and 4.3 ms in all.
STEP_COST = 50
# Segments of fewer vectors get no graph: scanning 8,000 takes 0.19 ms, and searching a graph of
# them as long; for 16,000 (int8) it is 0.42 ms and 0.24 ms.
GRAPH_MINIMUM = 8_000


class DenseIndex(Protocol):
    """The dense index of one segment; threads may search it side by side.

    Args:
        folder: where `write` wrote it.
        config: settings of the dense leg.

    Raises:
        OSError, ValueError, RuntimeError, EOFError: what is there cannot be read.
    """

    def __init__(self, folder: Path, config: DenseConfig) -> None: ...

    @classmethod
    def check(cls, config: DenseConfig, similarity: str) -> None:
        """Refuse what the kind cannot serve, by a ConfigError with the reason."""

    @staticmethod
    def write(folder: Path, vectors: StoredVectors, config: DenseConfig) -> None:
        """Save the vectors of a segment, of which there may be none."""

    @property
    def vectors(self) -> StoredVectors:
        """The vectors as they are stored, memory-mapped."""

    @property
    def exact(self) -> bool:
        """Whether `search` misses nothing, whatever is allowed."""

    def search(
        self, query: NDArray[np.float32], depth: int, *, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Candidates for the best `depth`, best first; none for a query that is not finite.

        Args:
            query: float32 [dim].
            depth: how many are wanted; a kind gives some more, so that ties show.
            allowed: bool [n], which vectors may be found; None is all.

        Returns:
            ordinals int64 [m] and scores float32 [m], m >= min(depth, number allowed).
        """

    def search_above(
        self, query: NDArray[np.float32], threshold: float, *, allowed: NDArray[np.bool_] | None
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
    builtin={
        "flat": "search_engine.index.dense.faiss_flat:FaissFlat",
        "hnsw": "search_engine.index.dense.faiss_hnsw:FaissHnsw",
        "hnswlib": "search_engine.index.dense.hnswlib_graph:HnswlibGraph",
    },
)


def graph_width(ef_search: int, wanted: int, *, allowed: int, total: int) -> int | None:
    """How many candidates a graph search looks at, or None where scanning costs less.

    A graph cannot be walked by what is allowed alone, so that as many more are looked at as are
    not allowed.

    Args:
        ef_search: candidates where everything is allowed.
        wanted: how many are to be found.
        allowed, total: how many vectors may be found, and how many there are.
    """
    width = max(ef_search, wanted) * total // max(allowed, 1)
    return width if width * STEP_COST < allowed else None

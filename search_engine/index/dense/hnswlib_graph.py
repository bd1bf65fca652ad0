"""The dense kind `hnswlib`: a graph of neighbours by hnswlib, the authors' own implementation.

Malkov and Yashunin 2018, "Efficient and robust approximate nearest neighbor search using
Hierarchical Navigable Small World graphs". hnswlib keeps its own copy of the vectors, in float32
and in memory, beside those of `dense.faiss`.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import hnswlib
import numpy as np
from numpy.typing import NDArray

from search_engine.config import DenseConfig
from search_engine.errors import ConfigError
from search_engine.index.dense import dense_kinds
from search_engine.index.dense.faiss_flat import FaissFlat
from search_engine.index.dense.vector_storage import SPARE, StoredVectors

GRAPH_NAME = "dense.hnswlib"


class HnswlibGraph(FaissFlat):
    """Approximate search by a graph, and exact search where that costs less: see DenseIndex."""

    def __init__(self, folder: Path, config: DenseConfig) -> None:
        super().__init__(folder, config)
        self._ef_search = config.ef_search
        path = folder / GRAPH_NAME
        self._graph = _open_graph(path, self.vectors, config) if path.is_file() else None

    @classmethod
    def check(cls, config: DenseConfig, similarity: str) -> None:
        """Refuse a similarity that is no metric, and any precision but float32.

        Raises:
            ConfigError: with the reason.
        """
        super().check(config, similarity)
        if config.precision != "float32":
            raise ConfigError(
                f"dense kind 'hnswlib' keeps its own vectors in float32, so that the precision "
                f"{config.precision!r} would save nothing; choose float32, or the kind 'hnsw'"
            )

    @staticmethod
    def write(folder: Path, vectors: StoredVectors, config: DenseConfig) -> None:
        """Save the vectors, and a graph of them if they are many."""
        FaissFlat.write(folder, vectors, config)
        if len(vectors) >= dense_kinds.GRAPH_MINIMUM:
            graph = hnswlib.Index(vectors.metric, vectors.dimension)
            graph.init_index(len(vectors), M=config.m, ef_construction=config.ef_construction)
            graph.add_items(vectors.decode())
            path = folder / GRAPH_NAME
            graph.save_index(str(path))
            if path.stat().st_size != graph.index_file_size():
                # hnswlib does not say why.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    @property
    def exact(self) -> bool:
        """Whether there is no graph: then every vector is compared."""
        return self._graph is None

    def search(
        self, query: NDArray[np.float32], depth: int, *, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """A few more than `depth` of the best vectors: see DenseIndex.search."""
        total = len(self.vectors)
        count = total if allowed is None else int(np.count_nonzero(allowed))
        wanted = min(depth + SPARE, count)
        width = dense_kinds.graph_width(self._ef_search, wanted, allowed=count, total=total)
        if self._graph is None or width is None or not np.isfinite(query).all():
            return self._storage.scan(query, depth, allowed=allowed)
        # All of the width are fetched and those not allowed dropped: asking a Python function about
        # each (`filter`) took 1.1 to 1.4 times as long. hnswlib never looks at fewer candidates
        # than it shall find, so nothing that threads share has to be set for a query.
        fetched = wanted if allowed is None else width
        try:
            labels, _ = self._graph.knn_query(query.reshape(1, -1), fetched, num_threads=1)
        except RuntimeError:
            # Fewer than that can be reached in the graph.
            return self._storage.scan(query, depth, allowed=allowed)
        ordinals = labels[0].astype(np.int64)
        if allowed is not None:
            ordinals = ordinals[allowed[ordinals]]
        if len(ordinals) < min(depth, count):
            return self._storage.scan(query, depth, allowed=allowed)
        # Its own scores are 1 - ip, which loses what is small.
        return self._storage.best(query, ordinals, wanted)


def _open_graph(path: Path, vectors: StoredVectors, config: DenseConfig) -> hnswlib.Index:
    graph = hnswlib.Index(vectors.metric, vectors.dimension)
    graph.load_index(str(path))
    if graph.get_current_count() != len(vectors):
        raise ValueError(f"{path.name} is not a graph of {len(vectors)} vectors")
    graph.set_ef(config.ef_search)
    return graph

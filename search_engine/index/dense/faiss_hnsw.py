"""The dense kind `hnsw`: a graph of neighbours over the stored vectors, through FAISS.

Malkov and Yashunin 2018, "Efficient and robust approximate nearest neighbor search using
Hierarchical Navigable Small World graphs". The file of the graph holds no vectors: it is laid over
those of `dense.faiss`, in whatever precision they are stored.
"""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from search_engine.config import DenseConfig
from search_engine.index.dense import dense_kinds
from search_engine.index.dense.faiss_flat import FaissFlat
from search_engine.index.dense.vector_storage import (
    FAISS_METRICS,
    QUANTIZERS,
    SPARE,
    StoredVectors,
    VectorStorage,
    selector,
    train_quantizer,
)

GRAPH_NAME = "dense.hnsw.faiss"
# Vectors are decoded so many at a time when a graph is built.
_BLOCK = 50_000


class FaissHnsw(FaissFlat):
    """Approximate search by a graph, and exact search where that costs less: see DenseIndex."""

    def __init__(self, folder: Path, config: DenseConfig) -> None:
        super().__init__(folder, config)
        self._ef_search = config.ef_search
        path = folder / GRAPH_NAME
        self._graph = _open_graph(path, self._storage) if path.is_file() else None

    @staticmethod
    def write(folder: Path, vectors: StoredVectors, config: DenseConfig) -> None:
        """Save the vectors, and a graph of them if they are many."""
        FaissFlat.write(folder, vectors, config)
        if len(vectors) >= dense_kinds.GRAPH_MINIMUM:
            graph = _build_graph(vectors, config)
            # A file that FAISS opened itself it closes without saying that the disk was full.
            with (folder / GRAPH_NAME).open("wb") as file:
                there = faiss.PyCallbackIOWriter(file.write)
                faiss.write_index(graph, there, faiss.IO_FLAG_SKIP_STORAGE)

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
        parameters = faiss.SearchParametersHNSW(efSearch=width)
        if allowed is not None:
            parameters.sel = selector(allowed)
        scores, ordinals = self._graph.search(query.reshape(1, -1), wanted, params=parameters)
        found = self._storage.found(scores[0], ordinals[0])
        if len(found[0]) < min(depth, count):
            # Parts of the graph cannot be reached.
            return self._storage.scan(query, depth, allowed=allowed)
        return found


def _open_graph(path: Path, storage: VectorStorage) -> faiss.IndexHNSW:
    graph = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    if not isinstance(graph, faiss.IndexHNSW) or graph.ntotal != len(storage.vectors):
        raise ValueError(f"{path.name} is not a graph of {len(storage.vectors)} vectors")
    graph.storage = storage.index
    graph.own_fields = False  # the storage goes with its own object
    return graph


def _build_graph(vectors: StoredVectors, config: DenseConfig) -> faiss.IndexHNSW:
    """The graph, on all cores. It holds the vectors a second time until it is let go."""
    metric = FAISS_METRICS[vectors.metric]
    graph: faiss.IndexHNSW
    if vectors.precision == "float32":
        graph = faiss.IndexHNSWFlat(vectors.dimension, config.m, metric)
    else:
        graph = faiss.IndexHNSWSQ(
            vectors.dimension, QUANTIZERS[vectors.precision], config.m, metric
        )
        train_quantizer(faiss.downcast_index(graph.storage), vectors.ranges)
        graph.is_trained = True
    graph.hnsw.efConstruction = config.ef_construction
    for start in range(0, len(vectors), _BLOCK):
        ordinals = np.arange(start, min(start + _BLOCK, len(vectors)))
        graph.add(vectors.decode(ordinals))
    return graph

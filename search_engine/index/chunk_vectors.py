"""The dense vectors of an index's living chunks, read in blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import ConfigError
from search_engine.index.snapshot import Snapshot


class ChunkVectors:
    """The vectors of all living chunks of a snapshot, by ascending chunk id.

    They are decoded when they are asked for, so that memory holds only what was asked for.

    Args:
        snapshot: it has to be held while vectors are read.

    Attributes:
        chunk_ids: int64 [n], the chunk of each vector.

    Raises:
        ConfigError: the index has no dense vectors.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        dimension = snapshot.generation.dimension
        if dimension is None:
            raise ConfigError(
                "the index has no dense vectors; add a dense model by `search-cli rebuild --model`"
            )
        self._dimension = dimension
        self._segments = [live.segment for live in snapshot.segments]
        alive = [
            np.arange(len(live.segment.chunk_ids))
            if live.alive is None
            else np.flatnonzero(live.alive)
            for live in snapshot.segments
        ]
        chunk_ids = [
            segment.chunk_ids[ordinals]
            for segment, ordinals in zip(self._segments, alive, strict=True)
        ]
        nothing = np.empty(0, np.int64)
        together = np.concatenate([nothing, *chunk_ids])
        order = np.argsort(together)
        self.chunk_ids = together[order]
        self._ordinals = np.concatenate([nothing, *alive])[order]
        self._owners = np.repeat(np.arange(len(alive)), [len(each) for each in alive])[order]

    def __len__(self) -> int:
        return len(self.chunk_ids)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Some of the vectors, float32 [m, dim], as the index stores them."""
        owners, ordinals = self._owners[rows], self._ordinals[rows]
        vectors = np.empty((len(owners), self._dimension), np.float32)
        for owner in np.unique(owners).tolist():
            here = owners == owner
            vectors[here] = self._segments[owner].dense.vectors.decode(ordinals[here])
        return vectors

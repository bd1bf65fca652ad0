"""How the vectors of a segment may be indexed, by name.

A kind has `check_similarity(similarity)`, `write(folder, vectors)` and a constructor that opens
what was written, with `search(query, depth, alive=)`; FaissFlat says what each promises.
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
        """Candidates for the best `depth`: ordinals int64 [m] and scores float32 [m]."""


dense_kinds: Registry[type[DenseIndex]] = Registry(
    "dense kind",
    group="search_engine.dense_kinds",
    builtin={"flat": "search_engine.index.faiss_flat:FaissFlat"},
)

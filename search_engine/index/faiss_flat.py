"""The dense kind `flat`: every vector is compared, through FAISS.

FAISS sums a product in an order that depends on how many vectors stand beside it, so its scores
differ in the last bit with the segmentation. The candidates are therefore scored again here, each
by itself, and candidates that could tie with the last one are fetched too: the same vectors give
the same hits, however they are split.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from search_engine.errors import ConfigError

FILE_NAME = "dense.faiss"
# Rounding error of a product summed in any order, relative to the norms (d * 2^-24, d <= 4096,
# Higham 2002, section 3.1, with room to spare for the typical case).
_RELATIVE_ERROR = 1e-5
# Fetched beyond what is wanted, to see without a second search whether anything ties.
_SPARE = 8


class FaissFlat:
    """Exact search by inner product over the memory-mapped vectors of one segment."""

    similarities = ("cosine", "dot")

    def __init__(self, folder: Path) -> None:
        self._index = faiss.read_index(str(folder / FILE_NAME), faiss.IO_FLAG_MMAP_IFC)
        count, dimension = self._index.ntotal, self._index.d
        codes = faiss.rev_swig_ptr(self._index.get_xb(), count * dimension)
        self.vectors: NDArray[np.float32] = codes.reshape(count, dimension)

    @classmethod
    def check_similarity(cls, similarity: str) -> None:
        """Refuse a similarity that this kind cannot serve.

        Raises:
            ConfigError: with the reason.
        """
        if similarity not in cls.similarities:
            raise ConfigError(
                f"dense kind 'flat' scores by inner product and cannot serve a model whose "
                f"similarity is {similarity!r}; it serves {' and '.join(cls.similarities)}"
            )

    @staticmethod
    def write(folder: Path, vectors: NDArray[np.float32]) -> None:
        """Save the vectors, float32 [n, dim]; n may be 0."""
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(np.ascontiguousarray(vectors))
        faiss.write_index(index, str(folder / FILE_NAME))

    def search(
        self, query: NDArray[np.float32], depth: int, *, alive: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """At least the best `depth` vectors and all that tie with the last of them, unordered.

        Args:
            query: float32 [dim].
            depth: how many are wanted.
            alive: bool [n], which vectors may be found; None is all.

        Returns:
            ordinals int64 [m] and scores float32 [m], m >= min(depth, number alive).
        """
        count = self._index.ntotal if alive is None else int(alive.sum())
        wanted = min(depth, count)
        if wanted == 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        parameters = None
        if alive is not None:
            # The selector reads the bits where they lie, so they must outlive both searches.
            bits = np.packbits(alive, bitorder="little")
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        batch = query.reshape(1, -1)
        fetched = min(wanted + _SPARE, count)
        near, found = self._index.search(batch, fetched, params=parameters)
        ordinals = found[0]
        slack = _RELATIVE_ERROR * float(np.linalg.norm(query)) * self._largest_norm
        threshold = float(near[0, wanted - 1]) - slack
        if fetched < count and near[0, -1] >= threshold:
            _, _, ordinals = self._index.range_search(batch, threshold, params=parameters)
        ordinals = np.sort(ordinals)
        return ordinals, np.multiply(self.vectors[ordinals], query).sum(axis=1)

    @cached_property
    def _largest_norm(self) -> float:
        squares = np.einsum("ij,ij->i", self.vectors, self.vectors)
        return float(np.sqrt(squares.max()))

"""The dense kind `flat`: every vector is compared, through FAISS.

FAISS sums a product in an order that depends on how many vectors stand beside it, so its scores
differ in the last bit with the segmentation. `rescore` does not.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from search_engine.errors import ConfigError

FILE_NAME = "dense.faiss"
# Rounding error of a product summed in any order, relative to the norms. Its bound is d * 2^-24
# (Higham 2002, section 3.1), its size about the square root of that: near-duplicates of 384
# dimensions came to 2 % of this.
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
        """A few more than the best `depth` vectors: see DenseIndex.search."""
        count = self._index.ntotal if alive is None else int(alive.sum())
        fetched = min(depth + _SPARE, count)
        if fetched == 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        bits = _bits(alive)
        scores, ordinals = self._index.search(
            query.reshape(1, -1), fetched, params=_parameters(bits)
        )
        # FAISS pads with -1 where it cannot compare (a query that is not a number).
        found = ordinals[0] >= 0
        return ordinals[0][found], scores[0][found]

    def search_above(
        self, query: NDArray[np.float32], threshold: float, *, alive: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        """The ordinals of all vectors that score the threshold or more, int64 [m]."""
        bits = _bits(alive)
        # FAISS gives what is more than its radius.
        radius = float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))
        _, _, ordinals = self._index.range_search(
            query.reshape(1, -1), radius, params=_parameters(bits)
        )
        found: NDArray[np.int64] = ordinals
        return found

    def rescore(
        self, query: NDArray[np.float32], ordinals: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Inner products float32 [m], each summed by itself in the same order."""
        products: NDArray[np.float32] = np.multiply(self.vectors[ordinals], query).sum(axis=1)
        return products

    def score_error(self, query: NDArray[np.float32]) -> float:
        """The most by which a score of `search` differs from that of `rescore`."""
        return _RELATIVE_ERROR * float(np.linalg.norm(query)) * self._largest_norm

    @cached_property
    def _largest_norm(self) -> float:
        squares = np.einsum("ij,ij->i", self.vectors, self.vectors)
        return float(np.sqrt(squares.max(initial=0)))


def _bits(alive: NDArray[np.bool_] | None) -> NDArray[np.uint8] | None:
    """The bitmap that FAISS's selector reads; it must outlive the search."""
    return None if alive is None else np.packbits(alive, bitorder="little")


def _parameters(bits: NDArray[np.uint8] | None) -> faiss.SearchParameters | None:
    return None if bits is None else faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))

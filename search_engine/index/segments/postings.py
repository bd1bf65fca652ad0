"""The inverted index of one segment: for each term the chunks that hold it, in five arrays.

    terms     int64   [t]      ids of the terms that occur, ascending
    indptr    int64   [t + 1]  postings of terms[i] are the slice indptr[i]:indptr[i + 1]
    ordinals  int32   [p]      position of the chunk in the segment, ascending within a term
    weights   any     [p]      term frequency (BM25) or impact (SPLADE)

The arrays are files of their own and are memory-mapped. Weights keep the smallest dtype that
holds them exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ARRAYS = ("terms", "indptr", "ordinals", "weights")


@dataclass(frozen=True, slots=True)
class Postings:
    """Postings of one leg in one segment; see the module for shapes."""

    terms: NDArray[np.int64]
    indptr: NDArray[np.int64]
    ordinals: NDArray[np.int32]
    weights: NDArray[Any]

    def find(self, term_ids: Sequence[int]) -> list[tuple[int, int] | None]:
        """The slice of each term's postings, None where the term does not occur."""
        if not len(self.terms):
            return [None] * len(term_ids)
        wanted = np.asarray(term_ids, np.int64)
        places = np.minimum(np.searchsorted(self.terms, wanted), len(self.terms) - 1)
        starts, ends = self.indptr[places].tolist(), self.indptr[places + 1].tolist()
        found = (self.terms[places] == wanted).tolist()
        return [
            (start, end) if there else None
            for start, end, there in zip(starts, ends, found, strict=True)
        ]


def build_postings(
    term_ids: NDArray[np.int64], ordinals: NDArray[np.int32], weights: NDArray[Any]
) -> Postings:
    """Postings of unordered (term, ordinal, weight) entries; a pair occurs once at most.

    Args:
        term_ids: int64 [p].
        ordinals: int32 [p].
        weights: integers (term frequencies) or float32 (impacts) [p].
    """
    order = np.lexsort((ordinals, term_ids))
    terms, counts = np.unique(term_ids, return_counts=True)
    indptr = np.zeros(len(terms) + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    return Postings(terms, indptr, ordinals[order], _smallest(weights[order]))


def gather_postings(
    parts: Sequence[Postings], sizes: Sequence[int], picked: NDArray[np.int64]
) -> Postings:
    """The postings of some rows of several segments.

    Args:
        parts: of each segment.
        sizes: how many rows each has.
        picked: int64 [n], positions in the concatenation of all rows; row `picked[i]` becomes i.
    """
    ordinals = np.full(sum(sizes), -1, np.int32)
    ordinals[picked] = np.arange(len(picked), dtype=np.int32)
    starts = np.cumsum([0, *sizes])
    terms, places, weights = [], [], []
    for part, start in zip(parts, starts[:-1], strict=True):
        moved = ordinals[part.ordinals + start]
        kept = moved >= 0
        terms.append(np.repeat(part.terms, np.diff(part.indptr))[kept])
        places.append(moved[kept])
        weights.append(part.weights[kept])
    return build_postings(*(np.concatenate(each) for each in (terms, places, weights)))


def _smallest(weights: NDArray[Any]) -> NDArray[Any]:
    if not np.issubdtype(weights.dtype, np.integer):
        return weights
    return weights.astype(np.min_scalar_type(int(weights.max(initial=0))))


def write_postings(folder: Path, leg: str, postings: Postings) -> None:
    """Save the arrays as `sparse.<leg>.<array>.npy`."""
    for name in ARRAYS:
        np.save(folder / f"sparse.{leg}.{name}.npy", getattr(postings, name))


def open_postings(folder: Path, leg: str) -> Postings:
    """Memory-map what `write_postings` saved."""
    return Postings(*(map_array(folder / f"sparse.{leg}.{name}.npy") for name in ARRAYS))


def map_array(path: Path) -> NDArray[Any]:
    """A saved array, memory-mapped and read-only."""
    # A plain view: numpy's memmap subclass makes every slice several times slower.
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array.view(np.ndarray)

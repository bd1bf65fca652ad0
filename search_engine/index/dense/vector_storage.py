"""The vectors of a segment as they are stored: coded, in a FAISS file, memory-mapped.

FAISS sums a product in an order that depends on how many vectors stand beside it, so its scores
differ in the last bit with the segmentation. `rescore` does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from search_engine.config import Precision
from search_engine.errors import ConfigError
from search_engine.index.dense.metric import Metric
from search_engine.quantization import dequantize_int8, quantize_int8, ranges_of_steps, same_steps

FAISS_METRICS: dict[Metric, int] = {"ip": faiss.METRIC_INNER_PRODUCT, "l2": faiss.METRIC_L2}
QUANTIZERS: dict[Precision, int] = {
    "float16": faiss.ScalarQuantizer.QT_fp16,
    "int8": faiss.ScalarQuantizer.QT_8bit,
}
# Rounding error of a product summed in any order, relative to the norms. Its bound is d * 2^-24
# (Higham 2002, section 3.1), its size about the square root of that: near-duplicates of 384
# dimensions came to 2 % of this.
_RELATIVE_ERROR = 1e-5
SPARE = 8  # fetched beyond what is wanted, to see without a second search whether anything ties
# Where a smaller share is allowed, taking those rows out costs less than FAISS asking about each:
# at 0.3 % of 200,000 x 384 it is 0.13 ms to 0.31, and 0.23 to 0.36 in int8; at 1 % it is not.
_GATHER_BELOW = 0.005
# Vectors decoded at a time to take their norms.
_BLOCK = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class StoredVectors:
    """Coded vectors, in memory or mapped from a file.

    Attributes:
        codes: uint8 [n, bytes of a vector].
        precision: how each value is coded.
        dimension: how many values a vector has.
        metric: what the vectors are compared by.
        ranges: float32 [2, dim], the bounds of 8-bit codes; None for other precisions.
    """

    codes: NDArray[np.uint8]
    precision: Precision
    dimension: int
    metric: Metric
    ranges: NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.codes)

    def decode(self, ordinals: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """The vectors float32 [m, dim] at the ordinals, or all.

        All vectors of precision float32 are a view: it can be read, but not written to.
        """
        codes = self.codes if ordinals is None else self.codes[ordinals]
        if self.ranges is not None:
            return dequantize_int8(codes, self.ranges)
        if self.precision == "float16":
            return codes.view(np.float16).astype(np.float32)
        return codes.view(np.float32)


def encode_vectors(
    vectors: NDArray[np.float32],
    *,
    precision: Precision,
    metric: Metric,
    ranges: NDArray[np.float32] | None,
) -> StoredVectors:
    """Vectors as they are stored.

    Args:
        vectors: float32 [n, dim], finite; n may be 0.
        ranges: float32 [2, dim], for precision int8; others have none.

    Raises:
        ConfigError: a value is too large for float16.
        ValueError: precision int8 without ranges.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    dimension = vectors.shape[1]
    if precision == "int8":
        if ranges is None:
            raise ValueError("8-bit codes need the ranges of the generation, and there are none")
        return StoredVectors(quantize_int8(vectors, ranges), precision, dimension, metric, ranges)
    if precision == "float16":
        largest = float(np.abs(vectors).max(initial=0))
        if largest > 65_504:
            raise ConfigError(
                f"a vector holds the value {largest:g}, and float16 ends at 65504; set the "
                "precision to float32 or int8"
            )
        values = vectors.astype(np.float16).view(np.uint8)
    else:
        values = vectors.view(np.uint8)
    return StoredVectors(values, precision, dimension, metric, None)


def gather_vectors(
    parts: Sequence[StoredVectors],
    picked: NDArray[np.int64],
    *,
    precision: Precision,
    ranges: NDArray[np.float32] | None,
) -> StoredVectors:
    """Rows of the concatenation of parts.

    Codes of the same precision and ranges are copied, so that merging changes no vector; others
    are coded anew.

    Args:
        parts: at least one, all of one dimension and metric.
        picked: int64 [m], positions in the concatenation, in any order.
        precision, ranges: of the result, as for `encode_vectors`.
    """
    first = parts[0]
    nothing = np.empty((0, first.dimension), np.float32)
    gathered = encode_vectors(nothing, precision=precision, metric=first.metric, ranges=ranges)
    codes = np.empty((len(picked), gathered.codes.shape[1]), np.uint8)
    start = 0
    for part in parts:
        places = np.flatnonzero((picked >= start) & (picked < start + len(part)))
        rows = replace(part, codes=part.codes[picked[places] - start])
        if part.precision != precision or not same_steps(part.ranges, gathered.ranges):
            vectors, metric = rows.decode(), part.metric
            rows = encode_vectors(vectors, precision=precision, metric=metric, ranges=ranges)
        codes[places] = rows.codes
        start += len(part)
    return StoredVectors(codes, precision, first.dimension, first.metric, gathered.ranges)


def write_vectors(path: Path, vectors: StoredVectors) -> None:
    """Save vectors as a FAISS index: flat for float32, else of a scalar quantizer; n may be 0."""
    metric = FAISS_METRICS[vectors.metric]
    if vectors.precision == "float32":
        index = faiss.IndexFlat(vectors.dimension, metric)
    else:
        index = faiss.IndexScalarQuantizer(vectors.dimension, QUANTIZERS[vectors.precision], metric)
        train_quantizer(index, vectors.ranges)
    if len(vectors):
        index.add_sa_codes(np.ascontiguousarray(vectors.codes))
    # A file that FAISS opened itself it closes without saying that the disk was full.
    with path.open("wb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))


def train_quantizer(index: faiss.IndexScalarQuantizer, ranges: NDArray[np.float32] | None) -> None:
    """Give a scalar quantizer the bounds of its codes; None where it needs none."""
    if ranges is not None:
        trained = np.concatenate([ranges[0], ranges[1] - ranges[0]])
        faiss.copy_array_to_vector(trained, index.sq.trained)
    index.is_trained = True


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let FAISS compute in the calling thread, of which alone this is a setting."""
    # It waits for others even where they have nothing to do: a scan of 3 ms, which they would not
    # make faster, took 16 ms while the cores were busy.
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class VectorStorage:
    """The vectors of one segment, memory-mapped, and exact search over them.

    Attributes:
        index: the FAISS index; threads may search it side by side.
        vectors: a read-only view of its codes.

    Raises:
        RuntimeError, ValueError: the file cannot be read, or holds another kind of index.
    """

    def __init__(self, path: Path) -> None:
        self.index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        precision, ranges = _coding(self.index)
        metric: Metric = "l2" if self.index.metric_type == faiss.METRIC_L2 else "ip"
        codes = np.asarray(_MappedCodes(self.index))
        self.vectors = StoredVectors(codes, precision, self.index.d, metric, ranges)

    @_one_thread()
    def scan(
        self, query: NDArray[np.float32], depth: int, *, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The best `depth` vectors and a few more, best first: see DenseIndex.search."""
        count = len(self.vectors) if allowed is None else int(np.count_nonzero(allowed))
        fetched = min(depth + SPARE, count)
        if fetched == 0 or not np.isfinite(query).all():
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if allowed is not None and count < _GATHER_BELOW * len(self.vectors):
            return self.best(query, np.flatnonzero(allowed), fetched)
        parameters = None if allowed is None else faiss.SearchParameters(sel=selector(allowed))
        scores, ordinals = self.index.search(query.reshape(1, -1), fetched, params=parameters)
        return self.found(scores[0], ordinals[0])

    def found(
        self, scores: NDArray[np.float32], ordinals: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """What FAISS found, without its padding of -1, and with more being better."""
        real = ordinals >= 0
        return ordinals[real], scores[real] if self.vectors.metric == "ip" else -scores[real]

    def best(
        self, query: NDArray[np.float32], ordinals: NDArray[np.int64], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The best `count` of some vectors by `rescore`, best first."""
        scores = self.rescore(query, ordinals)
        best = np.argsort(-scores, kind="stable")[:count]
        return ordinals[best], scores[best]

    @_one_thread()
    def scan_above(
        self, query: NDArray[np.float32], threshold: float, *, allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        """The ordinals of all vectors that score the threshold or more, int64 [m]."""
        # FAISS gives what is more than its radius, and of lengths what is less.
        radius = float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))
        _, _, ordinals = self.index.range_search(
            query.reshape(1, -1),
            radius if self.vectors.metric == "ip" else -radius,
            params=None if allowed is None else faiss.SearchParameters(sel=selector(allowed)),
        )
        found: NDArray[np.int64] = ordinals
        return found

    def rescore(
        self, query: NDArray[np.float32], ordinals: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Scores float32 [m] of the stored vectors, each summed by itself in the same order."""
        vectors = self.vectors.decode(ordinals)
        ip = self.vectors.metric == "ip"
        terms = vectors * query if ip else -np.square(vectors - query)
        scores: NDArray[np.float32] = terms.sum(axis=1)
        return scores

    def score_error(self, query: NDArray[np.float32]) -> float:
        """The most by which a score of `scan` differs from that of `rescore`."""
        norm = float(np.linalg.norm(query))
        if self.vectors.metric == "ip":
            return _RELATIVE_ERROR * norm * self._largest_norm
        return _RELATIVE_ERROR * (norm + self._largest_norm) ** 2

    @cached_property
    def _largest_norm(self) -> float:
        """A bound on the norms, and for 8-bit codes also on what is added up to decode them."""
        if self.vectors.ranges is not None:
            return float(np.linalg.norm(np.abs(self.vectors.ranges).max(axis=0)))
        squares = 0.0
        for start in range(0, len(self.vectors), _BLOCK):
            block = replace(self.vectors, codes=self.vectors.codes[start : start + _BLOCK]).decode()
            squares = max(squares, float(np.einsum("ij,ij->i", block, block).max()))
        return math.sqrt(squares)


class _MappedCodes:
    """The codes of an index for numpy, which keeps this and so the index as long as its array."""

    def __init__(self, index: faiss.IndexFlatCodes) -> None:
        self._index = index
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": (index.ntotal, index.code_size),
            # Read-only: the file is mapped for reading, and writing would end the process.
            "data": (int(index.codes.data() or 0), True),
        }


def _coding(index: faiss.Index) -> tuple[Precision, NDArray[np.float32] | None]:
    if isinstance(index, faiss.IndexFlat):
        return "float32", None
    if isinstance(index, faiss.IndexScalarQuantizer):
        if index.sq.qtype == faiss.ScalarQuantizer.QT_fp16:
            return "float16", None
        if index.sq.qtype == faiss.ScalarQuantizer.QT_8bit:
            low, width = faiss.vector_to_array(index.sq.trained).reshape(2, -1)
            return "int8", ranges_of_steps(low, width)
    raise ValueError(f"vectors are not stored in an index of the type {type(index).__name__}")


def selector(allowed: NDArray[np.bool_]) -> faiss.IDSelectorBitmap:
    """What FAISS asks which vectors are allowed; it keeps its own bitmap."""
    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))

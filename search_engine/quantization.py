"""Vectors as codes of 8 bits or of one bit for each dimension.

There are two conventions. What an index stores is made by `quantize_int8`: each dimension is cut
into 255 equal steps between its bounds, as FAISS's ScalarQuantizer QT_8bit does, and the codes are
bit for bit its codes:

    code    = floor(255 * (x - minimum) / (maximum - minimum)), clamped to 0..255
    decoded = minimum + (code + 0.5) / 255 * (maximum - minimum)

so that a value within the bounds comes back with an error of half a step, and the maximum, which
alone has the code 255, half a step above itself.

What is exchanged with others is made by `quantize_embeddings`: its codes are those of the function
of that name in Sentence Transformers. Its 8-bit codes are nearly the same,

    code = floor((x - minimum) / step), clamped to 0..255;  step = (maximum - minimum) / 255

but are rounded otherwise, so that one may be the neighbour of the other convention's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Precision: TypeAlias = Literal["float32", "float16", "int8", "uint8", "binary", "ubinary"]
Codes: TypeAlias = NDArray[np.float32 | np.float16 | np.int8 | np.uint8]

# Bounds that are taken from fewer vectors say little of the vectors to come.
MIN_CALIBRATION_ROWS = 100
_CODE_TYPES: Mapping[Precision, type[np.float32 | np.float16 | np.int8 | np.uint8]] = {
    "float32": np.float32,
    "float16": np.float16,
    "int8": np.int8,
    "uint8": np.uint8,
    "binary": np.int8,
    "ubinary": np.uint8,
}
_STEPS = np.float32(255)
_HALF = np.float32(0.5)
# So many numbers are coded at a time: 4 MB of float32, whatever the size of the whole.
_BLOCK_NUMBERS = 2**20


def calibrate(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The minimum and the maximum of each dimension, float32 [2, dim].

    Args:
        vectors: float32 [n, dim], at least one.

    Raises:
        ValueError: there are no vectors.
    """
    if not len(vectors):
        raise ValueError("the bounds of 8-bit codes need at least one vector to be taken from")
    return np.stack([vectors.min(axis=0), vectors.max(axis=0)])


def quantize_int8(vectors: NDArray[np.float32], ranges: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The codes uint8 [n, dim] of vectors; what lies beyond the bounds becomes the nearest code.

    Args:
        vectors: float32 [n, dim].
        ranges: float32 [2, dim], as from `calibrate`; where both bounds are equal the code is 0.
    """
    low, width = ranges[0], ranges[1] - ranges[0]
    share = np.subtract(vectors, low)
    # A value far beyond narrow bounds may overflow, and is clamped like any other.
    with np.errstate(over="ignore"):
        np.divide(share, width, out=share, where=width != 0)
    share[:, width == 0] = 0
    np.clip(share, 0, 1, out=share)
    share *= _STEPS
    codes: NDArray[np.uint8] = share.astype(np.uint8)
    return codes


def dequantize_int8(codes: NDArray[np.uint8], ranges: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors float32 [n, dim] that codes stand for: the middle of each step.

    FAISS rounds the last sum once less where it decodes eight dimensions at a time: its values may
    differ from these in the last bit.
    """
    low, width = ranges[0], ranges[1] - ranges[0]
    vectors = codes.astype(np.float32)
    vectors += _HALF
    vectors /= _STEPS
    vectors *= width
    vectors += low
    return vectors


def same_steps(a: NDArray[np.float32] | None, b: NDArray[np.float32] | None) -> bool:
    """Whether codes of the ranges a and b mean the same; None is not coded."""
    if a is None or b is None:
        return a is b
    return np.array_equal(a[0], b[0]) and np.array_equal(a[1] - a[0], b[1] - b[0])


def ranges_of_steps(low: NDArray[np.float32], width: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ranges float32 [2, dim] of which `width` is exactly the difference.

    FAISS saves minimum and difference, so that ranges it gives back may have another maximum, in
    the last bit, than those it was given; `same_steps` is true of the two.
    """
    high = low + width
    # The sum is rounded; where the difference is another by that, a neighbour has the right one.
    for infinity in (np.float32(-np.inf), np.float32(np.inf)):
        neighbour = np.nextafter(low + width, infinity)
        high = np.where((high - low != width) & (neighbour - low == width), neighbour, high)
    return np.stack([low, high])


def quantize_embeddings(
    embeddings: NDArray[np.floating],
    precision: Precision,
    *,
    ranges: NDArray[np.floating] | None = None,
    calibration_embeddings: NDArray[np.floating] | None = None,
) -> Codes:
    """Vectors in fewer bits, by the convention of Sentence Transformers.

    Rows are coded in blocks, so that of a memory-mapped array only the codes are held in memory.

    Args:
        embeddings: floating point, [n, dim] or [dim].
        precision: "uint8" and "int8" are the step of each number between the bounds of its
            dimension, from 0 and from -128; "ubinary" and "binary" are one bit for each number,
            1 where it is positive, eight to a byte as numpy.packbits packs them, from 0 and
            from -128; "float32" and "float16" are the numbers themselves, rounded.
        ranges: [2, dim], the minimum and the maximum of each dimension, for 8-bit codes; what
            lies beyond them becomes the nearest code.
        calibration_embeddings: [m, dim], what the bounds are taken from without `ranges`; None
            is the embeddings themselves.

    Returns:
        [n, dim] or [dim] of the type that the precision names; of "binary" int8 and of "ubinary"
        uint8, [n, ceil(dim / 8)] or [ceil(dim / 8)].

    Raises:
        ValueError: an unknown precision, embeddings that are codes already, ranges of another
            shape, or bounds that would have to be taken from fewer than 100 embeddings (where
            Sentence Transformers only warns) and not from `calibration_embeddings`.
    """
    if not np.issubdtype(embeddings.dtype, np.floating):
        raise ValueError(
            f"embeddings to quantize are floating point, not {embeddings.dtype}; are they codes "
            "already?"
        )
    rows = embeddings[None] if embeddings.ndim == 1 else embeddings
    if ranges is None and calibration_embeddings is not None and has_ranges(precision):
        ranges = calibrate(calibration_embeddings)
    check_quantization(precision, shape=rows.shape, ranges=ranges)
    if has_ranges(precision) and ranges is None and len(rows):
        ranges = calibrate(rows)
    codes = allocate_codes(len(rows), rows.shape[1], precision=precision)
    _quantize_rows(rows, codes, precision=precision, ranges=ranges)
    return codes[0] if embeddings.ndim == 1 else codes


def has_ranges(precision: Precision) -> bool:
    """Whether the codes depend on bounds of each dimension."""
    return precision in ("int8", "uint8")


def check_quantization(
    precision: Precision, *, shape: tuple[int, ...], ranges: NDArray[np.floating] | None
) -> None:
    """See that embeddings of a shape can be quantized so.

    Args:
        shape: (n, dim).
        ranges: [2, dim]; None takes them from these embeddings.

    Raises:
        ValueError: an unknown precision, ranges of another shape, or bounds that would have to be
            taken from fewer than 100 embeddings.
    """
    if precision not in _CODE_TYPES:
        raise ValueError(f"precision {precision!r} is not one of {', '.join(_CODE_TYPES)}.")
    count, dimension = shape
    if not has_ranges(precision):
        return
    if ranges is None:
        if 0 < count < MIN_CALIBRATION_ROWS:
            raise ValueError(
                f"the bounds of {precision} codes would be taken from {count} embeddings, and say "
                "little of others; give `ranges`, such as `calibrate` takes from embeddings like "
                f"those to come, or {MIN_CALIBRATION_ROWS} embeddings or more."
            )
    elif ranges.shape != (2, dimension):
        raise ValueError(
            f"the bounds of {precision} codes are [2, {dimension}], the minimum and the maximum "
            f"of each dimension, not {list(ranges.shape)}."
        )


def allocate_codes(count: int, dimension: int, *, precision: Precision) -> Codes:
    """Memory for the codes of so many embeddings, not filled."""
    width = -(-dimension // 8) if precision in ("binary", "ubinary") else dimension
    return np.empty((count, width), _CODE_TYPES[precision])


def _quantize_rows(
    rows: NDArray[np.floating],
    codes: Codes,
    *,
    precision: Precision,
    ranges: NDArray[np.floating] | None,
) -> None:
    block = max(1, _BLOCK_NUMBERS // max(1, rows.shape[1]))
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        if precision in ("float32", "float16"):
            codes[start : start + block] = part
            continue
        unsigned = codes[start : start + block].view(np.uint8)
        if has_ranges(precision) and ranges is not None:
            unsigned[:] = _count_steps(part, ranges.astype(np.float32))
        else:
            unsigned[:] = np.packbits(part > 0, axis=-1)
        if codes.dtype == np.int8:
            # The highest bit turned round and read as the sign: 128 less.
            unsigned ^= 128


def _count_steps(rows: NDArray[np.floating], ranges: NDArray[np.float32]) -> NDArray[np.floating]:
    width = (ranges[1] - ranges[0]) / _STEPS
    width[width == 0] = 1
    steps: NDArray[np.floating] = rows - ranges[0]
    # A value far beyond narrow bounds may overflow, and is clamped like any other.
    with np.errstate(over="ignore"):
        steps /= width
    np.floor(steps, out=steps)
    return np.clip(steps, 0, 255, out=steps)

"""Vectors as 8-bit codes: each dimension cut into 255 equal steps between its bounds.

The convention is that of FAISS's ScalarQuantizer QT_8bit, and the codes are bit for bit its codes:

    code    = floor(255 * (x - minimum) / (maximum - minimum)), clamped to 0..255
    decoded = minimum + (code + 0.5) / 255 * (maximum - minimum)

so that a value within the bounds comes back with an error of half a step, and the maximum, which
alone has the code 255, half a step above itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEPS = np.float32(255)
_HALF = np.float32(0.5)


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

"""How a checkpoint's similarity becomes the inner product that indexes score by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def prepare_vectors(vectors: NDArray[np.float32], similarity: str | None) -> NDArray[np.float32]:
    """Vectors whose inner product is the similarity: of length 1 for "cosine", else as they are.

    Args:
        vectors: float32 [n, dim]; one of length 0 stays so, and is similar to nothing.
    """
    if similarity != "cosine":
        return vectors
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.zeros_like(vectors)
    np.divide(vectors, norms, out=unit, where=norms > 0)
    return unit

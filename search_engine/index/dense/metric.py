"""How a checkpoint's similarity becomes the scores that indexes search by, and back.

Indexes score by "ip", the inner product, or by "l2", minus the squared Euclidean length of the
difference: FAISS computes both, the second without the cancellation of |q|^2 - 2qx + |x|^2.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import ConfigError

Metric: TypeAlias = Literal["ip", "l2"]
_METRICS: dict[str, Metric] = {"cosine": "ip", "dot": "ip", "euclidean": "l2"}


def metric_of(similarity: str) -> Metric:
    """What an index scores by, for a checkpoint's similarity.

    Raises:
        ConfigError: no index serves that similarity.
    """
    if similarity not in _METRICS:
        raise ConfigError(
            f"the model compares vectors by {similarity!r}, and no dense kind can serve that: they "
            f"score by inner product or Euclidean length, which serves {', '.join(_METRICS)}; "
            "choose a model with one of these similarities"
        )
    return _METRICS[similarity]


def prepare_vectors(vectors: NDArray[np.float32], similarity: str | None) -> NDArray[np.float32]:
    """Vectors that the metric compares as the similarity does: of length 1 for "cosine".

    Args:
        vectors: float32 [n, dim]; one of length 0 stays so, and is similar to nothing.
    """
    if similarity != "cosine":
        return vectors
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.zeros_like(vectors)
    np.divide(vectors, norms, out=unit, where=norms > 0)
    return unit


def similarity_scores(scores: NDArray[np.float32], similarity: str | None) -> NDArray[np.float32]:
    """The similarities float32 [n] for the scores of an index.

    "euclidean" is minus the length of the difference, as sentence-transformers defines it; others
    are the scores themselves.
    """
    if similarity != "euclidean":
        return scores
    # Subtracted from 0, since -sqrt(0) would be shown as -0.0.
    return np.float32(0) - np.sqrt(-scores)

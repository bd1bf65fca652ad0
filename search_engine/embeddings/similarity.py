"""How similar vectors are: each of one array with each of another, and pair by pair."""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import ConfigError

SimilarityName: TypeAlias = Literal["cosine", "dot", "euclidean", "manhattan"]
"""Higher is more similar for all: of the two distances, what is given is minus the distance."""

# A shorter vector is divided by this, as torch.nn.functional.normalize does; a zero one stays zero.
_SHORTEST = np.float32(1e-12)
# So that no product and no sum of what is compared leaves float32.
_LARGEST_SQUARE = float(np.finfo(np.float32).max) / 4
# Pairs that are compared at a time.
_PAIRS = 8_192


class VectorRows(Protocol):
    """Vectors that are read in blocks, such as those of an index on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[Any]:
        """Some of them, [m, d]."""


Vectors: TypeAlias = NDArray[Any] | VectorRows


def similarity(
    a: NDArray[Any], b: NDArray[Any], *, name: SimilarityName = "cosine"
) -> NDArray[np.float32]:
    """Each vector of one array compared with each of another, as Sentence Transformers does it.

    Args:
        a: [n, d], or [d] for one vector.
        b: [m, d], or [d] for one vector.

    Returns:
        float32 [n, m]. The cosine with a zero vector is 0.

    Raises:
        ConfigError: there is no similarity of that name, the shapes do not agree, or a value is
            not finite or too large.
    """
    return compare_prepared(
        prepare_vectors(np.atleast_2d(a), name), prepare_vectors(np.atleast_2d(b), name), name=name
    )


def pairwise_similarity(
    a: NDArray[Any], b: NDArray[Any], *, name: SimilarityName = "cosine"
) -> NDArray[np.float32]:
    """Each vector of one array compared with the vector at its place in another.

    Args:
        a, b: [n, d].

    Returns:
        float32 [n].

    Raises:
        ConfigError: as for `similarity`.
    """
    if np.shape(a) != np.shape(b):
        raise ConfigError(
            f"vectors of shapes {np.shape(a)} and {np.shape(b)} cannot be compared pair by pair; "
            "give as many of one as of the other, of one dimension"
        )
    scores = np.empty(len(a), np.float32)
    for start in range(0, len(a), _PAIRS):
        rows = slice(start, start + _PAIRS)
        scores[rows] = _compare_pairs(
            prepare_vectors(a[rows], name), prepare_vectors(b[rows], name), name
        )
    return scores


def prepare_vectors(vectors: NDArray[Any], name: SimilarityName) -> NDArray[Any]:
    """Vectors as `compare_prepared` takes them: checked, and of length 1 for "cosine".

    Args:
        vectors: [n, d] of any numbers; they are read as float32.

    Raises:
        ConfigError: as for `similarity`.
    """
    if name not in get_args(SimilarityName):
        raise ConfigError(
            f"there is no similarity {name!r}; choose one of {', '.join(get_args(SimilarityName))}"
        )
    # What does not fit becomes infinite, which is told below.
    with np.errstate(over="ignore"):
        prepared = np.ascontiguousarray(vectors, np.float32)
        if prepared.ndim != 2:
            raise ConfigError(f"vectors have the shape {prepared.shape}; give an array [n, d]")
        squares = np.einsum("ij,ij->i", prepared, prepared)
    # NaN is not below anything either.
    wrong = np.flatnonzero(~(squares <= _LARGEST_SQUARE))
    if len(wrong):
        raise ConfigError(
            f"{len(wrong)} of {len(prepared)} vectors, that at {wrong[0]} first, have values that "
            "are not finite or too large to compare in float32; leave them out or scale them down"
        )
    if name == "cosine":
        unit: NDArray[Any] = prepared / np.maximum(np.sqrt(squares), _SHORTEST)[:, None]
        return unit
    # The difference of near vectors is lost in |a|^2 - 2ab + |b|^2 of float32.
    return prepared.astype(np.float64) if name == "euclidean" else prepared


def compare_prepared(
    a: NDArray[Any], b: NDArray[Any], *, name: SimilarityName
) -> NDArray[np.float32]:
    """`similarity` of vectors that `prepare_vectors` made: float32 [n, m].

    Raises:
        ConfigError: the dimensions are not the same.
    """
    if a.shape[1] != b.shape[1]:
        raise ConfigError(
            f"vectors of {a.shape[1]} and of {b.shape[1]} dimensions cannot be compared; encode "
            "both with one model"
        )
    if name == "manhattan":
        import torch

        # From NumPy, this would take an array [n, m, d].
        distances: NDArray[Any] = torch.cdist(torch.tensor(a), torch.tensor(b), p=1.0).numpy()
        return 0 - distances
    scores: NDArray[Any] = a @ b.T
    if name == "euclidean":
        scores *= -2
        scores += np.einsum("ij,ij->i", a, a)[:, None]
        scores += np.einsum("ij,ij->i", b, b)
        np.sqrt(np.maximum(scores, 0, out=scores), out=scores)
        # Subtracted from 0, since -sqrt(0) would be shown as -0.0.
        np.subtract(0, scores, out=scores)
    return scores.astype(np.float32, copy=False)


def _compare_pairs(a: NDArray[Any], b: NDArray[Any], name: SimilarityName) -> NDArray[Any]:
    scores: NDArray[Any]
    if name in ("cosine", "dot"):
        scores = np.einsum("ij,ij->i", a, b)
    elif name == "manhattan":
        scores = 0 - np.abs(a - b).sum(axis=1)
    else:
        scores = 0 - np.linalg.norm(a - b, axis=1)
    return scores

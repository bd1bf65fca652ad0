"""Similarities and distances of vectors that gradients go through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from torch import Tensor
from torch.nn import functional

from search_engine.training.losses.options import check_choice

SimilarityName: TypeAlias = Literal["cosine", "dot"]
DistanceName: TypeAlias = Literal["cosine", "euclidean", "manhattan"]
Similarity: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Distance: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """The cosine of each row of a [n, d] with each of b [m, d], [n, m]."""
    return functional.normalize(a, dim=-1) @ functional.normalize(b, dim=-1).T


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each row of a [n, d] with each of b [m, d], [n, m]."""
    return a @ b.T


def pairwise_cosine(a: Tensor, b: Tensor) -> Tensor:
    """The cosine of each row of a [n, d] with the row of b at its place, [n]."""
    return pairwise_dot(functional.normalize(a, dim=-1), functional.normalize(b, dim=-1))


def pairwise_dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each row of a [n, d] with the row of b at its place, [n]."""
    return (a * b).sum(dim=-1)


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - cosine of each row of a [n, d] with the row of b at its place, [n]."""
    return 1 - pairwise_cosine(a, b)


def euclidean_distance(a: Tensor, b: Tensor) -> Tensor:
    """Of each row of a [n, d] from the row of b at its place, [n].

    As torch has it, 1e-6 is added to each difference, so that equal rows have a gradient.
    """
    return functional.pairwise_distance(a, b)


def manhattan_distance(a: Tensor, b: Tensor) -> Tensor:
    """Of each row of a [n, d] from the row of b at its place, along the axes, [n]; as euclidean."""
    return functional.pairwise_distance(a, b, p=1)


_ALL: Mapping[str, Similarity] = {"cosine": cosine, "dot": dot}
_PAIRWISE: Mapping[str, Similarity] = {"cosine": pairwise_cosine, "dot": pairwise_dot}
_DISTANCES: Mapping[str, Distance] = {
    "cosine": cosine_distance,
    "euclidean": euclidean_distance,
    "manhattan": manhattan_distance,
}


def similarity_named(name: SimilarityName, *, pairwise: bool = False) -> Similarity:
    """The similarity of all pairs of rows, or (pairwise) of rows at the same place.

    Raises:
        ConfigError: there is no similarity of that name.
    """
    check_choice("similarity", name, tuple(_ALL))
    return (_PAIRWISE if pairwise else _ALL)[name]


def distance_named(name: DistanceName) -> Distance:
    """The distance of rows at the same place.

    Raises:
        ConfigError: there is no distance of that name.
    """
    check_choice("distance", name, tuple(_DISTANCES))
    return _DISTANCES[name]

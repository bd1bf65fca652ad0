"""Similarities of vectors that gradients go through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from torch import Tensor
from torch.nn import functional

from search_engine.errors import ConfigError

SimilarityName: TypeAlias = Literal["cosine", "dot"]
Similarity: TypeAlias = Callable[[Tensor, Tensor], Tensor]


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


_ALL: Mapping[str, Similarity] = {"cosine": cosine, "dot": dot}
_PAIRWISE: Mapping[str, Similarity] = {"cosine": pairwise_cosine, "dot": pairwise_dot}


def similarity_named(name: SimilarityName, *, pairwise: bool = False) -> Similarity:
    """The similarity of all pairs of rows, or (pairwise) of rows at the same place.

    Raises:
        ConfigError: there is no similarity of that name.
    """
    if name not in _ALL:
        raise ConfigError(f"similarity is {name!r}, and not one of {', '.join(_ALL)}.")
    return (_PAIRWISE if pairwise else _ALL)[name]

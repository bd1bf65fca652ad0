"""How much sparse vectors cost, as numbers that gradients make small."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from search_engine.errors import ConfigError

Regularizer: TypeAlias = Literal["flops", "l1", "idf_flops"]
REGULARIZERS: tuple[Regularizer, ...] = ("flops", "l1", "idf_flops")


def regularize(
    vectors: Tensor,
    regularizer: Regularizer,
    *,
    threshold: int | None = None,
    idf: Tensor | None = None,
) -> Tensor:
    """The cost of vectors w [n, terms], a scalar; no weight may be below 0.

    "flops" is the sum over terms of (mean over texts of w)^2, what a dot product of two of them
    costs (Paria et al. 2020, equation 3). "l1" is the mean over texts of the sum of w. "idf_flops"
    is "flops" of w / idf: the cost of documents whose weights a table of IDF multiplies in the
    score (Geng et al. 2024), where w is what comes of that, so that frequent terms cost more.

    Args:
        threshold: texts of no more terms than that count as empty (Shen et al. 2025).
        idf: of each term, [terms]; "idf_flops" alone reads it.
    """
    if threshold is not None:
        costly = (vectors != 0).sum(dim=1, keepdim=True) > threshold
        vectors = vectors * costly
    if regularizer == "l1":
        return vectors.sum(dim=1).mean()
    means = vectors.mean(dim=0)
    if regularizer == "idf_flops":
        means = means / _fitting(idf, means)
    return means.square().sum()


def _fitting(idf: Tensor | None, means: Tensor) -> Tensor:
    if idf is None or len(idf) != len(means):
        given = "none is" if idf is None else f"{len(idf)} are"
        raise ConfigError(
            f"regularizer 'idf_flops' wants the IDF of each of the {len(means)} terms, and {given} "
            "given as idf."
        )
    return idf


def check_idf(idf: Tensor) -> None:
    """See that every term has an IDF that a weight can be divided by.

    Raises:
        ConfigError: it is not a list of finite numbers above 0.
    """
    if idf.ndim != 1 or not bool((torch.isfinite(idf) & (idf > 0)).all()):
        raise ConfigError(
            "idf must be a list of finite numbers above 0, one for each term of the vocabulary; "
            "give terms that no document has the highest of all."
        )

"""How well predictions follow the order, or the size, of gold values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def pearson(predictions: Values, gold: Values) -> float:
    """Pearson's correlation; 0 if all predictions are equal, NaN if all gold values are.

    Args:
        predictions, gold: [items].
    """
    if np.all(gold == gold[:1]):
        return math.nan
    if np.all(predictions == predictions[:1]):
        return 0.0
    a, b = standardize(predictions), standardize(gold)
    return float(np.clip(a @ b / len(a), -1, 1))


def spearman(predictions: Values, gold: Values) -> float:
    """Spearman's correlation, of ranks where equal values share the mean of theirs.

    0 if all predictions are equal, NaN if all gold values are.

    Args:
        predictions, gold: [items].
    """
    return pearson(average_ranks(predictions), average_ranks(gold))


def average_ranks(values: Values) -> Values:
    """Ranks from 1 by ascending value, [items]; equal values share the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Values = (last - (counts - 1) / 2)[places]
    return ranks


def standardize(values: Values) -> Values:
    """Values shifted and scaled to mean 0 and variance 1; zeros if all are equal."""
    centred = values - values.mean()
    deviation = math.sqrt(float(np.mean(centred**2)))
    return centred / deviation if deviation > 0 else np.zeros_like(centred)

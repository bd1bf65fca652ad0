"""Whether two systems differ in a statistic that all items make together.

A rank correlation, or F1 at the best threshold, is no mean over items: each resample computes it
anew from the predictions of both systems.
"""

from __future__ import annotations

import numpy as np

from search_engine.evaluation.measured import Statistic, Values


def interval_of_difference(
    a: Values,
    b: Values,
    *,
    gold: Values,
    statistic: Statistic,
    seed: int = 0,
    samples: int = 10_000,
    level: float = 0.95,
) -> tuple[float, float]:
    """The percentile bootstrap interval of statistic(b) - statistic(a) (Efron 1979).

    Items are drawn with both predictions and the gold value. Draws in which the statistic is not
    defined are left out.

    Args:
        a, b: [items], predictions of two systems.
        gold: [items].
        samples: how many times the items are drawn anew, with replacement.
        level: the share of resampled differences between the two ends.

    Returns:
        The lower and the upper end; NaN where it was never defined.
    """
    generator = np.random.default_rng(seed)
    differences = np.empty(samples)
    for sample in range(samples):
        drawn = generator.integers(0, len(gold), size=len(gold))
        differences[sample] = statistic.compute(b[drawn], gold[drawn]) - statistic.compute(
            a[drawn], gold[drawn]
        )
    defined = differences[~np.isnan(differences)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_permutation_test(
    a: Values,
    b: Values,
    *,
    gold: Values,
    statistic: Statistic,
    seed: int = 0,
    samples: int = 10_000,
) -> float:
    """The two-sided p-value of the difference of a statistic of two systems.

    Under the null hypothesis it is chance which of an item's two predictions belongs to which
    system; so they are swapped item by item, after `statistic.rescale` has put both on one scale.
    The observed assignment is counted as one of the swaps (Phipson and Smyth 2010).

    Args:
        a, b: [items], predictions of two systems.
        gold: [items].
        samples: how many random swaps are tried.
    """
    a, b = statistic.rescale(a), statistic.rescale(b)
    observed = abs(statistic.compute(b, gold) - statistic.compute(a, gold))
    generator = np.random.default_rng(seed)
    count = 0
    for _ in range(samples):
        swap = generator.integers(0, 2, size=len(gold), dtype=np.int8).astype(bool)
        difference = statistic.compute(np.where(swap, a, b), gold) - statistic.compute(
            np.where(swap, b, a), gold
        )
        # Differences that are equal on paper differ in the last bits.
        count += bool(abs(difference) >= observed - 1e-12)
    return (count + 1) / (samples + 1)

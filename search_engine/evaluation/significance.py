"""How far a mean over queries can be trusted, and whether two systems differ.

Both methods resample queries and assume no distribution (Smucker, Allan and Carterette 2007, "A
Comparison of Statistical Significance Tests for Information Retrieval Evaluation").
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Numbers drawn at a time: 10,000 resamples of 10,000 queries at once would take 800 MB.
_BLOCK = 2_000_000


def confidence_interval(
    values: ArrayLike, *, seed: int = 0, samples: int = 10_000, level: float = 0.95
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean over queries (Efron 1979).

    Args:
        values: [queries], one metric of one system.
        samples: how many times the queries are drawn anew, with replacement.
        level: the share of resampled means between the two ends.

    Returns:
        The lower and the upper end.

    Raises:
        ValueError: there are no values, or level or samples is out of range.
    """
    observed = _check(values, samples)
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it has to be between 0 and 1")
    generator = np.random.default_rng(seed)
    queries = len(observed)
    means = np.concatenate(
        [
            observed[generator.integers(0, queries, size=(rows, queries), dtype=np.int32)].mean(1)
            for rows in _split_rows(samples, queries)
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_randomization_test(
    a: ArrayLike, b: ArrayLike, *, seed: int = 0, samples: int = 10_000
) -> float:
    """The two-sided p-value of Fisher's paired randomization test on the difference of means.

    Under the null hypothesis the two systems are one, and which of a query's two values belongs
    to which is chance: the p-value is the share of random swaps that give at least the observed
    difference. The observed assignment is counted as one of them, so that p is never 0 and the
    test keeps its level (Phipson and Smyth 2010).

    Args:
        a, b: [queries], one metric of two systems on the same queries in the same order.
        samples: how many random swaps are tried.

    Raises:
        ValueError: the two differ in length, or are empty, or samples is out of range.
    """
    differences = _check(a, samples) - _check(b, samples) if np.shape(a) == np.shape(b) else None
    if differences is None:
        raise ValueError(
            f"the shapes are {np.shape(a)} and {np.shape(b)}; a paired test needs both systems' "
            "values for the same queries"
        )
    generator = np.random.default_rng(seed)
    changed = differences[differences != 0]  # swapping equal values changes nothing
    if not len(changed):
        return 1.0
    observed = abs(changed.sum())
    # Sums that are equal on paper differ in the last bits by the order of the additions.
    reached = observed - 1e-9 * np.abs(changed).sum()
    count = 0
    for rows in _split_rows(samples, len(changed)):
        swapped = generator.integers(0, 2, size=(rows, len(changed)), dtype=np.int8)
        sums = changed.sum() - 2 * (swapped @ changed)
        count += int(np.count_nonzero(np.abs(sums) >= reached))
    return (count + 1) / (samples + 1)


def _check(values: ArrayLike, samples: int) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(
            f"the shape is {array.shape}; one value for each of some queries is needed"
        )
    if samples < 1:
        raise ValueError(f"samples is {samples}; it has to be 1 or more")
    return array


def _split_rows(rows: int, columns: int) -> Iterator[int]:
    """Numbers of rows that add up to `rows`, each with at most `_BLOCK` cells where it can."""
    step = max(1, _BLOCK // columns)
    for start in range(0, rows, step):
        yield min(step, rows - start)

"""Two systems side by side: which is better, and whether that is more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_engine.errors import ConfigError
from search_engine.evaluation.measured import Measured, Values
from search_engine.evaluation.paired_statistics import (
    interval_of_difference,
    paired_permutation_test,
)
from search_engine.evaluation.significance import confidence_interval, paired_randomization_test


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric of two systems.

    Attributes:
        metric: its name.
        a, b: the two scores.
        difference: b - a.
        interval: 95 % bootstrap interval of the difference, or of another level that was asked.
        p_value: two-sided, of the paired randomization test.
    """

    metric: str
    a: float
    b: float
    difference: float
    interval: tuple[float, float]
    p_value: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems on the same items.

    Attributes:
        names: of the two systems.
        items: how many queries, pairs or texts both were measured on.
        metrics: those that both have.
    """

    names: tuple[str, str]
    items: int
    metrics: tuple[MetricComparison, ...]

    def to_table(self) -> str:
        """A Markdown table, a metric a line."""
        a, b = (name.replace("|", "\\|") for name in self.names)
        lines = [
            f"| metric ({self.items} items) | {a} | {b} | difference | interval | p |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.metric} | {row.a:.4f} | {row.b:.4f} | {row.difference:+.4f} "
            f"| {row.interval[0]:+.4f} to {row.interval[1]:+.4f} | {_show_p(row.p_value)} |"
            for row in self.metrics
        ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """What `json.dumps` takes; a number that is not defined is None."""
        return {
            "a": self.names[0],
            "b": self.names[1],
            "items": self.items,
            "metrics": {
                row.metric: {
                    "a": row.a,
                    "b": row.b,
                    "difference": row.difference,
                    "interval": [None if math.isnan(end) else end for end in row.interval],
                    "p_value": row.p_value,
                }
                for row in self.metrics
            },
        }


def compare(
    a: Measured,
    b: Measured,
    *,
    names: tuple[str, str] = ("a", "b"),
    metrics: Sequence[str] = (),
    seed: int = 0,
    samples: int = 10_000,
    level: float = 0.95,
) -> Comparison:
    """Each metric of two systems, with interval and p-value of the difference.

    Where the score is a mean over items, the differences of the items are resampled; where all
    items make it together (a correlation, F1), it is computed anew in each resample. The p-values
    are of single metrics: with many of them, some are small by chance.

    Args:
        a, b: what one evaluator found of two encoders.
        names: what the two are called in the table.
        metrics: which; none is all that both have.
        samples: resamples for the interval, and as many swaps for the p-value.
        level: of the interval.

    Raises:
        ConfigError: the two were measured on other items, a metric is not in both, or samples or
            level is out of range.
    """
    if samples < 1 or not 0 < level < 1:
        raise ConfigError(
            f"samples is {samples} and level {level}; the first has to be 1 or more, the second "
            "between 0 and 1"
        )
    if list(a.items) != list(b.items) or not np.array_equal(_gold(a), _gold(b)):
        raise ConfigError(
            f"the two systems were measured on other items ({len(a.items)} and {len(b.items)}); "
            "measure both with the same evaluator"
        )
    both = [name for name in a.per_item if name in b.per_item]
    missing = [name for name in metrics if name not in both]
    if missing or not both:
        raise ConfigError(
            f"{missing[0] if missing else 'a metric'} is not in both; they share: "
            f"{', '.join(both) or 'none'}"
        )
    rows = tuple(
        _compare_metric(name, a, b, seed=seed, samples=samples, level=level)
        for name in metrics or both
    )
    return Comparison(names, len(a.items), rows)


def _compare_metric(
    name: str, a: Measured, b: Measured, *, seed: int, samples: int, level: float
) -> MetricComparison:
    first, second = a.per_item[name], b.per_item[name]
    statistic = a.statistics.get(name)
    if statistic is None or a.gold is None:
        interval = confidence_interval(second - first, seed=seed, samples=samples, level=level)
        p_value = paired_randomization_test(first, second, seed=seed, samples=samples)
    else:
        interval = interval_of_difference(
            first,
            second,
            gold=a.gold,
            statistic=statistic,
            seed=seed,
            samples=samples,
            level=level,
        )
        p_value = paired_permutation_test(
            first, second, gold=a.gold, statistic=statistic, seed=seed, samples=samples
        )
    return MetricComparison(
        metric=name,
        a=a.scores[name],
        b=b.scores[name],
        difference=b.scores[name] - a.scores[name],
        interval=interval,
        p_value=p_value,
    )


def _gold(measured: Measured) -> Values:
    return np.empty(0) if measured.gold is None else measured.gold


def _show_p(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"

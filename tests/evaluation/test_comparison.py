"""Comparisons of two systems against enumeration and scipy."""

from __future__ import annotations

import json
import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from search_engine.errors import ConfigError
from search_engine.evaluation.comparison import compare
from search_engine.evaluation.correlations import average_ranks, pearson, spearman, standardize
from search_engine.evaluation.measured import Measured, Statistic
from search_engine.evaluation.paired_statistics import (
    interval_of_difference,
    paired_permutation_test,
)
from search_engine.evaluation.significance import confidence_interval, paired_randomization_test

SPEARMAN = Statistic(spearman, average_ranks)
PEARSON = Statistic(pearson, standardize)


def correlated(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    gold = generator.normal(size=count)
    return gold + generator.normal(size=count), gold + 2 * generator.normal(size=count), gold


def measured(predictions: np.ndarray, gold: np.ndarray) -> Measured:
    return Measured(
        {"spearman": spearman(predictions, gold)},
        [str(number) for number in range(len(gold))],
        {"spearman": predictions},
        {"spearman": SPEARMAN},
        gold,
    )


@pytest.mark.parametrize(
    ("statistic", "scipy_statistic", "scale"),
    [
        (SPEARMAN, lambda x, y: stats.spearmanr(x, y).statistic, stats.rankdata),
        (PEARSON, lambda x, y: stats.pearsonr(x, y).statistic, stats.zscore),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_permutation_is_the_exact_test_for_few_items(
    statistic, scipy_statistic, scale, seed
) -> None:
    a, b, gold = correlated(8, seed=seed)
    b = 40 * b + 3  # another scale, which says nothing about the system
    x, y = scale(a), scale(b)
    observed = abs(scipy_statistic(y, gold) - scipy_statistic(x, gold))
    reached = [
        abs(
            scipy_statistic(np.where(swap, x, y), gold)
            - scipy_statistic(np.where(swap, y, x), gold)
        )
        >= observed - 1e-9
        for swap in product([False, True], repeat=8)
    ]
    exact = float(np.mean(reached))
    samples = 2_000
    p = paired_permutation_test(a, b, gold=gold, statistic=statistic, samples=samples)
    assert p == pytest.approx(exact, abs=5 * math.sqrt(exact * (1 - exact) / samples) + 1e-3)


def test_interval_is_that_of_scipys_paired_bootstrap() -> None:
    a, b, gold = correlated(60, seed=4)

    def difference(x: np.ndarray, y: np.ndarray, g: np.ndarray) -> float:
        return stats.pearsonr(y, g).statistic - stats.pearsonr(x, g).statistic

    expected = stats.bootstrap(
        (a, b, gold),
        difference,
        paired=True,
        vectorized=False,
        n_resamples=3_000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    found = interval_of_difference(a, b, gold=gold, statistic=PEARSON, samples=3_000)
    width = expected.high - expected.low
    assert found == pytest.approx((expected.low, expected.high), abs=0.06 * width)


def test_draws_without_a_value_are_left_out() -> None:
    gold = np.array([0.0, 1.0])
    a, b = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    # Half of the draws have one gold value twice, of which no correlation is defined.
    found = interval_of_difference(a, b, gold=gold, statistic=PEARSON, samples=200)
    assert found == pytest.approx((2.0, 2.0))
    never = interval_of_difference(a, b, gold=np.zeros(2), statistic=PEARSON, samples=20)
    assert all(map(math.isnan, never))


def test_a_mean_is_compared_by_the_values_of_its_items() -> None:
    generator = np.random.default_rng(6)
    values = {"a": generator.random(40), "b": generator.random(40) + 0.1}
    items = [f"q{number}" for number in range(40)]
    a, b = (Measured.means(items, {"ndcg@10": values[name]}) for name in "ab")
    (row,) = compare(a, b, seed=3, samples=2_000, level=0.9).metrics
    assert (row.a, row.b) == (values["a"].mean(), values["b"].mean())
    assert row.difference == pytest.approx((values["b"] - values["a"]).mean())
    assert row.interval == confidence_interval(
        values["b"] - values["a"], seed=3, samples=2_000, level=0.9
    )
    assert row.p_value == paired_randomization_test(values["a"], values["b"], seed=3, samples=2_000)


def test_a_statistic_is_compared_by_the_predictions() -> None:
    a, b, gold = correlated(30, seed=8)
    (row,) = compare(measured(a, gold), measured(b, gold), samples=300).metrics
    assert row.difference == pytest.approx(
        stats.spearmanr(b, gold).statistic - stats.spearmanr(a, gold).statistic
    )
    options = {"gold": gold, "statistic": SPEARMAN, "samples": 300}
    assert row.interval == interval_of_difference(a, b, **options)
    assert row.p_value == paired_permutation_test(a, b, **options)


def test_a_difference_that_is_there_is_found_and_one_that_is_not_is_not() -> None:
    generator = np.random.default_rng(12)
    gold = generator.normal(size=200)
    good, bad = gold + 0.3 * generator.normal(size=200), generator.normal(size=200)
    (row,) = compare(measured(bad, gold), measured(good, gold), samples=200).metrics
    assert row.p_value == 1 / 201
    assert row.interval[0] > 0.5
    # The same system with its similarities on another scale.
    (row,) = compare(measured(good, gold), measured(np.exp(5 * good), gold), samples=200).metrics
    assert row.difference == pytest.approx(0)
    assert row.interval == pytest.approx((0, 0), abs=1e-12)
    assert row.p_value == 1


def test_the_table_and_the_json() -> None:
    items = ["1", "2", "3", "4"]
    a = Measured.means(items, {"mrr@10": np.array([0, 0, 0.5, 1])})
    b = Measured.means(items, {"mrr@10": np.array([0.25, 0.25, 0.75, 1.25])})
    found = compare(a, b, names=("base", "new|er"), samples=999)
    assert found.to_table() == (
        "| metric (4 items) | base | new\\|er | difference | interval | p |\n"
        "|---|---|---|---|---|---|\n"
        "| mrr@10 | 0.3750 | 0.6250 | +0.2500 | +0.2500 to +0.2500 "
        f"| {found.metrics[0].p_value:.3f} |"
    )
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["metrics"]["mrr@10"] == {
        "a": 0.375,
        "b": 0.625,
        "difference": 0.25,
        "interval": [0.25, 0.25],
        "p_value": found.metrics[0].p_value,
    }
    assert (told["a"], told["b"], told["items"]) == ("base", "new|er", 4)


def test_what_cannot_be_compared_is_refused() -> None:
    a = Measured.means(["1", "2"], {"mrr": np.zeros(2)})
    with pytest.raises(ConfigError, match="other items"):
        compare(a, Measured.means(["1", "3"], {"mrr": np.zeros(2)}))
    with pytest.raises(ConfigError, match="share: none"):
        compare(a, Measured.means(["1", "2"], {"map": np.zeros(2)}))
    with pytest.raises(ConfigError, match="map is not in both; they share: mrr"):
        compare(a, a, metrics=("map",))
    with pytest.raises(ConfigError, match="samples is 0"):
        compare(a, a, samples=0)
    predictions = np.array([0.1, 0.2, 0.3])
    with pytest.raises(ConfigError, match="other items"):
        compare(measured(predictions, np.array([1.0, 2, 3])), measured(predictions, np.arange(3.0)))

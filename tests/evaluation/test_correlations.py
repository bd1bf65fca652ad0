"""Correlations against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from search_engine.evaluation.correlations import average_ranks, pearson, spearman, standardize

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(-4, 4)), min_size=2, max_size=40)


@given(pairs=PAIRS.filter(lambda pairs: all(len(set(x)) > 1 for x in zip(*pairs, strict=True))))
def test_correlations_are_those_of_scipy(pairs: list[tuple[int, int]]) -> None:
    predictions, gold = np.array(pairs, np.float64).T / 3
    expected = stats.pearsonr(predictions, gold).statistic
    assert pearson(predictions, gold) == pytest.approx(expected, abs=1e-9)
    expected = stats.spearmanr(predictions, gold).statistic
    assert spearman(predictions, gold) == pytest.approx(expected, abs=1e-9)


@given(values=st.lists(st.integers(0, 6), min_size=1, max_size=30))
def test_ranks_are_those_of_scipy(values: list[int]) -> None:
    expected = stats.rankdata(values)
    np.testing.assert_array_equal(average_ranks(np.array(values, np.float64)), expected)


def test_equal_predictions_follow_nothing_and_equal_gold_cannot_be_followed() -> None:
    rising, equal = np.arange(4.0), np.full(4, 0.3)
    assert pearson(equal, rising) == spearman(equal, rising) == 0
    assert math.isnan(pearson(rising, equal)) and math.isnan(spearman(rising, equal))


def test_standardized_values_have_mean_0_and_variance_1() -> None:
    values = standardize(np.random.default_rng(0).normal(5, 3, size=50))
    assert values.mean() == pytest.approx(0, abs=1e-12)
    assert values.var() == pytest.approx(1)
    assert standardize(np.full(3, 2.0)).tolist() == [0, 0, 0]

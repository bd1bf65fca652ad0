"""Thresholds against every threshold that there is, and against scikit-learn."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from search_engine.evaluation.thresholds import (
    average_precision,
    find_best_accuracy,
    find_best_f1,
)

PAIRS = st.lists(st.tuples(st.integers(-3, 4), st.integers(0, 1)), min_size=1, max_size=14).filter(
    lambda pairs: {label for _, label in pairs} == {0, 1}
)


def split(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = zip(*pairs, strict=True)
    return np.array(scores, np.float32) / 7, np.array(labels, np.float64)


def every_threshold(scores: np.ndarray) -> list[float]:
    return [*sorted({float(score) for score in scores}, reverse=True)]


@given(pairs=PAIRS)
def test_accuracy_is_the_best_of_all_thresholds(pairs: list[tuple[int, int]]) -> None:
    scores, labels = split(pairs)
    candidates = [math.inf, *every_threshold(scores)]
    right = {cut: int(np.sum((scores >= cut) == (labels > 0))) for cut in candidates}
    best = max(right.values())
    found = find_best_accuracy(scores, labels)
    assert found.accuracy == best / len(labels)
    # The highest of the best ones lets the same pairs through as the one that is reported.
    first = next(cut for cut in candidates if right[cut] == best)
    np.testing.assert_array_equal(scores >= found.threshold, scores >= first)


@given(pairs=PAIRS)
def test_f1_is_the_best_of_all_thresholds(pairs: list[tuple[int, int]]) -> None:
    scores, labels = split(pairs)
    found = find_best_f1(scores, labels)

    def f1(cut: float) -> Fraction:
        true = int(np.sum((scores >= cut) & (labels > 0)))
        return Fraction(2 * true, int(np.sum(scores >= cut)) + int(labels.sum()))

    best = max(map(f1, every_threshold(scores)))
    first = next(cut for cut in every_threshold(scores) if f1(cut) == best)
    predicted = scores >= found.threshold
    np.testing.assert_array_equal(predicted, scores >= first)
    assert found.f1 == pytest.approx(float(best), abs=1e-12)
    assert found.precision == pytest.approx(metrics.precision_score(labels, predicted), abs=1e-12)
    assert found.recall == pytest.approx(metrics.recall_score(labels, predicted), abs=1e-12)
    assert found.mcc == pytest.approx(metrics.matthews_corrcoef(labels, predicted), abs=1e-12)


@given(pairs=PAIRS)
def test_average_precision_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    scores, labels = split(pairs)
    expected = metrics.average_precision_score(labels, scores)
    assert average_precision(scores, labels) == pytest.approx(expected, abs=1e-12)


def test_a_threshold_between_neighbouring_floats_lets_only_the_upper_through() -> None:
    low = np.float32(0.7)
    # Of the two middles that no float has, one is rounded up and one down.
    for _ in range(2):
        low, high = np.nextafter(low, np.float32(1)), low
        scores, labels = np.array([high, low], np.float32), np.array([0, 1])
        for found in (find_best_accuracy(scores, labels), find_best_f1(scores, labels)):
            assert (scores >= np.float32(found.threshold)).tolist() == [False, True]


def test_a_threshold_is_half_way_to_the_next_score() -> None:
    scores = np.array([0.25, 0.75, 1.0], np.float32)
    labels = np.array([0, 1, 1])
    assert find_best_accuracy(scores, labels).threshold == 0.5
    assert find_best_f1(scores, labels).threshold == 0.5


def test_where_it_is_best_to_let_nothing_through() -> None:
    scores = np.array([0.1, 0.5, 0.9], np.float32)
    found = find_best_accuracy(scores, np.array([1, 0, 0]))
    assert found.accuracy == pytest.approx(2 / 3)
    assert not (scores >= found.threshold).any()
    assert found.threshold == pytest.approx(0.9, abs=1e-6)


def test_without_positive_pairs_nothing_is_defined() -> None:
    scores, labels = np.array([0.1, 0.2]), np.zeros(2)
    assert math.isnan(find_best_f1(scores, labels).f1)
    assert math.isnan(average_precision(scores, labels))

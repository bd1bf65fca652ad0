"""Resampling against the distributions that it approximates."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from search_engine.evaluation import significance
from search_engine.evaluation.significance import confidence_interval, paired_randomization_test


def enumerate_swaps(a: np.ndarray, b: np.ndarray) -> float:
    """The exact p-value: every one of the 2^n assignments."""
    differences = a - b
    signs = np.array(list(product([1, -1], repeat=len(differences))))
    sums = np.abs(signs @ differences)
    return float(np.mean(sums >= abs(differences.sum()) - 1e-9))


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_interval_is_the_normal_one_for_many_queries(level: float) -> None:
    values = np.random.default_rng(3).beta(0.7, 0.5, size=2_000)
    low, high = confidence_interval(values, level=level)
    error = values.std() / np.sqrt(len(values))
    width = stats.norm.ppf((1 + level) / 2)
    # The quantile of 10,000 resamples has a standard error of about 0.03 standard errors.
    assert low == pytest.approx(values.mean() - width * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + width * error, abs=0.1 * error)


def test_interval_is_the_exact_bootstrap_distribution_for_two_queries() -> None:
    # The mean of two draws from {0, 1} is 0, 1/2 or 1 with probability 1/4, 1/2 and 1/4.
    assert confidence_interval([0.0, 1.0]) == (0.0, 1.0)
    assert confidence_interval([0.0, 1.0], level=0.4) == (0.5, 0.5)


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    covered = 0
    for seed in range(300):
        low, high = confidence_interval(generator.random(60), seed=seed, samples=800)
        covered += low <= 0.5 <= high
    # Binomial(300, 0.95) with a little less coverage, as the percentile bootstrap has at n = 60.
    assert 270 <= covered <= 296


def test_interval_of_equal_values_is_a_point() -> None:
    assert confidence_interval([0.25] * 7) == (0.25, 0.25)


def test_blocks_use_every_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(5).random(200)
    whole = confidence_interval(values, samples=3_000)
    monkeypatch.setattr(significance, "_BLOCK", 7_001)
    assert sum(significance._split_rows(3_000, 200)) == 3_000
    # The generator gives the same stream of numbers however it is cut.
    assert confidence_interval(values, samples=3_000) == whole


@settings(deadline=None, max_examples=25)
@given(
    pairs=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda pair: np.array(pair) / 6),
        min_size=1,
        max_size=9,
    )
)
def test_randomization_is_the_exact_test_for_few_queries(pairs: list[np.ndarray]) -> None:
    a, b = np.array(pairs).T
    exact = enumerate_swaps(a, b)
    samples = 20_000
    # Five standard errors of a share of 20,000 samples, and the observed one that is counted.
    tolerance = 5 * np.sqrt(exact * (1 - exact) / samples) + 1 / samples
    assert paired_randomization_test(a, b, samples=samples) == pytest.approx(exact, abs=tolerance)


def test_randomization_agrees_with_scipy_for_many_queries() -> None:
    generator = np.random.default_rng(7)
    a = generator.random(400)
    noise = generator.normal(0, 0.12, size=400)
    b = a + noise - noise.mean() + 0.009  # one and a half standard errors: p is about 0.13
    p = paired_randomization_test(a, b, samples=20_000)
    scipy_p = stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(1),
        batch=1_000,
    ).pvalue
    assert 0.05 < scipy_p < 0.3
    assert p == pytest.approx(scipy_p, abs=0.015)


def test_randomization_is_symmetric_and_two_sided() -> None:
    generator = np.random.default_rng(9)
    a, b = generator.random(50), generator.random(50)
    assert paired_randomization_test(a, b) == paired_randomization_test(b, a)


def test_equal_systems_do_not_differ() -> None:
    assert paired_randomization_test([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]) == 1.0


def test_p_is_never_zero() -> None:
    assert paired_randomization_test(np.ones(200), np.zeros(200), samples=99) == 1 / 100


def test_a_seed_gives_the_same_answer_again() -> None:
    generator = np.random.default_rng(2)
    a, b = generator.random(40), generator.random(40)
    assert confidence_interval(a, seed=4) == confidence_interval(a, seed=4)
    assert confidence_interval(a, seed=4) != confidence_interval(a, seed=5)
    assert paired_randomization_test(a, b, seed=4) == paired_randomization_test(a, b, seed=4)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="one value for each"):
        confidence_interval([])
    with pytest.raises(ValueError, match="level is 95"):
        confidence_interval([0.1, 0.2], level=95)
    with pytest.raises(ValueError, match="samples is 0"):
        confidence_interval([0.1, 0.2], samples=0)
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        paired_randomization_test([0.1, 0.2], [0.1, 0.2, 0.3])

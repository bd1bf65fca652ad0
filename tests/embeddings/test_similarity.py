"""Similarities against their formulas in float64 and against Sentence Transformers."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sentence_transformers import SimilarityFunction

from search_engine.embeddings.similarity import SimilarityName, pairwise_similarity, similarity
from search_engine.errors import ConfigError

NAMES = get_args(SimilarityName)


def oracle(a: NDArray[np.float32], b: NDArray[np.float32], name: str) -> float:
    """The similarity of two vectors by its formula."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.sqrt((a * a).sum() * (b * b).sum())
    return {
        "cosine": 0.0 if lengths == 0 else (a * b).sum() / lengths,
        "dot": (a * b).sum(),
        "euclidean": -np.sqrt(((a - b) ** 2).sum()),
        "manhattan": -np.abs(a - b).sum(),
    }[name]


def draw_vectors(seed: int, count: int, dimension: int) -> NDArray[np.float32]:
    """Random vectors of many lengths, one of them zero."""
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((count, dimension)) * 10 ** random.uniform(-3, 3, (count, 1))
    vectors[random.integers(0, count)] = 0
    return vectors.astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 40), st.sampled_from(NAMES))
@settings(deadline=None, max_examples=60)
def test_both_forms_are_the_formula(seed, count, dimension, name) -> None:
    a = draw_vectors(seed, count, dimension)
    b = draw_vectors(seed + 1, count, dimension)
    expected = np.array([[oracle(x, y, name) for y in b] for x in a])
    size = 1.0 if name == "cosine" else np.abs(expected).max()
    found = similarity(a, b, name=name)
    pairs = pairwise_similarity(a, b, name=name)
    assert found.dtype == pairs.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-6 * max(size, 1e-3), rtol=1e-5)
    np.testing.assert_allclose(pairs, np.diagonal(expected), atol=2e-6 * max(size, 1e-3), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_are_those_of_sentence_transformers(name) -> None:
    random = np.random.default_rng(3)
    a, b = random.standard_normal((2, 20, 24)).astype(np.float32)
    a[4], a[5] = 0, b[5]
    a[6] = b[6] * np.float32(1e-14)
    function = SimilarityFunction.to_similarity_fn(name)
    pairwise = SimilarityFunction.to_similarity_pairwise_fn(name)
    np.testing.assert_allclose(similarity(a, b, name=name), function(a, b), atol=1e-5)
    np.testing.assert_allclose(pairwise_similarity(a, b, name=name), pairwise(a, b), atol=1e-5)


def test_more_pairs_than_are_compared_at_a_time() -> None:
    a = np.arange(20_000, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(
        pairwise_similarity(a, a[::-1], name="manhattan"), -np.abs(a - a[::-1])[:, 0]
    )


def test_near_vectors_keep_their_distance() -> None:
    a = np.full((40, 64), 1.0, np.float32)
    b = a.copy()
    b[:, 0] += np.float32(1e-4)
    step = float(b[0, 0]) - 1
    # |a|^2 - 2ab + |b|^2 in float32 would say 0 or 0.004.
    np.testing.assert_allclose(similarity(a, b, name="euclidean"), -step, rtol=1e-4)
    assert not np.signbit(similarity(a, a, name="manhattan")).any()


def test_one_vector_is_a_batch_of_one() -> None:
    a = np.array([3, 4], np.float32)
    np.testing.assert_array_equal(similarity(a, np.eye(2), name="dot"), [[3, 4]])
    np.testing.assert_allclose(similarity(a, a), [[1]], rtol=1e-6)


def test_read_only_and_integer_vectors_are_taken() -> None:
    a = np.array([[1, 2], [3, 5]])
    a.flags.writeable = False
    frozen = a.astype(np.float32)
    frozen.flags.writeable = False
    for vectors in (a, frozen):
        np.testing.assert_array_equal(
            similarity(vectors, vectors, name="manhattan"), [[0, -5], [-5, 0]]
        )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e19, 1e300])
@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_compared_is_an_error(value, name) -> None:
    a = np.ones((5, 3))
    a[3, 1] = value
    for compared in ((a, a), (np.ones((5, 3)), a)):
        for function in (similarity, pairwise_similarity):
            with pytest.raises(ConfigError, match="1 of 5 vectors, that at 3 first"):
                function(*compared, name=name)


def test_the_largest_vectors_that_are_taken_have_finite_scores() -> None:
    a = np.full((1, 1), 9.2e18, np.float32)
    for name in NAMES:
        assert np.isfinite(similarity(a, -a, name=name)).all()
        assert np.isfinite(pairwise_similarity(a, -a, name=name)).all()


def test_shapes_and_names_that_do_not_fit_are_errors() -> None:
    a = np.ones((2, 3))
    with pytest.raises(ConfigError, match="of 3 and of 2 dimensions"):
        similarity(a, np.ones((2, 2)))
    with pytest.raises(ConfigError, match=r"\(2, 3\) and \(1, 3\)"):
        pairwise_similarity(a, np.ones((1, 3)))
    with pytest.raises(ConfigError, match=r"shape \(1, 2, 3\)"):
        similarity(a, a[None])
    with pytest.raises(ConfigError, match="'hamming'; choose one of cosine, dot"):
        similarity(a, a, name="hamming")

"""Communities against the plain greedy definition and against Sentence Transformers."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sentence_transformers import util

from search_engine.embeddings import communities
from search_engine.embeddings.communities import detect_communities
from search_engine.errors import ConfigError


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that a few vectors need many of them."""
    monkeypatch.setattr(communities, "_BLOCK", 7)
    monkeypatch.setattr(communities, "_NEIGHBOURS", 30)


def draw_clustered(seed: int, count: int) -> NDArray[np.float32]:
    """Vectors around a few centres, some of them copies, some zero."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((4, 6))
    vectors = centres[random.integers(0, 4, count)] + 0.3 * random.standard_normal((count, 6))
    vectors *= random.uniform(0.1, 10, (count, 1))
    for position in range(count):
        if random.random() < 0.1:
            vectors[position] = 0
        elif random.random() < 0.2:
            vectors[position] = vectors[random.integers(0, count)]
    return vectors.astype(np.float32)


def brute_force(vectors: NDArray[np.float32], threshold: float, min_size: int) -> list[list[int]]:
    """The definition, with every pair compared by itself in float64."""
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
    near = (unit @ unit.T) >= threshold - 1e-6
    taken: set[int] = set()
    found = []
    for centre in sorted(range(len(vectors)), key=lambda each: -near[each].sum()):
        members = set(np.flatnonzero(near[centre]).tolist())
        if centre not in taken and len(members) >= min_size and len(members - taken) >= min_size:
            found.append([centre, *sorted(members - taken - {centre})])
            taken |= members
    return sorted(found, key=len, reverse=True)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 60),
    st.sampled_from([0.5, 0.75, 0.9, 1.0]),
    st.integers(1, 6),
)
@settings(deadline=None, max_examples=150)
def test_communities_are_the_greedy_definition(seed, count, threshold, min_size) -> None:
    vectors = draw_clustered(seed, count)
    found = detect_communities(vectors, threshold=threshold, min_size=min_size)
    assert [
        [each.positions[0], *sorted(each.positions[1:].tolist())] for each in found
    ] == brute_force(vectors, threshold, min_size)
    for each in found:
        unit = vectors[each.positions] / np.linalg.norm(
            vectors[each.positions], axis=1, keepdims=True
        )
        np.testing.assert_allclose(each.scores, unit @ unit[0], atol=1e-6)
        others = list(zip(-each.scores[1:], each.positions[1:], strict=True))
        assert others == sorted(others)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("threshold", "min_size"), [(0.7, 2), (0.85, 3), (0.95, 5)])
def test_communities_are_those_of_sentence_transformers(seed, threshold, min_size) -> None:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((5, 12))[random.integers(0, 5, 120)]
    vectors = (vectors + 0.35 * random.standard_normal((120, 12))).astype(np.float32)
    found = detect_communities(vectors, threshold=threshold, min_size=min_size)
    theirs = util.community_detection(vectors, threshold=threshold, min_community_size=min_size)
    assert theirs
    assert [each.positions.tolist() for each in found] == theirs


def test_copies_are_near_at_one() -> None:
    random = np.random.default_rng(1)
    vectors = np.repeat(random.standard_normal((3, 384)), 4, axis=0).astype(np.float32)
    found = detect_communities(vectors, threshold=1, min_size=4)
    assert [each.positions.tolist() for each in found] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]


def test_the_centre_comes_first_whatever_its_score() -> None:
    lengths = np.arange(1, 20, dtype=np.float32)[:, None]
    beaten = 0
    for seed in range(20):
        direction = np.random.default_rng(seed).standard_normal(50).astype(np.float32)
        (found,) = detect_communities(lengths * direction, min_size=2)
        assert found.positions[0] == 0
        # By rounding, a longer vector may have a higher cosine with the centre than itself.
        beaten += int(found.scores.max() > found.scores[0])
    assert beaten


def test_memory_holds_blocks_and_not_all_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(communities, "_BLOCK", 250)
    monkeypatch.setattr(communities, "_NEIGHBOURS", 20_000)
    random = np.random.default_rng(2)
    vectors = np.repeat(random.standard_normal((4, 8)), 500, axis=0).astype(np.float32)
    tracemalloc.start()
    try:
        found = detect_communities(vectors, threshold=0.99)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [each.positions.tolist() for each in found] == [
        list(range(start, start + 500)) for start in range(0, 2_000, 500)
    ]
    # All scores are 16 MB, and all near pairs 12 MB.
    assert peak < 4_000_000


def test_settings_out_of_range_are_errors() -> None:
    vectors = np.ones((3, 2))
    for threshold in (0, -0.5, 1.01, float("nan")):
        with pytest.raises(ConfigError, match="threshold of communities"):
            detect_communities(vectors, threshold=threshold)
    with pytest.raises(ConfigError, match="min_size is 0"):
        detect_communities(vectors, min_size=0)
    with pytest.raises(ConfigError, match="1 of 3 vectors, that at 2 first"):
        detect_communities(np.array([[1], [2], [np.nan]]), min_size=1)

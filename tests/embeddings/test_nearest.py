"""Search and paraphrase mining against brute force and against Sentence Transformers."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sentence_transformers import util

from search_engine.embeddings import paraphrase_mining, semantic_search, top_k
from search_engine.embeddings.paraphrase_mining import mine_paraphrases
from search_engine.embeddings.similarity import similarity
from search_engine.errors import ConfigError

REFERENCE = {
    "cosine": util.cos_sim,
    "dot": util.dot_score,
    "euclidean": util.euclidean_sim,
    "manhattan": util.manhattan_sim,
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that a few vectors need many of them."""
    monkeypatch.setattr(top_k, "COLUMNS", 5)
    monkeypatch.setattr(top_k, "_SCORES", 20)
    for module in (paraphrase_mining, semantic_search):
        monkeypatch.setattr(module, "COLUMNS", 5)


def draw_integers(seed: int, count: int, dimension: int = 3) -> NDArray[np.float32]:
    """Vectors of small integers: inner products are exact, and many of them are equal."""
    values = np.random.default_rng(seed).integers(-2, 3, (count, dimension))
    return values.astype(np.float32)


def ranked(scores: NDArray[np.float32], k: int, *, without: int | None = None) -> list[int]:
    order = [each for each in np.argsort(-scores, kind="stable").tolist() if each != without]
    return order[:k]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 9),
    st.integers(0, 30),
    st.integers(1, 40),
    st.sampled_from(["dot", "manhattan"]),
    st.lists(st.integers(0, 30), max_size=4),
)
@settings(deadline=None, max_examples=150)
def test_search_is_brute_force_with_ties_by_position(seed, queries, count, k, name, cuts) -> None:
    asked, corpus = draw_integers(seed, queries), draw_integers(seed + 1, count)
    whole = semantic_search.semantic_search(asked, corpus, top_k=k, similarity=name)
    blocks = np.split(corpus, sorted(min(cut, count) for cut in cuts))
    in_blocks = semantic_search.semantic_search(asked, iter(blocks), top_k=k, similarity=name)
    for found in (whole, in_blocks):
        assert found.positions.shape == found.scores.shape == (queries, min(k, count))
        for number in range(queries):
            scores = similarity(asked[number], corpus, name=name)[0] if count else np.empty(0)
            expected = ranked(scores, k)
            assert found.positions[number].tolist() == expected
            assert found.scores[number].tolist() == scores[expected].tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 40), st.integers(0, 10))
@settings(deadline=None)
def test_none_finds_itself_where_that_is_asked(seed, count, k, more) -> None:
    corpus = draw_integers(seed, count + more)
    found = semantic_search.semantic_search(
        corpus[:count], corpus, top_k=k, similarity="dot", exclude_self=True
    )
    assert found.positions.shape == (count, min(k, count + more - 1))
    scores = corpus @ corpus.T
    for number in range(count):
        expected = ranked(scores[number], k, without=number)
        assert found.positions[number].tolist() == expected
        assert found.scores[number].tolist() == scores[number, expected].tolist()


@pytest.mark.parametrize("name", REFERENCE)
def test_search_is_that_of_sentence_transformers(name) -> None:
    random = np.random.default_rng(5)
    queries = random.standard_normal((7, 24)).astype(np.float32)
    corpus = random.standard_normal((50, 24)).astype(np.float32)
    found = semantic_search.semantic_search(queries, corpus, top_k=6, similarity=name)
    theirs = util.semantic_search(
        torch.tensor(queries), torch.tensor(corpus), top_k=6, score_function=REFERENCE[name]
    )
    assert found.positions.tolist() == [[hit["corpus_id"] for hit in hits] for hits in theirs]
    np.testing.assert_allclose(
        found.scores, [[hit["score"] for hit in hits] for hits in theirs], atol=1e-5
    )


def brute_force_pairs(scores: NDArray[np.float32], k: int) -> list[tuple[float, int, int]]:
    pairs = {
        (min(own, other), max(own, other))
        for own, row in enumerate(scores)
        for other in ranked(row, k, without=own)
    }
    return sorted(((float(scores[pair]), *pair) for pair in pairs), key=lambda p: (-p[0], p[1:]))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 25),
    st.integers(1, 30),
    st.integers(1, 60),
    st.sampled_from(["dot", "manhattan"]),
)
@settings(deadline=None, max_examples=150)
def test_pairs_are_brute_force_each_once(seed, count, k, most, name) -> None:
    vectors = draw_integers(seed, count)
    found = mine_paraphrases(vectors, top_k=k, max_pairs=most, similarity=name)
    scores = similarity(vectors, vectors, name=name) if count else np.empty((0, 0), np.float32)
    expected = brute_force_pairs(scores, k)[:most]
    assert len(found) == len(expected)
    assert (
        list(zip(found.scores.tolist(), found.first.tolist(), found.second.tolist(), strict=True))
        == expected
    )


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("k", [1, 4, 100])
def test_pairs_are_those_of_sentence_transformers(name, k) -> None:
    vectors = np.random.default_rng(7).standard_normal((40, 24)).astype(np.float32)
    found = mine_paraphrases(vectors, top_k=k, similarity=name)
    theirs = util.paraphrase_mining_embeddings(
        torch.tensor(vectors), top_k=k, score_function=REFERENCE[name]
    )
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [
        (first, second) for _, first, second in theirs
    ]
    np.testing.assert_allclose(found.scores, [score for score, _, _ in theirs], atol=1e-5)


def test_zero_vectors_have_cosine_zero_with_all() -> None:
    vectors = np.array([[0, 0], [1, 0], [-1, 0], [2, 0]], np.float32)
    found = mine_paraphrases(vectors)
    assert found.scores.tolist() == [1, 0, 0, 0, -1, -1]
    assert found.first.tolist() == [1, 0, 0, 0, 1, 2]
    assert found.second.tolist() == [3, 1, 2, 3, 2, 3]


def test_fewer_rows_at_a_time_where_more_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert [top_k.rows_at_once(k) for k in (1, 8_192, 16_384, 10**9)] == [1_024, 1_024, 512, 1]


def test_memory_holds_blocks_and_not_all_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_k, "COLUMNS", 250)
    monkeypatch.setattr(top_k, "_SCORES", 250 * 60)
    for module in (paraphrase_mining, semantic_search):
        monkeypatch.setattr(module, "COLUMNS", 250)
    random = np.random.default_rng(11)
    vectors = random.standard_normal((2_000, 8)).astype(np.float32)
    tracemalloc.start()
    try:
        mine_paraphrases(vectors, top_k=2, max_pairs=1_000)
        blocks = (random.standard_normal((250, 800)) for _ in range(10))
        semantic_search.semantic_search(np.ones((3, 800)), blocks)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # All scores of the pairs are 16 MB, and all blocks of the corpus too; one block is 1.6 MB.
    assert peak < 6_000_000


def test_numbers_below_one_are_errors() -> None:
    vectors = np.ones((3, 2))
    with pytest.raises(ConfigError, match="top_k is 0"):
        semantic_search.semantic_search(vectors, vectors, top_k=0)
    with pytest.raises(ConfigError, match="top_k is 0"):
        mine_paraphrases(vectors, top_k=0)
    with pytest.raises(ConfigError, match="max_pairs is -1"):
        mine_paraphrases(vectors, max_pairs=-1)

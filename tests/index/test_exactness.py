"""Answers equal brute force, however the index came to be what it is."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_engine.config import BM25Config, Config
from search_engine.errors import IndexStoreError
from search_engine.index.creation import create_index
from search_engine.index.dense.metric import prepare_vectors
from search_engine.index.generations.generation import Generation
from search_engine.index.reader import IndexReader
from search_engine.index.segments import live_segment, merging
from search_engine.index.upkeep.compaction import compact
from search_engine.index.writer import IndexWriter
from tests.index.documents import DIMENSION, bm25_oracle, encode

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon")
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
doc_ids = st.sampled_from([f"d{n}" for n in range(4)])
operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), doc_ids, texts),
        st.tuples(st.just("delete"), doc_ids, st.none()),
        st.tuples(st.just("commit"), st.none(), st.none()),
        st.tuples(st.just("compact"), st.none(), st.none()),
    ),
    min_size=1,
    max_size=40,
)


@pytest.fixture(autouse=True, scope="module")
def small_pieces() -> Iterator[None]:
    """Has even these small segments searched in pieces."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(live_segment, "SMALLEST_PIECE", 2)
        yield


def _new_index(folder: Path) -> Path:
    create_index(folder, Generation(1, "f" * 64, Config(), DIMENSION, "dot"))
    return folder


def _apply(folder: Path, steps: list[tuple[str, str | None, str | None]]) -> dict[str, str]:
    """Do the steps, merging whenever there are three segments; what should be there in the end."""
    expected: dict[str, str] = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(merging, "SMALLEST_TIER_SEGMENTS", 3)
        with IndexWriter(folder) as writer:
            for step, doc_id, text in steps:
                if step == "add":
                    writer.add(encode(doc_id, text))
                    expected[doc_id] = text
                elif step == "delete":
                    assert writer.delete(doc_id) == (doc_id in expected)
                    expected.pop(doc_id, None)
                else:
                    writer.commit()
                    if step == "compact":
                        compact(folder)
    return expected


@settings(max_examples=60, deadline=None)
@given(steps=operations, query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3))
def test_bm25_equals_the_formula_after_any_sequence(steps, query) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = _new_index(Path(place) / "index")
        expected = _apply(folder, steps)
        with IndexReader(folder) as reader:
            counts = {}
            for term, term_id in reader.term_ids(query).items():
                counts[term_id] = query.count(term)
            config = BM25Config(k1=1.2, b=0.75)
            hits = reader.snapshot.search_bm25(counts, 100, config)
            found = dict(zip(reader.doc_ids(hits.chunk_ids), hits.scores.tolist(), strict=True))
            assert {each.doc_id for each in reader.documents()} == set(expected)
            assert reader.document_count() == reader.snapshot.chunk_count == len(expected)
        oracle = bm25_oracle(expected, query, k1=1.2, b=0.75) if expected else {}
        assert found == pytest.approx(oracle, rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    steps=operations,
    query=st.lists(st.floats(-1, 1, width=32), min_size=DIMENSION, max_size=DIMENSION),
    depth=st.integers(1, 15),
)
def test_many_segments_answer_as_one_to_the_bit(steps, query, depth) -> None:
    vector = np.array(query, np.float32)
    with tempfile.TemporaryDirectory() as place:
        many = _new_index(Path(place) / "many")
        expected = _apply(many, steps)
        one = _new_index(Path(place) / "one")
        _apply(one, [("add", doc_id, text) for doc_id, text in expected.items()])
        answers = []
        for folder in (many, one):
            with IndexReader(folder) as reader:
                dense = reader.snapshot.search_dense(vector, len(expected) or 1)
                counts = dict.fromkeys(reader.term_ids(list(WORDS)).values(), 1)
                sparse = reader.snapshot.search_bm25(counts, len(expected) or 1, BM25Config())
                answers.append(
                    [
                        dict(zip(reader.doc_ids(hits.chunk_ids), hits.scores.tolist(), strict=True))
                        for hits in (dense, sparse)
                    ]
                )
                shallow = reader.snapshot.search_dense(vector, depth)
                assert shallow.scores.tolist() == dense.scores.tolist()[:depth]
                assert shallow.chunk_ids.tolist() == dense.chunk_ids.tolist()[:depth]
            compact(folder)
            with IndexReader(folder) as reader:
                assert len(reader.snapshot.segments) == (1 if expected else 0)
                again = reader.snapshot.search_dense(vector, depth)
                assert again.scores.tolist() == shallow.scores.tolist()
                assert again.chunk_ids.tolist() == shallow.chunk_ids.tolist()
                after = reader.snapshot.search_bm25(counts, len(expected) or 1, BM25Config())
                assert after.scores.tolist() == sparse.scores.tolist()
                assert after.chunk_ids.tolist() == sparse.chunk_ids.tolist()
        assert answers[0] == answers[1]


def test_dense_scores_are_inner_products(make_index) -> None:
    folder = make_index()
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((300, DIMENSION)).astype(np.float32) * 5
    with IndexWriter(folder) as writer:
        for position, vector in enumerate(vectors):
            writer.add(encode(f"d{position}", f"text {position}", vector))
            if position % 37 == 0:
                writer.commit()
    query = rng.standard_normal(DIMENSION).astype(np.float32)
    exact = vectors.astype(np.float64) @ query.astype(np.float64)
    order = np.argsort(-exact)[:25]
    with IndexReader(folder) as reader:
        hits = reader.snapshot.search_dense(query, 25)
        assert reader.doc_ids(hits.chunk_ids) == [f"d{n}" for n in order]
        np.testing.assert_allclose(hits.scores, exact[order], rtol=1e-5)


def test_equal_vectors_are_ordered_by_chunk_id_however_deep(make_index) -> None:
    """Fifty chunks tie at the cut; the first of them in id order must be the ones returned."""
    folder = make_index()
    same = np.ones(DIMENSION)
    with IndexWriter(folder) as writer:
        for position in range(50):
            writer.add(encode(f"d{position}", f"text {position}", same))
            if position % 20 == 19:
                writer.commit()
    with IndexReader(folder) as reader:
        for depth in (1, 7, 30):
            hits = reader.snapshot.search_dense(same.astype(np.float32), depth)
            assert hits.chunk_ids.tolist() == list(range(1, depth + 1))


def test_more_than_there_is_returns_all_there_is(make_index) -> None:
    folder = make_index()
    with IndexReader(folder) as reader:
        assert len(reader.snapshot.search_dense(np.ones(DIMENSION, np.float32), 10)) == 0
        assert len(reader.snapshot.search_bm25({}, 10, BM25Config())) == 0
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
        writer.add(encode("b", "beta"))
    with IndexReader(folder) as reader:
        assert len(reader.snapshot.search_dense(np.ones(DIMENSION, np.float32), 10)) == 2
        hits = reader.snapshot.search_bm25(
            {reader.term_ids(["alpha"])["alpha"]: 1}, 10, BM25Config()
        )
        assert reader.doc_ids(hits.chunk_ids) == ["a"]


def test_cosine_is_of_the_directions_alone(tmp_path) -> None:
    folder = tmp_path / "index"
    create_index(folder, Generation(1, "f" * 64, Config(), DIMENSION, "cosine"))
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((40, DIMENSION)) * rng.uniform(0.01, 100, (40, 1))
    vectors[7] = 0
    with IndexWriter(folder) as writer:
        for position, vector in enumerate(prepare_vectors(vectors, "cosine")):
            writer.add(encode(f"d{position}", f"text {position}", vector))
    query = (rng.standard_normal(DIMENSION) * 9).astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    cosines = np.divide(vectors @ query, norms, out=np.zeros(40), where=norms > 0)
    with IndexReader(folder) as reader:
        hits = reader.snapshot.search_dense(query, 40)
        assert reader.doc_ids(hits.chunk_ids) == [f"d{n}" for n in np.argsort(-cosines)]
        np.testing.assert_allclose(hits.scores, np.sort(cosines)[::-1], atol=1e-6)
        none = reader.snapshot.search_dense(np.zeros(DIMENSION, np.float32), 3)
        assert none.scores.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("dimension", [8, 384])
def test_near_ties_at_the_cut_are_scored_and_not_left_to_rounding(tmp_path, dimension) -> None:
    """Vectors closer together than FAISS's rounding: the best are those of the exact products."""
    rng = np.random.default_rng(dimension)
    base = rng.standard_normal(dimension)
    vectors = (base + 1e-7 * rng.standard_normal((400, dimension))).astype(np.float32)
    folder = tmp_path / "index"
    create_index(folder, Generation(1, "f" * 64, Config(), dimension, "dot"))
    with IndexWriter(folder) as writer:
        for position, vector in enumerate(vectors):
            writer.add(encode(f"d{position}", f"text {position}", vector))
            if position == 150:
                writer.commit()
    query = base.astype(np.float32)
    exact = np.multiply(vectors, query).sum(axis=1)
    order = np.lexsort((np.arange(400), -exact))[:5]
    with IndexReader(folder) as reader:
        hits = reader.snapshot.search_dense(query, 5)
        assert reader.doc_ids(hits.chunk_ids) == [f"d{n}" for n in order]
        assert hits.scores.tolist() == exact[order].tolist()


def test_vectors_that_are_no_numbers_are_refused_and_such_queries_find_nothing(make_index) -> None:
    folder = make_index()
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
        with pytest.raises(IndexStoreError, match=r"'b' cannot be added.*not numbers"):
            writer.add(encode("b", "beta", [np.nan] * DIMENSION))
        with pytest.raises(IndexStoreError, match="3 dimensions"):
            writer.add(encode("c", "gamma", [1.0] * 3))
        with pytest.raises(IndexStoreError, match="1 chunks and 2 term counts"):
            writer.add(replace(encode("d", "delta"), terms=[Counter(), Counter()]))
    with IndexReader(folder) as reader:
        assert reader.document_count() == 1
        assert len(reader.snapshot.search_dense(np.full(DIMENSION, np.nan, np.float32), 5)) == 0


def test_what_is_compared_is_shared_out_evenly(make_index) -> None:
    folder = make_index()
    with IndexWriter(folder) as writer:
        for position in range(26):
            writer.add(encode(f"d{position}", f"text {position}"))
            if position in (19, 24):
                writer.commit()
    with IndexReader(folder) as reader:
        assert [live.chunk_count for live in reader.snapshot.segments] == [20, 5, 1]
        groups = live_segment.share_out(reader.snapshot.segments, 2)
        assert [sum(live.chunk_count for live in group) for group in groups] == [13, 13]
        chunk_ids = np.concatenate(
            [
                live.segment.chunk_ids if live.alive is None else live.segment.chunk_ids[live.alive]
                for group in groups
                for live in group
            ]
        )
        assert sorted(chunk_ids.tolist()) == list(range(1, 27))

"""Search under a filter equals brute force over the documents that it lets through."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_engine.config import BM25Config, Config
from search_engine.filters import matches, parse_filter
from search_engine.index.creation import create_index
from search_engine.index.generations.generation import Generation
from search_engine.index.reader import IndexReader
from search_engine.index.segments import merging
from search_engine.index.upkeep.compaction import compact
from search_engine.index.writer import IndexWriter
from search_engine.types import Metadata
from tests.index.documents import DIMENSION, bm25_oracle, encode
from tests.index.rows import query

VERSION_1 = Path(__file__).parent / "formats" / "version-1"
QUESTION = np.linspace(-1, 1, DIMENSION).astype(np.float32)
BM25 = BM25Config(k1=1.2, b=0.75)

_texts = st.lists(st.sampled_from(["alpha", "beta", "gamma"]), min_size=1, max_size=4)
_values = st.sampled_from(
    ["de", "en", "", 1, 2, 2.0, 2.5, -1, 2**53 + 1, True, False, None, math.nan]
)
_metadata = st.dictionaries(st.sampled_from(["lang", "year", "draft"]), _values, max_size=3)
_doc_ids = st.sampled_from([f"d{n}" for n in range(8)])
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), _doc_ids, _texts.map(" ".join), _metadata),
        st.tuples(st.just("add"), _doc_ids, _texts.map(" ".join), _metadata),
        st.tuples(st.just("delete"), _doc_ids, st.just(""), st.just({})),
        st.tuples(st.sampled_from(["commit", "compact"]), st.just(""), st.just(""), st.just({})),
    ),
    min_size=3,
    max_size=25,
)
_scalars = st.sampled_from(["de", "en", "", 1, 2, 2.5, float(2**53), True, False])
_bounds = st.sampled_from(["de", "e", 0, 2, 2.25, 2**53])
_keys = st.sampled_from(["lang", "year", "draft", "absent"])
_single = st.one_of(
    st.builds(lambda key, value: {key: value}, _keys, _scalars | st.none()),
    st.builds(
        lambda key, name, bound: {key: {name: bound}},
        _keys,
        st.sampled_from(["$lt", "$lte", "$gt", "$gte"]),
        _bounds,
    ),
    st.builds(
        lambda key, name, values: {key: {name: values}},
        _keys,
        st.sampled_from(["$in", "$nin"]),
        st.lists(_scalars, max_size=3),
    ),
    st.builds(lambda key, value: {key: {"$exists": value}}, _keys, st.booleans()),
)
_conditions = st.recursive(
    _single,
    lambda inner: st.one_of(
        st.builds(
            lambda name, parts: {name: parts},
            st.sampled_from(["$and", "$or"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        inner.map(lambda part: {"$not": part}),
    ),
    max_leaves=4,
)


def _apply(
    folder: Path, steps: list[tuple[str, str, str, Metadata]]
) -> dict[str, tuple[str, Metadata]]:
    """Do the steps, merging whenever there are four segments; what should be there in the end."""
    expected: dict[str, tuple[str, Metadata]] = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(merging, "SMALLEST_TIER_SEGMENTS", 4)
        with IndexWriter(folder) as writer:
            for step, doc_id, text, metadata in steps:
                if step == "add":
                    encoded = encode(doc_id, text)
                    document = replace(encoded.document, metadata=metadata)
                    writer.add(replace(encoded, document=document))
                    expected[doc_id] = text, metadata
                elif step == "delete":
                    writer.delete(doc_id)
                    expected.pop(doc_id, None)
                else:
                    writer.commit()
                    if step == "compact":
                        compact(folder)
    return expected


@settings(max_examples=30, deadline=None)
@given(steps=_steps, where=_conditions, depth=st.integers(1, 10))
def test_filtered_hits_are_those_of_brute_force(steps, where, depth) -> None:
    condition = parse_filter(where)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "index"
        create_index(folder, Generation(1, "f" * 64, Config(), DIMENSION, "dot"))
        there = _apply(folder, steps)
        allowed = {
            key: text for key, (text, metadata) in there.items() if matches(condition, metadata)
        }
        with IndexReader(folder) as reader:
            snapshot = reader.snapshot
            dense = snapshot.search_dense(QUESTION, depth, among=snapshot.allowing(condition))
            assert len(dense) == min(depth, len(allowed))
            everything = snapshot.search_dense(QUESTION, 1_000)
            order = reader.doc_ids(everything.chunk_ids)
            assert (
                reader.doc_ids(dense.chunk_ids) == [key for key in order if key in allowed][:depth]
            )
            _check_dense(reader.doc_ids(dense.chunk_ids), dense.scores.tolist(), allowed)

            terms = dict.fromkeys(reader.term_ids(["alpha", "beta"]).values(), 1)
            bm25 = snapshot.search_bm25(terms, 1_000, BM25, among=snapshot.allowing(condition))
            unfiltered = snapshot.search_bm25(terms, 1_000, BM25)
            scores = dict(zip(reader.doc_ids(bm25.chunk_ids), bm25.scores.tolist(), strict=True))
            whole = dict(
                zip(reader.doc_ids(unfiltered.chunk_ids), unfiltered.scores.tolist(), strict=True)
            )
            # To the bit: what is filtered out still counts in the statistics.
            assert scores == {key: score for key, score in whole.items() if key in allowed}
            texts = {key: text for key, (text, _) in there.items()}
            oracle = bm25_oracle(texts, ["alpha", "beta"], k1=1.2, b=0.75) if texts else {}
            assert whole == pytest.approx(oracle, rel=1e-5)
            shallow = snapshot.search_bm25(terms, depth, BM25, among=snapshot.allowing(condition))
            assert shallow.chunk_ids.tolist() == bm25.chunk_ids.tolist()[:depth]
            known = {
                key
                for _, metadata in there.values()
                for key, value in metadata.items()
                if value is not None and value == value
            }
            assert known <= snapshot.metadata_keys


def _check_dense(doc_ids: list[str], scores: list[float], texts: Mapping[str, str]) -> None:
    exact = {key: float(encode(key, texts[key]).vectors[0] @ QUESTION) for key in doc_ids}
    assert dict(zip(doc_ids, scores, strict=True)) == pytest.approx(exact, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    "where",
    [
        {"lang": "de"},
        {"year": {"$gte": 2000}},
        {"year": {"$lt": 2000}},
        {"$not": {"lang": "de"}},
        {"draft": {"$exists": True}},
        {"$or": [{"lang": "en"}, {"draft": True}]},
        {"no such key": 1},
    ],
    ids=str,
)
def test_segments_without_columns_answer_the_same(tmp_path, where) -> None:
    """Segments of format version 1, some of whose chunks are dead, ask SQL for the metadata."""
    folder = tmp_path / "index"
    shutil.copytree(VERSION_1, folder)
    condition = parse_filter(where)
    stored = _stored_metadata(folder)
    question = np.ones(384, np.float32)
    answers = []
    for _ in range(2):
        with IndexReader(folder) as reader:
            snapshot = reader.snapshot
            hits = snapshot.search_dense(question, 1_000)
            everything = list(
                zip(reader.doc_ids(hits.chunk_ids), hits.scores.tolist(), strict=True)
            )
            assert len(everything) == len(stored)
            expected = [each for each in everything if matches(condition, stored[each[0]])]
            found = snapshot.search_dense(question, 1_000, among=snapshot.allowing(condition))
            answer = list(zip(reader.doc_ids(found.chunk_ids), found.scores.tolist(), strict=True))
            assert answer == expected
            assert snapshot.metadata_keys == {"lang", "year"}
            answers.append((answer, len(snapshot.segments)))
        compact(folder)
    assert answers[0][0] == answers[1][0]
    assert [count for _, count in answers] == [6, 1]


def _stored_metadata(folder: Path) -> dict[str, Metadata]:
    rows = query(folder, "SELECT doc_id, metadata FROM documents WHERE died IS NULL")
    return {doc_id: json.loads(metadata) for doc_id, metadata in rows}

"""Whatever is done to generations in whatever order, plain dictionaries say what is there."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_engine.errors import GenerationBehindError, GenerationError
from search_engine.index.generations.promotion import (
    begin_generation,
    promote_generation,
    roll_back,
)
from search_engine.index.reader import IndexReader
from search_engine.index.upkeep.compaction import compact
from search_engine.index.upkeep.verification import verify_database, verify_generations
from search_engine.index.writer import IndexWriter
from tests.index.documents import bm25_oracle
from tests.index.generations import DIMENSIONS, answers, build, encode_for, generation, new_index
from tests.index.rows import count_rows, query

WORDS = ("alpha", "beta", "gamma", "delta")
_steps = st.one_of(
    st.tuples(
        st.just("add"),
        st.sampled_from(["d0", "d1", "d2", "d3"]),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join),
    ),
    st.tuples(st.just("delete"), st.sampled_from(["d0", "d1", "d2", "d3"]), st.just("")),
    # Left to chance, a second promotion would seldom come.
    st.tuples(
        st.sampled_from(["begin", "switch"]), st.sampled_from(sorted(DIMENSIONS)), st.just("")
    ),
    *(
        st.tuples(st.just(step), st.just(""), st.just(""))
        for step in ("build", "build one", "promote", "roll back", "compact")
    ),
)


class _Model:
    """What should be there: plain Python dictionaries, and no files."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.live, self.previous, self.building = "first", None, None
        self.ids = {"first": 1}
        self.has: dict[str, dict[str, str]] = {"first": {}}

    @property
    def candidate(self) -> str | None:
        return self.building or self.previous

    def lacking(self, name: str) -> int:
        return len(self.texts) - len(self.has[name])

    def forget(self, name: str | None) -> None:
        if name is not None:
            del self.has[name], self.ids[name]


def _step(folder: Path, model: _Model, step: tuple[str, str, str]) -> None:
    what, key, text = step
    if what in ("add", "delete"):
        with IndexWriter(folder) as writer:
            if what == "add":
                writer.add(encode_for(key, text, model.live))
            else:
                assert writer.delete(key) == (key in model.texts)
        for has in (model.texts, *model.has.values()):
            has.pop(key, None)
        if what == "add":
            model.texts[key] = model.has[model.live][key] = text
    elif what == "begin":
        _begin(folder, model, key)
    elif what == "switch":
        for part in ("begin", "build", "promote"):
            _step(folder, model, (part, key, ""))
    elif what == "compact":
        compact(folder)
    elif what == "roll back":
        if model.previous is None or model.ids[model.previous] > model.ids[model.live]:
            with pytest.raises(GenerationError):
                roll_back(folder)
        else:
            assert roll_back(folder) == model.lacking(model.previous)
            model.live, model.previous = model.previous, model.live
    elif model.candidate is not None:
        if what == "promote":
            _promote(folder, model, model.candidate)
        else:
            most = 1 if what == "build one" else 1_000
            done = build(folder, model.ids[model.candidate], model.candidate, most=most)
            assert len(done) == min(most, model.lacking(model.candidate))
            model.has[model.candidate] |= {key: model.texts[key] for key in done}


def _begin(folder: Path, model: _Model, name: str) -> None:
    if name == model.live:
        with pytest.raises(GenerationError):
            begin_generation(folder, generation(name))
        return
    begun = begin_generation(folder, generation(name)).generation_id
    if name in model.ids:
        assert begun == model.ids[name]
        return
    model.forget(model.building)
    model.building, model.ids[name], model.has[name] = name, begun, {}


def _promote(folder: Path, model: _Model, name: str) -> None:
    if lacking := model.lacking(name):
        with pytest.raises(GenerationBehindError, match=f"lacks {lacking} documents"):
            promote_generation(folder, model.ids[name])
        return
    promote_generation(folder, model.ids[name])
    if name == model.building:
        model.forget(model.previous)
        model.building = None
    model.previous, model.live = model.live, name


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(_steps, min_size=4, max_size=16))
def test_after_any_sequence_the_live_generation_answers_as_brute_force_does(steps) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder, model = new_index(Path(place) / "index", "first", {}), _Model()
        with IndexReader(folder) as reader:
            for step in steps:
                _step(folder, model, step)
                dense, bm25 = answers(reader, reader.refresh())
                _check(model, dense, bm25)
        assert verify_database(folder) == []
        wrong = [each.what for found in verify_generations(folder) for each in found.findings]
        missing = model.lacking(model.live)
        told = f"{missing} documents have no chunks in the live generation"
        assert wrong == ([told] if missing else [])
        compact(folder)
        expected = sorted((model.ids[name], len(has)) for name, has in model.has.items() if has)
        held = "SELECT generation_id, count(*) FROM chunks GROUP BY generation_id ORDER BY 1"
        assert query(folder, held) == expected
        assert count_rows(folder, "documents") == len(model.texts)
        assert {each for (each,) in query(folder, "SELECT generation_id FROM generations")} == set(
            model.ids.values()
        )


def _check(model: _Model, dense: list[tuple[str, float]], bm25: dict[str, float]) -> None:
    has = model.has[model.live]
    scores = {
        doc_id: encode_for(doc_id, text, model.live).vectors.astype(np.float64).sum()
        for doc_id, text in has.items()
    }
    assert dict(dense) == pytest.approx(scores, rel=1e-5, abs=1e-5)
    assert [score for _, score in dense] == sorted((score for _, score in dense), reverse=True)
    oracle = bm25_oracle(has, ["alpha", "beta"], k1=1.2, b=0.75) if has else {}
    assert bm25 == pytest.approx(oracle, rel=1e-5)

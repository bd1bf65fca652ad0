"""Vectors of other precisions and kinds through writing, merging and compacting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from search_engine.config import Config, DenseConfig, Precision
from search_engine.index.creation import create_index
from search_engine.index.dense import dense_kinds
from search_engine.index.generations.generation import Generation, stored_generations
from search_engine.index.reader import IndexReader
from search_engine.index.segments import merger
from search_engine.index.store.database import Database
from search_engine.index.upkeep.compaction import compact
from search_engine.index.upkeep.verification import verify_database, verify_generations
from search_engine.index.writer import IndexWriter
from tests.index.documents import encode

DIMENSION = 16
CALIBRATION = 60
RNG = np.random.default_rng(11)
VECTORS = RNG.standard_normal((150, DIMENSION)).astype(np.float32)
QUESTION = RNG.standard_normal(DIMENSION).astype(np.float32)


@pytest.fixture(autouse=True)
def few_vectors_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes thousands of vectors in use takes some dozens here."""
    monkeypatch.setattr(merger, "CALIBRATION_VECTORS", CALIBRATION)
    monkeypatch.setattr(dense_kinds, "GRAPH_MINIMUM", 40)


def _new_index(folder: Path, *, kind: str = "flat", precision: Precision = "float32") -> Path:
    config = Config(dense=DenseConfig(kind=kind, precision=precision, ef_search=16))
    create_index(folder, Generation(1, "f" * 64, config, DIMENSION, "dot"))
    return folder


def _add(folder: Path, numbers: range, *, each_commit: int = 1_000) -> None:
    with IndexWriter(folder) as writer:
        for count, number in enumerate(numbers, 1):
            writer.add(encode(f"d{number}", f"text {number}", VECTORS[number].tolist()))
            if count % each_commit == 0:
                writer.commit()


def _delete(folder: Path, numbers: range) -> None:
    with IndexWriter(folder) as writer:
        for number in numbers:
            assert writer.delete(f"d{number}")


def _search(folder: Path, depth: int = 1_000) -> dict[str, float]:
    with IndexReader(folder) as reader:
        hits = reader.snapshot.search_dense(QUESTION, depth)
        return dict(zip(reader.doc_ids(hits.chunk_ids), hits.scores.tolist(), strict=True))


def _precisions(folder: Path) -> set[Precision]:
    with IndexReader(folder) as reader:
        return {live.segment.dense.vectors.precision for live in reader.snapshot.segments}


def _codes(folder: Path) -> dict[int, bytes]:
    """The code of each chunk's vector, by the chunk's id."""
    with IndexReader(folder) as reader:
        return {
            chunk_id: code.tobytes()
            for live in reader.snapshot.segments
            for chunk_id, code in zip(
                live.segment.chunk_ids.tolist(), live.segment.dense.vectors.codes, strict=True
            )
        }


def _ranges(folder: Path) -> NDArray[np.float32] | None:
    database = Database(folder, writable=True)
    try:
        ((generation, _),) = stored_generations(database.here, str(folder))
        return generation.ranges
    finally:
        database.close()


def _int8_scores(numbers: range) -> dict[str, float]:
    """Scores by the formula of the codes, bounds of the first vectors, in float64."""
    low = VECTORS[:CALIBRATION].min(axis=0).astype(np.float64)
    width = VECTORS[:CALIBRATION].max(axis=0) - low
    codes = np.floor(np.clip((VECTORS - low) / width, 0, 1) * 255)
    decoded = low + (codes + 0.5) / 255 * width
    return {f"d{n}": float(decoded[n] @ QUESTION) for n in numbers}


def _float_scores(vectors: NDArray[np.floating]) -> dict[str, float]:
    """Scores of documents numbered from 0 on."""
    return {f"d{n}": float(score) for n, score in enumerate(vectors.astype(np.float64) @ QUESTION)}


def test_vectors_are_coded_in_the_commit_that_fixes_the_ranges_and_not_before(tmp_path) -> None:
    folder = _new_index(tmp_path / "index", precision="int8")
    _add(folder, range(CALIBRATION - 1), each_commit=17)
    assert _precisions(folder) == {"float32"}
    assert _ranges(folder) is None
    compact(folder)
    assert _precisions(folder) == {"float32"}
    assert _search(folder) == pytest.approx(_float_scores(VECTORS[: CALIBRATION - 1]), rel=1e-5)

    with IndexReader(folder) as held:
        before = held.snapshot
        _add(folder, range(CALIBRATION - 1, CALIBRATION))
        assert _precisions(folder) == {"int8"}
        # Who still reads what was there before reads it in float32.
        hits = before.search_dense(QUESTION, 5)
        expected = sorted(_float_scores(VECTORS[: CALIBRATION - 1]).values(), reverse=True)[:5]
        np.testing.assert_allclose(hits.scores, expected, rtol=1e-5)
    ranges = _ranges(folder)
    first = VECTORS[:CALIBRATION]
    np.testing.assert_array_equal(ranges, [first.min(axis=0), first.max(axis=0)])
    assert _search(folder) == pytest.approx(_int8_scores(range(CALIBRATION)), abs=1e-4)

    _add(folder, range(CALIBRATION, 150), each_commit=30)
    _delete(folder, range(10))
    compact(folder)
    np.testing.assert_array_equal(_ranges(folder), ranges)
    assert _precisions(folder) == {"int8"}
    assert _search(folder) == pytest.approx(_int8_scores(range(10, 150)), abs=1e-4)
    assert verify_database(folder) == []
    assert [each.findings for each in verify_generations(folder)] == [()]


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_scores_do_not_depend_on_the_segments(tmp_path, precision) -> None:
    one = _new_index(tmp_path / "one", precision=precision)
    many = _new_index(tmp_path / "many", precision=precision)
    _add(one, range(150))
    _add(many, range(150), each_commit=26)
    with IndexReader(many) as reader:
        assert len(reader.snapshot.segments) > 2
    scores = _search(one)
    assert _search(many) == scores, "to the bit"
    exact = {
        "float32": _float_scores(VECTORS),
        "float16": _float_scores(VECTORS.astype(np.float16)),
        "int8": _int8_scores(range(150)),
    }[precision]
    assert scores == pytest.approx(exact, rel=1e-5, abs=1e-4)

    codes = _codes(many)
    _delete(many, range(100, 120))
    compact(many)
    kept = [f"d{n}" for n in range(150) if n not in range(100, 120)]
    assert _search(many) == {doc_id: scores[doc_id] for doc_id in kept}
    # Merging copies codes: decoding and coding again could move one.
    after = _codes(many)
    assert after == {chunk_id: codes[chunk_id] for chunk_id in after}
    assert len(after) == 130


def test_an_index_of_which_all_died_before_the_ranges_were_known_goes_on(tmp_path) -> None:
    folder = _new_index(tmp_path / "index", precision="int8")
    _add(folder, range(CALIBRATION - 1))
    _delete(folder, range(CALIBRATION - 1))
    assert _search(folder) == {}
    _add(folder, range(CALIBRATION, CALIBRATION + 20))
    assert _precisions(folder) == {"float32"}
    expected = _float_scores(VECTORS)
    found = _search(folder)
    assert sorted(found) == sorted(f"d{n}" for n in range(CALIBRATION, CALIBRATION + 20))
    assert found == pytest.approx({key: expected[key] for key in found}, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "precision"),
    [("hnsw", "float32"), ("hnsw", "float16"), ("hnsw", "int8"), ("hnswlib", "float32")],
)
def test_graphs_never_find_what_was_deleted_and_all_that_is_wanted(
    tmp_path, monkeypatch, kind, precision
) -> None:
    # Otherwise so few vectors would be scanned, and no graph walked.
    monkeypatch.setattr(dense_kinds, "STEP_COST", 0.01)
    folder = _new_index(tmp_path / "index", kind=kind, precision=precision)
    _add(folder, range(150), each_commit=50)
    files = {path.name for path in (folder / "segments").glob("*/*")}
    assert {"hnsw": "dense.hnsw.faiss", "hnswlib": "dense.hnswlib"}[kind] in files
    exact = _int8_scores(range(150)) if precision == "int8" else _float_scores(VECTORS)
    deleted = 0
    for upto, merged in ((0, False), (40, False), (40, True), (145, False), (145, True)):
        _delete(folder, range(deleted, upto))
        deleted = upto
        if merged:
            compact(folder)
        alive = {f"d{n}": exact[f"d{n}"] for n in range(deleted, 150)}
        for depth in (1, 7, 60, 1_000):
            found = _search(folder, depth)
            assert len(found) == min(depth, len(alive))
            assert set(found) <= set(alive)
            assert list(found.values()) == sorted(found.values(), reverse=True)
            assert found == pytest.approx({key: alive[key] for key in found}, abs=5e-3)
        best = sorted(alive, key=lambda doc_id: -alive[doc_id])[:10]
        assert len(set(best) & set(_search(folder, 10))) >= min(9, len(alive))


def test_a_graph_is_made_again_for_a_merged_segment(tmp_path) -> None:
    folder = _new_index(tmp_path / "index", kind="hnsw")
    _add(folder, range(60), each_commit=20)
    with IndexReader(folder) as reader:
        assert [live.segment.dense.exact for live in reader.snapshot.segments] == [True] * 3
    compact(folder)
    with IndexReader(folder) as reader:
        (live,) = reader.snapshot.segments
        assert not live.segment.dense.exact
        assert live.segment.dense.vectors.decode().tolist() == VECTORS[:60].tolist()

"""Stored vectors: coded as FAISS codes them, gathered without change, mapped and scanned."""

from __future__ import annotations

import gc
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search_engine.config import DenseConfig, Precision
from search_engine.errors import ConfigError
from search_engine.index.dense import dense_kinds as dense_kinds_module
from search_engine.index.dense.dense_kinds import dense_kinds, graph_width
from search_engine.index.dense.metric import Metric, metric_of, similarity_scores
from search_engine.index.dense.vector_storage import (
    StoredVectors,
    VectorStorage,
    encode_vectors,
    gather_vectors,
    write_vectors,
)
from search_engine.quantization import calibrate

METRICS: tuple[Metric, ...] = ("ip", "l2")
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8")
by_metric = pytest.mark.parametrize("metric", METRICS)
by_precision = pytest.mark.parametrize("precision", PRECISIONS)


def _vectors(count: int, dimension: int = 16, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def _encode(
    vectors: NDArray[np.float32], precision: Precision, metric: Metric = "ip"
) -> StoredVectors:
    ranges = calibrate(_vectors(100, vectors.shape[1], seed=9)) if precision == "int8" else None
    return encode_vectors(vectors, precision=precision, metric=metric, ranges=ranges)


def _open(path: Path, stored: StoredVectors) -> VectorStorage:
    write_vectors(path, stored)
    return VectorStorage(path)


@by_metric
@by_precision
@pytest.mark.parametrize("dimension", [5, 16, 384])
def test_the_file_is_the_one_that_faiss_writes(
    metric: Metric, precision: Precision, dimension: int, tmp_path: Path
) -> None:
    # Multiples of 2^-6 below 16 have a float16 of their own: builds of FAISS differ in how they
    # round what lies exactly between two.
    vectors = np.round(_vectors(60, dimension) * 64) / np.float32(64)
    if precision == "float32":
        theirs = (faiss.IndexFlatIP if metric == "ip" else faiss.IndexFlatL2)(dimension)
    else:
        quantizer = faiss.ScalarQuantizer
        coding = quantizer.QT_fp16 if precision == "float16" else quantizer.QT_8bit
        measure = faiss.METRIC_INNER_PRODUCT if metric == "ip" else faiss.METRIC_L2
        theirs = faiss.IndexScalarQuantizer(dimension, coding, measure)
        theirs.train(_vectors(100, dimension, seed=9))
    theirs.add(vectors)
    faiss.write_index(theirs, str(tmp_path / "theirs"))
    write_vectors(tmp_path / "ours", _encode(vectors, precision, metric))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@by_metric
@by_precision
@pytest.mark.parametrize("count", [0, 1, 50])
def test_what_was_written_is_read(
    metric: Metric, precision: Precision, count: int, tmp_path: Path
) -> None:
    stored = _encode(_vectors(count), precision, metric)
    read = _open(tmp_path / "vectors", stored).vectors
    assert (read.precision, read.metric, read.dimension) == (precision, metric, 16)
    assert len(read) == count
    assert np.array_equal(read.codes, stored.codes)
    assert np.array_equal(read.decode(), stored.decode())
    picked = np.arange(count)[::-2]
    assert np.array_equal(read.decode(picked), stored.decode()[picked])


def test_a_view_outlives_its_storage_and_its_file(tmp_path: Path) -> None:
    vectors = _vectors(2_000)
    read = _open(tmp_path / "vectors", _encode(vectors, "float32")).vectors
    (tmp_path / "vectors").unlink()
    gc.collect()
    assert np.array_equal(read.decode(), vectors)
    with pytest.raises(ValueError, match="read-only"):
        read.codes[0, 0] = 1


@by_precision
def test_codes_are_mapped_from_the_file(precision: Precision, tmp_path: Path) -> None:
    path = tmp_path / "vectors"
    read = _open(path, _encode(_vectors(500), precision)).vectors
    address = read.codes.__array_interface__["data"][0]
    areas = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    bounds = [[int(end, 16) for end in area[0].split("-")] for area in areas if str(path) in area]
    assert any(low <= address < high for low, high in bounds)


@st.composite
def parts_and_picks(draw: st.DrawFn) -> tuple[list[NDArray[np.float32]], NDArray[np.int64]]:
    counts = draw(st.lists(st.integers(0, 8), min_size=1, max_size=4))
    parts = [_vectors(count, 3, seed=number) for number, count in enumerate(counts)]
    rows = st.integers(0, max(sum(counts) - 1, 0))
    picked = draw(st.lists(rows, max_size=20 if sum(counts) else 0))
    return parts, np.array(picked, np.int64)


@by_precision
@given(parts_and_picks())
@settings(max_examples=50)
def test_gathering_is_encoding_the_gathered(precision: Precision, given_) -> None:
    parts, picked = given_
    whole = _encode(np.concatenate(parts)[picked], precision)
    for source in ("float32", precision):
        stored = [_encode(part, source) for part in parts]
        gathered = gather_vectors(stored, picked, precision=precision, ranges=whole.ranges)
        assert np.array_equal(gathered.codes, whole.codes)
        assert (gathered.precision, gathered.dimension, gathered.metric) == (precision, 3, "ip")
        assert np.array_equal(gathered.decode(), whole.decode())


def test_codes_of_other_ranges_are_coded_anew(tmp_path: Path) -> None:
    old = encode_vectors(
        _vectors(30), precision="int8", metric="l2", ranges=calibrate(_vectors(30))
    )
    new = _encode(_vectors(20, seed=1), "int8", "l2")
    gathered = gather_vectors([old, new], np.arange(50), precision="int8", ranges=new.ranges)
    again = encode_vectors(old.decode(), precision="int8", metric="l2", ranges=new.ranges)
    assert np.array_equal(gathered.codes, np.concatenate([again.codes, new.codes]))
    assert not np.array_equal(again.codes, old.codes)
    # Ranges that went through a file are the same ranges, whatever the last bit of the maximum.
    read = _open(tmp_path / "vectors", new).vectors
    kept = gather_vectors([read], np.arange(20), precision="int8", ranges=new.ranges)
    assert np.array_equal(kept.codes, new.codes)


@by_metric
@by_precision
@pytest.mark.parametrize("allowed_count", [0, 1, 4, 5, 300, 1_000])
def test_scans_find_what_brute_force_finds(
    metric: Metric, precision: Precision, allowed_count: int, tmp_path: Path
) -> None:
    storage = _open(tmp_path / "vectors", _encode(_vectors(1_000), precision, metric))
    rng = np.random.default_rng(5)
    allowed = np.zeros(1_000, np.bool_)
    allowed[rng.permutation(1_000)[:allowed_count]] = True
    exact = storage.vectors.decode().astype(np.float64)
    for query in _vectors(5, seed=6):
        oracle = exact @ query if metric == "ip" else -np.square(exact - query).sum(axis=1)
        ordinals, scores = storage.scan(query, 10, allowed=allowed)
        best = np.flatnonzero(allowed)[np.argsort(-oracle[allowed])][:18]
        assert ordinals.tolist() == best.tolist()
        assert (np.abs(scores - oracle[best]) <= storage.score_error(query)).all()


def test_threads_of_faiss_are_left_as_they_were(tmp_path: Path) -> None:
    storage = _open(tmp_path / "vectors", _encode(_vectors(10), "float32"))
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(7)
    try:
        storage.scan(_vectors(1)[0], 3, allowed=None)
        storage.scan_above(_vectors(1)[0], 0.0, allowed=None)
        assert faiss.omp_get_max_threads() == 7
    finally:
        faiss.omp_set_num_threads(before)


def test_what_cannot_be_stored_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"70000.*float16 ends at 65504"):
        _encode(np.full((1, 4), 70_000, np.float32), "float16")
    with pytest.raises(ValueError, match="8-bit codes need the ranges"):
        encode_vectors(_vectors(2), precision="int8", metric="ip", ranges=None)


def test_another_kind_of_index_is_refused(tmp_path: Path) -> None:
    index = faiss.IndexScalarQuantizer(4, faiss.ScalarQuantizer.QT_4bit_uniform)
    index.train(_vectors(10, 4))
    for other in (index, faiss.IndexHNSWFlat(4, 8)):
        faiss.write_index(other, str(tmp_path / "vectors"))
        with pytest.raises(ValueError, match=type(other).__name__):
            VectorStorage(tmp_path / "vectors")


@pytest.mark.parametrize("kind", ["hnsw", "hnswlib"])
def test_a_graph_of_other_vectors_is_refused(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dense_kinds_module, "GRAPH_MINIMUM", 10)
    config = DenseConfig(kind=kind)
    dense_kinds.get(kind).write(tmp_path, _encode(_vectors(20), "float32"), config)
    write_vectors(tmp_path / "dense.faiss", _encode(_vectors(21), "float32"))
    with pytest.raises(ValueError, match="not a graph of 21 vectors"):
        dense_kinds.get(kind)(tmp_path, config)


@pytest.mark.parametrize("kind", dense_kinds.names())
def test_a_file_that_was_cut_off_is_refused(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dense_kinds_module, "GRAPH_MINIMUM", 10)
    config = DenseConfig(kind=kind)
    dense_kinds.get(kind).write(tmp_path, _encode(_vectors(50), "float32"), config)
    written = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(written) == (1 if kind == "flat" else 2)
    for path, content in written.items():
        for length in (0, 10, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:length])
            with pytest.raises((OSError, ValueError, RuntimeError, EOFError)):
                dense_kinds.get(kind)(tmp_path, config)
        path.write_bytes(content)


def test_a_graph_is_left_where_scanning_costs_less() -> None:
    assert graph_width(128, 18, allowed=200_000, total=200_000) == 128
    assert graph_width(128, 300, allowed=200_000, total=200_000) == 300
    assert graph_width(128, 18, allowed=100_000, total=200_000) == 256
    assert graph_width(128, 18, allowed=20_000, total=200_000) is None
    assert graph_width(128, 18, allowed=6_400, total=6_400) is None
    assert graph_width(128, 18, allowed=0, total=200_000) is None


def test_similarities_of_scores() -> None:
    scores = np.array([0, -0.25, -9], np.float32)
    assert str(similarity_scores(scores, "euclidean").tolist()) == "[0.0, -0.5, -3.0]"
    assert similarity_scores(scores, "cosine") is scores
    assert [metric_of(name) for name in ("cosine", "dot", "euclidean")] == ["ip", "ip", "l2"]

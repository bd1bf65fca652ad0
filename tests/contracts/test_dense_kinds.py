"""What every dense kind promises, for each similarity and precision that it accepts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search_engine.config import DenseConfig, Precision
from search_engine.errors import ConfigError
from search_engine.index.dense import dense_kinds as dense_kinds_module
from search_engine.index.dense.dense_kinds import DenseIndex, dense_kinds
from search_engine.index.dense.metric import metric_of, prepare_vectors
from search_engine.index.dense.vector_storage import VectorStorage, encode_vectors
from search_engine.quantization import calibrate

PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8")
Mask = NDArray[np.bool_] | None


@dataclass(frozen=True)
class Case:
    """A kind with a similarity and a precision that it serves."""

    config: DenseConfig
    similarity: str

    def __str__(self) -> str:
        return f"{self.config.kind}-{self.similarity}-{self.config.precision}"

    def index(self, folder: Path, vectors: NDArray[np.float32]) -> DenseIndex:
        """Written and opened."""
        prepared = prepare_vectors(vectors, self.similarity)
        bounds = np.concatenate([prepared, np.full((2, vectors.shape[1]), 0.5, np.float32)])
        stored = encode_vectors(
            prepared,
            precision=self.config.precision,
            metric=metric_of(self.similarity),
            ranges=calibrate(bounds) if self.config.precision == "int8" else None,
        )
        kind = dense_kinds.get(self.config.kind)
        kind.write(folder, stored, self.config)
        return kind(folder, self.config)


def _cases() -> list[Case]:
    cases = []
    for kind in dense_kinds.names():
        for similarity in ("cosine", "dot", "euclidean"):
            for precision in PRECISIONS:
                config = DenseConfig(kind=kind, precision=precision)
                try:
                    dense_kinds.get(kind).check(config, similarity)
                except ConfigError:
                    continue
                cases.append(Case(config, similarity))
    return cases


CASES = _cases()
GRAPHS = [case for case in CASES if case.config.kind != "flat"]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_graph = pytest.mark.parametrize("case", GRAPHS, ids=str)


def _oracle(index: DenseIndex, query: NDArray[np.float32]) -> NDArray[np.float64]:
    """The score of every stored vector."""
    vectors, exact = index.vectors.decode().astype(np.float64), query.astype(np.float64)
    if index.vectors.metric == "ip":
        return vectors @ exact
    return -np.square(vectors - exact).sum(axis=1)


def _check_scores(index: DenseIndex, query: NDArray[np.float32], depth: int, allowed: Mask) -> None:
    """Enough allowed vectors are found, once each, best first, with the right scores."""
    ordinals, scores = index.search(query, depth, allowed=allowed)
    mask = np.ones(len(index.vectors), np.bool_) if allowed is None else allowed
    assert min(depth, mask.sum()) <= len(ordinals) == len(set(ordinals.tolist()))
    assert ordinals.dtype == np.int64
    assert scores.dtype == np.float32
    assert mask[ordinals].all()
    assert (np.diff(scores) <= 0).all()
    error = index.score_error(query)
    alone = index.rescore(query, ordinals)
    assert (np.abs(scores - alone) <= error).all()
    assert (np.abs(alone - _oracle(index, query)[ordinals]) <= error).all()


def _check_exact(index: DenseIndex, query: NDArray[np.float32], depth: int, allowed: Mask) -> None:
    """Nothing better was missed, either by search or by search_above."""
    _check_scores(index, query, depth, allowed)
    oracle, error = _oracle(index, query), index.score_error(query)
    mask = np.ones(len(oracle), np.bool_) if allowed is None else allowed
    ordinals, _ = index.search(query, depth, allowed=allowed)
    best = np.sort(oracle[mask])[::-1][: len(ordinals)]
    assert (np.abs(oracle[ordinals] - best) <= 2 * error).all()
    for threshold in oracle[ordinals][:: max(1, len(ordinals) // 3)]:
        above = index.search_above(query, float(threshold) - 2 * error, allowed=allowed)
        must = np.flatnonzero(mask & (oracle >= threshold))
        may = np.flatnonzero(mask & (oracle >= threshold - 5 * error))
        assert set(must.tolist()) <= set(above.tolist()) <= set(may.tolist())
        assert len(above) == len(set(above.tolist()))


@st.composite
def situations(
    draw: st.DrawFn,
) -> tuple[NDArray[np.float32], NDArray[np.float32], int, Mask]:
    """Vectors of any length, with duplicates and zeros; a query, a depth and a mask."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, dimension = draw(st.integers(0, 40)), draw(st.sampled_from([1, 3, 8, 33]))
    vectors = rng.normal(size=(count, dimension)) * 10.0 ** rng.uniform(-2, 2, (count, 1))
    vectors = vectors[rng.integers(0, max(count, 1), count)]
    vectors[rng.random(count) < draw(st.sampled_from([0, 0.3]))] = 0
    query = rng.normal(size=dimension) * draw(st.sampled_from([0, 0.1, 1, 30]))
    share = draw(st.sampled_from([None, 0, 0.1, 0.5, 1]))
    allowed = None if share is None else rng.random(count) < share
    depth = draw(st.integers(1, 60))
    return vectors.astype(np.float32), query.astype(np.float32), depth, allowed


@every_case
@given(situation=situations())
@settings(max_examples=25, deadline=None)
def test_few_vectors_are_searched_exactly(case: Case, situation) -> None:
    vectors, query, depth, allowed = situation
    with tempfile.TemporaryDirectory() as folder:
        index = case.index(Path(folder), vectors)
        assert index.exact
        assert len(index.vectors) == len(vectors)
        _check_exact(index, query, depth, allowed)


@every_case
def test_vectors_are_what_was_written_within_their_precision(case: Case, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    vectors = (rng.normal(size=(50, 12)) * rng.uniform(1, 5, (50, 1))).astype(np.float32)
    vectors[7] = 0
    prepared = prepare_vectors(vectors, case.similarity)
    stored = case.index(tmp_path, vectors).vectors
    assert (stored.precision, stored.dimension) == (case.config.precision, 12)
    assert stored.metric == ("l2" if case.similarity == "euclidean" else "ip")
    error = np.abs(stored.decode().astype(np.float64) - prepared)
    if case.config.precision == "float32":
        assert (error == 0).all()
    elif case.config.precision == "float16":
        assert (error <= np.abs(prepared) * 2.0**-11 + 2.0**-25).all()
    else:
        width = np.maximum(prepared.max(axis=0), 0.5) - np.minimum(prepared.min(axis=0), 0.5)
        assert (error <= width / 255 * 0.5 * (1 + 1e-3)).all()


@every_case
def test_a_score_does_not_depend_on_its_neighbours(case: Case, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    index = case.index(tmp_path, rng.normal(size=(300, 33)).astype(np.float32))
    query = rng.normal(size=33).astype(np.float32)
    together = index.rescore(query, np.arange(300))
    for ordinal in range(0, 300, 17):
        assert index.rescore(query, np.array([ordinal]))[0] == together[ordinal]
        some = np.array([ordinal, 299, ordinal])
        assert index.rescore(query, some)[2] == together[ordinal]


@every_case
def test_all_that_tie_are_above_their_score(case: Case, tmp_path: Path) -> None:
    vectors = np.zeros((40, 4), np.float32)
    vectors[::2, 0] = 1
    vectors[1::2, 1] = 1
    index = case.index(tmp_path, vectors)
    query = np.array([1, 0, 0, 0], np.float32)
    tied = float(index.rescore(query, np.array([0]))[0])
    error = index.score_error(query)
    above = index.search_above(query, tied - 2 * error, allowed=None)
    assert sorted(above.tolist()) == list(range(0, 40, 2))
    allowed = np.arange(40) < 10
    above = index.search_above(query, tied - 2 * error, allowed=allowed)
    assert sorted(above.tolist()) == [0, 2, 4, 6, 8]


@pytest.fixture
def small_graphs(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Graphs are built of few vectors, and always searched; the result forbids scans."""
    monkeypatch.setattr(dense_kinds_module, "GRAPH_MINIMUM", 10)
    monkeypatch.setattr(dense_kinds_module, "STEP_COST", 0)

    def forbid_scans() -> None:
        def scan(*_: object, **__: object) -> None:
            raise AssertionError("the graph was not asked")

        monkeypatch.setattr(VectorStorage, "scan", scan)

    return forbid_scans


@every_case
@pytest.mark.parametrize("count", [0, 1, 60])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_query_that_is_not_finite_finds_nothing(
    case: Case,
    count: int,
    value: float,
    small_graphs: Callable[[], None],
    tmp_path: Path,
) -> None:
    vectors = np.random.default_rng(6).normal(size=(count, 4)).astype(np.float32)
    index = case.index(tmp_path, vectors)
    query = np.array([1, value, 0, 0], np.float32)
    for allowed in (None, np.arange(count) < 20):
        ordinals, scores = index.search(query, 5, allowed=allowed)
        assert len(ordinals) == len(scores) == 0


@every_graph
def test_a_graph_finds_nearly_everything(
    case: Case, small_graphs: Callable[[], None], tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    vectors = (rng.normal(size=(2_000, 24)) * rng.uniform(1, 5, (2_000, 1))).astype(np.float32)
    index = case.index(tmp_path, vectors)
    assert not index.exact
    small_graphs()
    for allowed in (None, *(rng.random(2_000) < share for share in (0.9, 0.5, 0.2))):
        mask = np.ones(2_000, np.bool_) if allowed is None else allowed
        found = 0
        for query in rng.normal(size=(30, 24)).astype(np.float32):
            _check_scores(index, query, 10, allowed)
            ordinals, _ = index.search(query, 10, allowed=allowed)
            oracle = _oracle(index, query)
            best = np.sort(oracle[mask])[-10]
            found += (oracle[ordinals[:10]] >= best - index.score_error(query)).sum()
        assert found >= 0.95 * 300


@every_graph
def test_what_a_graph_does_not_find_is_scanned(
    case: Case, small_graphs: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index = case.index(tmp_path, np.random.default_rng(5).normal(size=(400, 4)).astype(np.float32))
    # So narrow a search does not come by the few that are allowed.
    monkeypatch.setattr(dense_kinds_module, "graph_width", lambda *_, **__: 1)
    allowed = np.arange(400) % 80 == 7
    for query in np.eye(4, dtype=np.float32):
        _check_exact(index, query, 5, allowed)


@every_graph
@given(situation=situations())
@settings(max_examples=25, deadline=None)
def test_a_graph_gives_as_many_as_wanted(case: Case, situation) -> None:
    vectors, query, depth, allowed = situation
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(dense_kinds_module, "GRAPH_MINIMUM", 10)
        patched.setattr(dense_kinds_module, "STEP_COST", 0)
        index = case.index(Path(folder), vectors)
        assert index.exact == (len(vectors) < 10)
        _check_scores(index, query, depth, allowed)


@every_graph
def test_threads_search_a_graph_side_by_side(
    case: Case, small_graphs: Callable[[], None], tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)
    index = case.index(tmp_path, rng.normal(size=(400, 16)).astype(np.float32))
    queries = rng.normal(size=(60, 16)).astype(np.float32)
    masks = [None, rng.random(400) < 0.5, rng.random(400) < 0.05]

    def answer(number: int) -> list[int]:
        found, _ = index.search(queries[number], 5 + number, allowed=masks[number % 3])
        return found.tolist()

    alone = [answer(number) for number in range(60)]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            assert list(threads.map(answer, range(60))) == alone


@pytest.mark.parametrize("kind", dense_kinds.names())
def test_a_similarity_that_is_no_metric_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"'manhattan'.*cosine, dot, euclidean"):
        dense_kinds.get(kind).check(DenseConfig(kind=kind), "manhattan")


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_hnswlib_refuses_a_precision_that_it_does_not_have(precision: Precision) -> None:
    config = DenseConfig(kind="hnswlib", precision=precision)
    with pytest.raises(ConfigError, match=f"float32.*{precision}.*'hnsw'"):
        dense_kinds.get("hnswlib").check(config, "cosine")

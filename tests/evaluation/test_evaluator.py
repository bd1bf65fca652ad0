"""Stages scored as documents, with an engine whose lists are written out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from search_engine.errors import DatasetError
from search_engine.evaluation.datasets import RetrievalDataset
from search_engine.evaluation.evaluator import EvaluationReport, evaluate
from search_engine.evaluation.run_file import read_run, write_run
from search_engine.evaluation.significance import confidence_interval
from search_engine.query_path import StageHits
from search_engine.search import SearchEngine
from search_engine.types import Document, Hits


@dataclass
class ListedEngine:
    """Gives the lists it was given; fuses by the sum of 1 / rank; reranks by reversing a head.

    Attributes:
        legs: leg -> query -> chunk ids, best first.
        documents: chunk id -> doc_id.
        own_depth: what each leg gives when no depth is asked for.
        read: how many fused candidates are reranked; 0 is off.
    """

    legs: Mapping[str, Mapping[str, list[int]]]
    documents: Mapping[int, str]
    own_depth: int = 100
    read: int = 0
    asked: list[tuple[str, int | None, bool]] = field(default_factory=list)

    def retrieve(self, query: str, *, depth: int | None = None, rerank: bool = True) -> StageHits:
        self.asked.append((query, depth, rerank))
        if not query:
            return StageHits({}, Hits.empty(), None, {"fuse": 1.0})
        legs = {
            name: to_hits(lists[query][: depth or self.own_depth])
            for name, lists in self.legs.items()
        }
        sums: dict[int, float] = {}
        for hits in legs.values():
            for rank, chunk in enumerate(hits.chunk_ids.tolist(), start=1):
                sums[chunk] = sums.get(chunk, 0.0) + 1 / rank
        fused = Hits.ranked(
            np.array(list(sums), np.int64), np.array(list(sums.values()), np.float32), len(sums)
        )
        reranked = None
        if self.read and rerank:
            head, tail = fused.chunk_ids[: self.read], fused.chunk_ids[self.read :]
            reranked = to_hits([*head[::-1].tolist(), *tail.tolist()])
        elapsed = float(len(self.asked))
        return StageHits(legs, fused, reranked, {"encode": elapsed, "fuse": 2 * elapsed})

    def doc_ids(self, chunk_ids: NDArray[np.int64]) -> list[str]:
        return [self.documents[chunk] for chunk in chunk_ids.tolist()]


def to_hits(chunks: list[int]) -> Hits:
    scores = np.linspace(1.0, 0.5, len(chunks), dtype=np.float32)
    return Hits(np.array(chunks, np.int64), scores)


def to_dataset(
    queries: dict[str, str], qrels: dict[str, dict[str, int]], split: str = "test"
) -> RetrievalDataset:
    return RetrievalDataset("tiny", split, queries, qrels, lambda: iter(list[Document]()))


def run_on(engine: ListedEngine, dataset: RetrievalDataset, depth: int = 100) -> EvaluationReport:
    return evaluate(cast(SearchEngine, engine), dataset, depth=depth)


def doc_ids(report: EvaluationReport, stage: str, query_id: str) -> list[str]:
    return [doc_id for doc_id, _ in report.runs[stage][query_id]]


def test_stages_are_scored_by_the_best_chunk_of_each_document() -> None:
    engine = ListedEngine(
        legs={
            "dense": {"one": [1, 2, 3, 4], "two": [5, 6]},
            "bm25": {"one": [4, 1], "two": [5]},
        },
        documents={1: "a", 2: "a", 3: "b", 4: "c", 5: "b", 6: "c"},
        read=2,
    )
    dataset = to_dataset({"q1": "one", "q2": "two"}, {"q1": {"b": 1, "c": 2}, "q2": {"c": 1}})
    report = run_on(engine, dataset)

    assert doc_ids(report, "dense", "q1") == ["a", "b", "c"]
    assert doc_ids(report, "bm25", "q1") == ["c", "a"]
    # 1/rank: chunk 1 has 1 + 1/2, chunk 4 has 1/4 + 1, chunk 2 has 1/2, chunk 3 has 1/3.
    assert doc_ids(report, "fused", "q1") == ["a", "c", "b"]
    assert doc_ids(report, "reranked", "q1") == ["c", "a", "b"]
    assert list(report.stages) == ["dense", "bm25", "fused", "reranked"]
    assert report.queries == 2

    ideal = 2 + 1 / math.log2(3)
    dense = report.stages["dense"]
    expected = [(1 / math.log2(3) + 2 / math.log2(4)) / ideal, 1 / math.log2(3)]
    assert dense.per_query["ndcg@10"].tolist() == pytest.approx(expected)
    assert dense.metrics["ndcg@10"] == pytest.approx(np.mean(expected))
    assert dense.metrics["mrr@10"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert dense.metrics["recall@100"] == 1.0
    assert dense.intervals["ndcg@10"] == confidence_interval(dense.per_query["ndcg@10"])
    assert report.stages["bm25"].metrics["recall@100"] == pytest.approx((1 / 2 + 0) / 2)
    reranked = [(2 + 1 / math.log2(4)) / ideal, 1.0]
    assert report.stages["reranked"].per_query["ndcg@10"].tolist() == pytest.approx(reranked)


def test_a_leg_with_more_chunks_is_asked_deeper_until_the_documents_are_there() -> None:
    # Fifty chunks for each document: 100 chunks are 2 documents, and 10 documents take 500.
    chunks = list(range(1_000))
    engine = ListedEngine(
        legs={"dense": {"one": chunks}, "bm25": {"one": [999, 0]}},
        documents={chunk: f"d{chunk // 50}" for chunk in chunks},
        read=3,
    )
    report = run_on(engine, to_dataset({"q": "one"}, {"q": {"d9": 1}}), depth=10)
    assert doc_ids(report, "dense", "q") == [f"d{number}" for number in range(10)]
    # BM25 gave fewer than the dense leg: it has no more, and is not why anything is asked again.
    assert doc_ids(report, "bm25", "q") == ["d19", "d0"]
    # Fused at the engine's own depth: chunk 0 has 1 + 1/2, then 999 has 1, then 1 has 1/2.
    assert doc_ids(report, "fused", "q") == ["d0", "d19", *[f"d{number}" for number in range(1, 9)]]
    assert doc_ids(report, "reranked", "q")[:3] == ["d0", "d19", "d1"]
    assert engine.asked == [("one", None, True), ("one", 400, False), ("one", 1_600, False)]
    assert report.stages["dense"].metrics["recall@100"] == 1.0
    # A user waits for the first time only.
    assert dict(report.timings_ms) == {"encode": 1.0, "fuse": 2.0}


def test_nothing_is_asked_twice_where_the_first_time_is_enough() -> None:
    engine = ListedEngine(
        legs={"dense": {"one": list(range(100))}, "bm25": {"one": [3, 4]}},
        documents={chunk: f"d{chunk}" for chunk in range(100)},
    )
    report = run_on(engine, to_dataset({"q": "one"}, {"q": {"d99": 1}}))
    assert engine.asked == [("one", None, True)]
    assert report.stages["dense"].metrics["recall@100"] == 1.0
    assert "reranked" not in report.stages


def test_a_small_corpus_ends_the_deepening() -> None:
    engine = ListedEngine(legs={"bm25": {"one": [0, 1], "two": []}}, documents={0: "a", 1: "a"})
    report = run_on(engine, to_dataset({"q": "one", "p": "two"}, {"q": {"a": 1}, "p": {"a": 1}}))
    assert doc_ids(report, "bm25", "q") == ["a"]
    assert doc_ids(report, "bm25", "p") == []
    assert report.stages["bm25"].per_query["mrr@10"].tolist() == [0.0, 1.0]


def test_rankings_stop_at_depth_and_their_scores_never_rise(tmp_path: Path) -> None:
    chunks = list(range(600))
    engine = ListedEngine(
        legs={"dense": {"one": chunks}, "bm25": {"one": chunks[::-1]}},
        documents={chunk: f"d{chunk // 3}" for chunk in chunks},
        own_depth=6,
        read=4,
    )
    report = run_on(engine, to_dataset({"q": "one"}, {"q": {"d0": 1}}), depth=20)
    for stage, run in report.runs.items():
        scores = [score for _, score in run["q"]]
        assert len(scores) == 20
        assert len({doc_id for doc_id, _ in run["q"]}) == 20
        assert scores == sorted(scores, reverse=True)
        path = tmp_path / f"{stage}.run"
        write_run(path, run, tag=stage)
        assert [doc for doc, _ in read_run(path)["q"]] == doc_ids(report, stage, "q")


def test_an_empty_query_counts_and_finds_nothing() -> None:
    engine = ListedEngine(legs={"dense": {"one": [0]}}, documents={0: "a"})
    dataset = to_dataset({"p": "", "q": "one"}, {"p": {"a": 1}, "q": {"a": 1}})
    report = run_on(engine, dataset)
    assert list(report.stages) == ["dense", "fused"]
    for stage in report.stages.values():
        assert stage.per_query["mrr@10"].tolist() == [0.0, 1.0]


def test_timings_are_medians_over_queries_and_every_query_is_announced() -> None:
    engine = ListedEngine(
        legs={"dense": {name: list(range(100)) for name in "abc"}},
        documents={chunk: f"d{chunk}" for chunk in range(100)},
    )
    dataset = to_dataset({name: name for name in "abc"}, {name: {"d0": 1} for name in "abc"})
    announced: list[int] = []
    report = evaluate(
        cast(SearchEngine, engine), dataset, on_query=lambda: announced.append(len(engine.asked))
    )
    assert announced == [1, 2, 3]
    assert dict(report.timings_ms) == {"encode": 2.0, "fuse": 4.0}


def test_json_has_the_documented_form() -> None:
    engine = ListedEngine(legs={"bm25": {"one": [0]}}, documents={0: "a"})
    report = run_on(engine, to_dataset({"q": "one"}, {"q": {"a": 1}}, split="dev"))
    perfect = {
        "ndcg@10": 1.0,
        "mrr@10": 1.0,
        "recall@100": 1.0,
        "ndcg@10_interval": [1.0, 1.0],
        "mrr@10_interval": [1.0, 1.0],
        "recall@100_interval": [1.0, 1.0],
    }
    assert json.loads(json.dumps(report.to_json())) == {
        "dataset": "tiny",
        "split": "dev",
        "queries": 1,
        "stages": {"bm25": perfect, "fused": perfect},
        "timings_ms": {"encode": 1.0, "fuse": 2.0},
    }


def test_a_dataset_without_queries_is_an_error() -> None:
    engine = ListedEngine(legs={}, documents={})
    with pytest.raises(DatasetError, match="tiny, split test: there are no queries"):
        run_on(engine, to_dataset({}, {}))

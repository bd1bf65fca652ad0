"""A search engine, measured stage by stage on a test collection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import DatasetError
from search_engine.evaluation.metrics import score_run
from search_engine.evaluation.retrieval_dataset import RetrievalDataset
from search_engine.evaluation.run_file import Run
from search_engine.evaluation.significance import confidence_interval
from search_engine.types import Hits

if TYPE_CHECKING:
    from search_engine.search import SearchEngine

_DEEPER = 4


@dataclass(frozen=True, slots=True)
class StageReport:
    """How good the ranking of one stage is.

    Attributes:
        metrics: mean over queries, by the names of `metrics.METRICS`.
        intervals: 95 % bootstrap interval of each mean.
        per_query: float64 [queries], in ascending order of query ids: what a paired test needs.
    """

    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    per_query: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What an evaluation found.

    Attributes:
        queries: how many were asked.
        stages: the legs by their names, then "fused", then "reranked"; one that is off is absent.
        timings_ms: median wall time of each stage in milliseconds per query, as a user waits.
        runs: the documents that each stage ranked, with scores, by the names of `stages`.
    """

    dataset: str
    split: str
    queries: int
    stages: Mapping[str, StageReport]
    timings_ms: Mapping[str, float]
    runs: Mapping[str, Run]

    def to_json(self) -> dict[str, Any]:
        """What `search-cli evaluate --json` prints; intervals as "METRIC_interval": [low, high]."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "queries": self.queries,
            "stages": {
                name: {
                    **stage.metrics,
                    **{f"{key}_interval": list(ends) for key, ends in stage.intervals.items()},
                }
                for name, stage in self.stages.items()
            },
            "timings_ms": dict(self.timings_ms),
        }


def evaluate(
    engine: SearchEngine,
    dataset: RetrievalDataset,
    *,
    depth: int = 100,
    on_query: Callable[[], None] | None = None,
) -> EvaluationReport:
    """Ask every query of the dataset and score what each stage ranked.

    A document stands where its best chunk stands. Each query is asked at the engine's own depth,
    as a user asks it. Where the chunks of a leg make fewer than `depth` documents and it may have
    more, the query is asked again, deeper, to fill the ranking below what the user sees; the
    timings are those of the first time.

    Args:
        engine: open on an index of the dataset's documents, under their ids.
        depth: documents in each ranking.
        on_query: called after each query.

    Raises:
        DatasetError: the dataset has no queries.
    """
    if not dataset.queries:
        raise DatasetError(f"{dataset.name}, split {dataset.split}: there are no queries to ask")
    runs: defaultdict[str, dict[str, list[tuple[str, float]]]] = defaultdict(dict)
    timings: defaultdict[str, list[float]] = defaultdict(list)
    for query_id, query in dataset.queries.items():
        rankings, timings_ms = _rank_documents(engine, query, depth)
        for stage, ranking in rankings.items():
            runs[stage][query_id] = list(ranking.items())[:depth]
        for stage, elapsed in timings_ms.items():
            timings[stage].append(elapsed)
        if on_query is not None:
            on_query()
    return EvaluationReport(
        dataset=dataset.name,
        split=dataset.split,
        queries=len(dataset.queries),
        stages={stage: _report_stage(dataset, runs[stage]) for stage in _order_stages(runs)},
        timings_ms={stage: float(np.median(elapsed)) for stage, elapsed in timings.items()},
        runs={stage: runs[stage] for stage in _order_stages(runs)},
    )


def _rank_documents(
    engine: SearchEngine, query: str, depth: int
) -> tuple[dict[str, dict[str, float]], Mapping[str, float]]:
    """stage -> doc_id -> score, best first, and the wall time of each stage."""
    hits = engine.retrieve(query)
    rankings: dict[str, dict[str, float]] = {}
    stages = {**hits.legs, "fused": hits.fused}
    if hits.reranked is not None:
        stages["reranked"] = hits.reranked
    for stage, found in stages.items():
        _append(rankings.setdefault(stage, {}), engine, found)
    legs = hits.legs
    # A leg that gave fewer chunks than were asked of it (than another leg gave) has no more.
    asked = max(map(len, legs.values()), default=0)
    while any(len(leg) >= asked and len(rankings[name]) < depth for name, leg in legs.items()):
        asked = _DEEPER * max(asked, depth)
        # Deeper candidates change what fusion makes of the first ones, and would not be what the
        # user sees; so they only fill up below.
        deeper = engine.retrieve(query, depth=asked, rerank=False)
        legs = deeper.legs
        for stage, ranking in rankings.items():
            _append(ranking, engine, legs.get(stage, deeper.fused))
    return rankings, hits.timings_ms


def _append(ranking: dict[str, float], engine: SearchEngine, hits: Hits) -> None:
    """Add the documents that the ranking lacks, each where its best chunk stands among the hits.

    Their scores are moved down as far as keeps the ranking's scores from rising.
    """
    lowest = next(reversed(ranking.values()), None)
    shift: float | None = None
    for doc_id, score in zip(engine.doc_ids(hits.chunk_ids), hits.scores.tolist(), strict=True):
        if doc_id in ranking:
            continue
        if shift is None:
            shift = 0.0 if lowest is None else min(0.0, lowest - score)
        ranking[doc_id] = score + shift


def _order_stages(runs: Mapping[str, object]) -> list[str]:
    """Legs as the engine named them, then what was made of them; an empty query has no legs."""
    made = [stage for stage in ("fused", "reranked") if stage in runs]
    return [stage for stage in runs if stage not in made] + made


def _report_stage(dataset: RetrievalDataset, run: Run) -> StageReport:
    rankings = {query_id: [doc_id for doc_id, _ in ranking] for query_id, ranking in run.items()}
    per_query = score_run(dataset.qrels, rankings)
    return StageReport(
        metrics={name: float(values.mean()) for name, values in per_query.items()},
        intervals={name: confidence_interval(values) for name, values in per_query.items()},
        per_query=per_query,
    )

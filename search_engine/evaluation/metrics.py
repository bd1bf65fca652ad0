"""How good a ranking is, measured by trec_eval itself (through pytrec_eval)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytrec_eval
from numpy.typing import NDArray

from search_engine.errors import DatasetError

METRICS = ("ndcg@10", "mrr@10", "recall@100")

_MRR_CUT = 10


def score_run(
    qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Sequence[str]]
) -> dict[str, NDArray[np.float64]]:
    """Each metric for each judged query.

    Every query of the qrels counts, as in BEIR and MTEB: one that the run does not name, and one
    without a relevant document (no grade above 0), count 0. Queries that are not judged are
    ignored, and documents that are not judged are not relevant. nDCG takes the grade as the gain
    (Järvelin and Kekäläinen 2002, as trec_eval has it); the others take grades above 0 as
    relevant.

    Args:
        qrels: query id -> doc_id -> grade.
        run: query id -> doc_ids, best first.

    Returns:
        By the names of `METRICS`, float64 [queries], in ascending order of query ids.

    Raises:
        DatasetError: a ranking has a document twice.
    """
    rankings = {query_id: list(run.get(query_id, ())) for query_id in sorted(qrels)}
    for query_id, ranking in rankings.items():
        if len(set(ranking)) != len(ranking):
            twice = next(doc for position, doc in enumerate(ranking) if doc in ranking[:position])
            raise DatasetError(
                f"the ranking of query {query_id!r} has document {twice!r} twice; keep the better"
            )
    whole = _evaluate(qrels, rankings, {"ndcg_cut.10", "recall.100"})
    # trec_eval's reciprocal rank has no cut, so it is shown no more than the cut.
    heads = {query_id: ranking[:_MRR_CUT] for query_id, ranking in rankings.items()}
    head = _evaluate(qrels, heads, {"recip_rank"})
    return {
        "ndcg@10": _collect(whole, "ndcg_cut_10", rankings),
        "mrr@10": _collect(head, "recip_rank", rankings),
        "recall@100": _collect(whole, "recall_100", rankings),
    }


def _evaluate(
    qrels: Mapping[str, Mapping[str, int]],
    rankings: Mapping[str, Sequence[str]],
    measures: set[str],
) -> Mapping[str, Mapping[str, float]]:
    # trec_eval orders by score and breaks ties by document id: scores that fall strictly keep the
    # order that the engine chose.
    scores = {
        query_id: {doc_id: float(-rank) for rank, doc_id in enumerate(ranking)}
        for query_id, ranking in rankings.items()
    }
    evaluator = pytrec_eval.RelevanceEvaluator(
        {query_id: dict(grades) for query_id, grades in qrels.items()}, measures
    )
    values: Mapping[str, Mapping[str, float]] = evaluator.evaluate(scores)
    return values


def _collect(
    values: Mapping[str, Mapping[str, float]], measure: str, query_ids: Mapping[str, object]
) -> NDArray[np.float64]:
    # A query whose qrels are an empty mapping is left out by pytrec_eval: it counts 0 as well.
    return np.array(
        [values[query_id][measure] if query_id in values else 0.0 for query_id in query_ids],
        dtype=np.float64,
    )

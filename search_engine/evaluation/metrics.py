"""How good a ranking is, measured by trec_eval itself (through pytrec_eval)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pytrec_eval
from numpy.typing import NDArray

from search_engine.errors import ConfigError, DatasetError

METRICS = ("ndcg@10", "mrr@10", "recall@100")

# What trec_eval calls each metric that it cuts by itself.
_WITH_CUT = {
    "ndcg": "ndcg_cut",
    "map": "map_cut",
    "precision": "P",
    "recall": "recall",
    "accuracy": "success",
}
_WITHOUT_CUT = {"map": "map", "mrr": "recip_rank"}
_NAME = re.compile(r"(ndcg|mrr|map|precision|recall|accuracy)@([1-9][0-9]*)")


def score_run(
    qrels: Mapping[str, Mapping[str, int]],
    run: Mapping[str, Sequence[str]],
    *,
    metrics: Sequence[str] = METRICS,
) -> dict[str, NDArray[np.float64]]:
    """Each metric for each judged query.

    Every query of the qrels counts, as in BEIR and MTEB: one that the run does not name, and one
    without a relevant document (no grade above 0), count 0. Queries that are not judged are
    ignored, and documents that are not judged are not relevant. nDCG takes the grade as the gain
    (Järvelin and Kekäläinen 2002, as trec_eval has it); the others take grades above 0 as
    relevant. MAP is the mean precision over all relevant documents, those below the cut counting
    0; accuracy is 1 where a relevant document is above the cut.

    Args:
        qrels: query id -> doc_id -> grade.
        run: query id -> doc_ids, best first.
        metrics: "ndcg@k", "mrr@k", "map@k", "precision@k", "recall@k" and "accuracy@k" for any k
            of 1 or more; "map" and "mrr" of the whole ranking.

    Returns:
        By the names of the metrics, float64 [queries], in ascending order of query ids.

    Raises:
        ConfigError: there is no metric of that name.
        DatasetError: a ranking has a document twice, or a grade is no whole number.
    """
    asked = {name: split_metric(name) for name in metrics}
    rankings = {query_id: list(run.get(query_id, ())) for query_id in sorted(qrels)}
    for query_id, ranking in rankings.items():
        if len(set(ranking)) != len(ranking):
            twice = next(doc for position, doc in enumerate(ranking) if doc in ranking[:position])
            raise DatasetError(
                f"the ranking of query {query_id!r} has document {twice!r} twice; keep the better"
            )
    # By the cut of what trec_eval is shown; its reciprocal rank has no cut of its own.
    groups: dict[int | None, dict[str, str]] = {}
    for name, (kind, cut) in asked.items():
        if kind == "mrr":
            groups.setdefault(cut, {})[name] = "recip_rank"
        else:
            measure = _WITHOUT_CUT[kind] if cut is None else f"{_WITH_CUT[kind]}.{cut}"
            groups.setdefault(None, {})[name] = measure
    found: dict[str, NDArray[np.float64]] = {}
    for shown, measures in groups.items():
        heads = {query_id: ranking[:shown] for query_id, ranking in rankings.items()}
        values = _evaluate(qrels, heads, set(measures.values()))
        for name, measure in measures.items():
            found[name] = _collect(values, measure.replace(".", "_"), rankings)
    return {name: found[name] for name in metrics}


def split_metric(name: str) -> tuple[str, int | None]:
    """The kind of a metric and its cut, None where it has none.

    Raises:
        ConfigError: there is no metric of that name.
    """
    if name in _WITHOUT_CUT:
        return name, None
    parts = _NAME.fullmatch(name)
    if parts is None:
        raise ConfigError(
            f"there is no metric {name!r}; choose from {', '.join(_WITHOUT_CUT)}, mrr@k, "
            f"{', '.join(f'{kind}@k' for kind in _WITH_CUT)}, with k of 1 or more"
        )
    return parts[1], int(parts[2])


def _evaluate(
    qrels: Mapping[str, Mapping[str, int]],
    rankings: Mapping[str, Sequence[str]],
    measures: set[str],
) -> Mapping[str, Mapping[str, float]]:
    # trec_eval takes C strings: a NUL would end one, and half of a surrogate pair crashes. So it is
    # given numbers, the same for a document in qrels and ranking.
    query_names = {query_id: str(number) for number, query_id in enumerate(rankings)}
    scores: dict[str, dict[str, float]] = {}
    judged: dict[str, dict[str, int]] = {}
    for query_id, ranking in rankings.items():
        grades = qrels[query_id]
        names = {doc: str(number) for number, doc in enumerate(dict.fromkeys((*grades, *ranking)))}
        # It orders by score and breaks ties by document id: scores that fall strictly keep the
        # order that the engine chose.
        scores[query_names[query_id]] = {
            names[doc]: float(-rank) for rank, doc in enumerate(ranking)
        }
        judged[query_names[query_id]] = {
            names[doc]: _whole(grade, query_id, doc) for doc, grade in grades.items()
        }
    values = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(scores)
    return {query_id: values[name] for query_id, name in query_names.items() if name in values}


def _whole(grade: float, query_id: str, doc_id: str) -> int:
    """The grade as the int that trec_eval takes, of whatever type of number it is."""
    if not math.isfinite(grade) or int(grade) != grade:
        raise DatasetError(
            f"the grade of document {doc_id!r} for query {query_id!r} is {grade!r}; give a whole "
            "number"
        )
    return int(grade)


def _collect(
    values: Mapping[str, Mapping[str, float]], measure: str, query_ids: Mapping[str, object]
) -> NDArray[np.float64]:
    # A query whose qrels are an empty mapping is left out by pytrec_eval: it counts 0 as well.
    return np.array(
        [values[query_id][measure] if query_id in values else 0.0 for query_id in query_ids],
        dtype=np.float64,
    )

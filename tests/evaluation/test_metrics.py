"""Metrics against the formulas, worked by hand and written again in numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.errors import ConfigError, DatasetError
from search_engine.evaluation.metrics import METRICS, score_run


def ndcg(grades: Mapping[str, int], ranking: Sequence[str], cut: int) -> float:
    def dcg(gains: Sequence[int]) -> float:
        return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains[:cut], start=1))

    ideal = dcg(sorted((max(grade, 0) for grade in grades.values()), reverse=True))
    return dcg([max(grades.get(doc, 0), 0) for doc in ranking]) / ideal if ideal else 0.0


def reciprocal_rank(grades: Mapping[str, int], ranking: Sequence[str], cut: int) -> float:
    ranks = [rank for rank, doc in enumerate(ranking[:cut], 1) if grades.get(doc, 0) > 0]
    return 1 / ranks[0] if ranks else 0.0


def recall(grades: Mapping[str, int], ranking: Sequence[str], cut: int) -> float:
    relevant = {doc for doc, grade in grades.items() if grade > 0}
    return len(relevant & set(ranking[:cut])) / len(relevant) if relevant else 0.0


DOCS = [f"d{number}" for number in range(130)]
GRADES = st.dictionaries(st.sampled_from(DOCS), st.integers(-1, 4), min_size=1, max_size=30)
RANKINGS = st.lists(st.sampled_from(DOCS), unique=True, max_size=125)
QUERY_IDS = st.sampled_from(["1", "10", "2", "q7", "ü"])


@given(
    qrels=st.dictionaries(QUERY_IDS, GRADES, min_size=1),
    run=st.dictionaries(QUERY_IDS, RANKINGS),
)
def test_metrics_are_the_formulas(
    qrels: dict[str, dict[str, int]], run: dict[str, list[str]]
) -> None:
    scored = score_run(qrels, run)
    assert tuple(scored) == METRICS
    for name, formula, cut in (
        ("ndcg@10", ndcg, 10),
        ("mrr@10", reciprocal_rank, 10),
        ("recall@100", recall, 100),
    ):
        expected = [formula(qrels[query], run.get(query, []), cut) for query in sorted(qrels)]
        np.testing.assert_allclose(scored[name], expected, rtol=0, atol=1e-9)
        assert scored[name].dtype == np.float64


def test_a_graded_ranking_worked_by_hand() -> None:
    qrels = {"q": {"a": 3, "b": 2, "c": 1, "d": 0}}
    scored = score_run(qrels, {"q": ["d", "b", "x", "a"]})
    dcg = 2 / math.log2(3) + 3 / math.log2(5)
    ideal = 3 + 2 / math.log2(3) + 1 / math.log2(4)
    assert scored["ndcg@10"][0] == pytest.approx(dcg / ideal)
    assert scored["mrr@10"][0] == 1 / 2
    assert scored["recall@100"][0] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("rank", "mrr"), [(10, 1 / 10), (11, 0.0)])
def test_mrr_is_cut_at_ten(rank: int, mrr: float) -> None:
    ranking = [f"x{number}" for number in range(rank - 1)] + ["a"]
    assert score_run({"q": {"a": 1}}, {"q": ranking})["mrr@10"][0] == mrr


@pytest.mark.parametrize(("rank", "recall_at_100"), [(100, 1.0), (101, 0.0)])
def test_recall_is_cut_at_a_hundred(rank: int, recall_at_100: float) -> None:
    ranking = [f"x{number}" for number in range(rank - 1)] + ["a"]
    assert score_run({"q": {"a": 1}}, {"q": ranking})["recall@100"][0] == recall_at_100


def test_order_of_the_run_decides_and_not_the_names_of_documents() -> None:
    # trec_eval would break ties by document id, so both orders have to come out as given.
    qrels = {"q": {"a": 1}}
    assert score_run(qrels, {"q": ["a", "z"]})["mrr@10"][0] == 1.0
    assert score_run(qrels, {"q": ["z", "a"]})["mrr@10"][0] == 0.5


def test_every_judged_query_counts() -> None:
    qrels: dict[str, dict[str, int]] = {
        "answered": {"a": 1},
        "empty run": {"a": 1},
        "no qrels": {},
        "nothing relevant": {"a": 0},
        "not in the run": {"a": 1},
    }
    run: dict[str, list[str]] = {
        "answered": ["a"],
        "empty run": [],
        "no qrels": ["a"],
        "nothing relevant": ["a"],
        "not judged": ["a"],
    }
    for values in score_run(qrels, run).values():
        assert values.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_queries_are_in_the_order_of_their_ids() -> None:
    qrels = {"b": {"x": 1}, "a": {"x": 1}, "c": {"x": 1}}
    run = {"c": ["x"], "a": ["y", "x"], "b": ["y", "y2", "x"]}
    assert score_run(qrels, run)["mrr@10"].tolist() == pytest.approx([1 / 2, 1 / 3, 1])


def test_a_document_twice_is_an_error() -> None:
    with pytest.raises(DatasetError, match="query 'q' has document 'a' twice"):
        score_run({"q": {"a": 1}}, {"q": ["a", "b", "a"]})


def precision(grades: Mapping[str, int], ranking: Sequence[str], cut: int) -> float:
    return sum(grades.get(doc, 0) > 0 for doc in ranking[:cut]) / cut


def accuracy(grades: Mapping[str, int], ranking: Sequence[str], cut: int) -> float:
    return float(any(grades.get(doc, 0) > 0 for doc in ranking[:cut]))


def average_precision(grades: Mapping[str, int], ranking: Sequence[str], cut: int) -> float:
    relevant = sum(grade > 0 for grade in grades.values())
    total = sum(
        precision(grades, ranking, rank)
        for rank, doc in enumerate(ranking[:cut], start=1)
        if grades.get(doc, 0) > 0
    )
    return total / relevant if relevant else 0.0


@given(
    qrels=st.dictionaries(QUERY_IDS, GRADES, min_size=1),
    run=st.dictionaries(QUERY_IDS, RANKINGS),
    cuts=st.lists(st.integers(1, 130), min_size=1, max_size=3, unique=True),
)
def test_every_metric_at_any_cut_is_its_formula(
    qrels: dict[str, dict[str, int]], run: dict[str, list[str]], cuts: list[int]
) -> None:
    formulas = {
        "ndcg": ndcg,
        "mrr": reciprocal_rank,
        "recall": recall,
        "precision": precision,
        "accuracy": accuracy,
        "map": average_precision,
    }
    names = {f"{kind}@{cut}": (kind, cut) for kind in formulas for cut in cuts}
    names |= {"map": ("map", 10**6), "mrr": ("mrr", 10**6)}
    scored = score_run(qrels, run, metrics=tuple(names))
    assert list(scored) == list(names)
    for name, (kind, cut) in names.items():
        expected = [
            formulas[kind](qrels[query], run.get(query, []), cut) for query in sorted(qrels)
        ]
        np.testing.assert_allclose(scored[name], expected, rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", ["ndcg", "ndcg@0", "hits@3", "mrr@", "map@1.5", "recall"])
def test_an_unknown_metric_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match="there is no metric"):
        score_run({"q": {"a": 1}}, {"q": ["a"]}, metrics=(name,))


def test_ids_may_be_any_text_and_grades_any_whole_number() -> None:
    # C would end an id at its NUL, and cannot hold half of a surrogate pair.
    ids = ["a\0b", "a\0c", "a", "\ud800", "\U0001f600", ""]
    qrels = {
        "q\0a": {"a\0b": 1, "a": 0},
        "q\0b": {"a\0c": 1},
        "\udfff": {"\ud800": np.int64(2), "": 2.0},
    }
    scored = score_run(qrels, dict.fromkeys(qrels, ids), metrics=("mrr", "ndcg@10"))
    assert scored["mrr"].tolist() == [1, 1 / 2, 1 / 4]
    expected = [ndcg(qrels[query_id], ids, 10) for query_id in sorted(qrels)]
    assert scored["ndcg@10"] == pytest.approx(expected)


@pytest.mark.parametrize("grade", [1.5, math.nan, math.inf])
def test_a_grade_that_is_no_whole_number_is_an_error(grade: float) -> None:
    with pytest.raises(DatasetError, match=r"the grade of document 'a' for query 'q' is .*whole"):
        score_run({"q": {"a": grade}}, {"q": ["a"]})

"""Rerankings worked by hand."""

from __future__ import annotations

import math

import pytest

from search_engine.errors import ConfigError, DatasetError
from search_engine.evaluation.comparison import compare
from search_engine.evaluation.evaluators import RerankingEvaluator, RerankingSample, reranking
from tests.evaluation.evaluators.stubs import Cross, Dense, Sparse

SAMPLE = RerankingSample("q", {"a": 2, "b": 1, "c": 0, "lost": 1}, ["c", "b", "x", "a"])
SCORES = {("q", "a"): 0.9, ("q", "x"): 0.8, ("q", "c"): 0.7, ("q", "lost"): 0.2, ("q", "b"): 0.1}
IDEAL = 2 + 1 / math.log2(3) + 1 / math.log2(4)


def test_missed_positives_are_put_behind_the_candidates() -> None:
    evaluator = RerankingEvaluator([SAMPLE])
    scores = evaluator(Cross(SCORES))  # a x c lost b
    assert scores["mrr@10"] == 1
    assert scores["map"] == pytest.approx((1 + 2 / 4 + 3 / 5) / 3)
    assert scores["ndcg@10"] == pytest.approx((2 + 1 / math.log2(5) + 1 / math.log2(6)) / IDEAL)
    assert scores["base_map"] == pytest.approx((1 / 2 + 2 / 4 + 3 / 5) / 3)  # c b x a lost
    assert scores["base_mrr@10"] == 0.5
    assert evaluator.metric == "ndcg@10"


def test_missed_positives_count_as_not_found() -> None:
    evaluator = RerankingEvaluator([SAMPLE], always_rerank_positives=False)
    scores = evaluator(Cross(SCORES))  # a x c b
    assert scores["map"] == pytest.approx((1 + 2 / 4 + 0) / 3)
    assert scores["ndcg@10"] == pytest.approx((2 + 1 / math.log2(5)) / IDEAL)
    assert scores["base_map"] == pytest.approx((1 / 2 + 2 / 4 + 0) / 3)  # c b x a


def test_positives_and_negatives_have_no_order_of_their_own() -> None:
    sample = RerankingSample.of("q", positives=["a", "b"], negatives=["c", "d", "a"])
    assert sample.grades == {"a": 1, "b": 1, "c": 0, "d": 0}
    evaluator = RerankingEvaluator([sample], metrics=("map", "mrr@1"))
    assert evaluator.metric == "map"
    scores = evaluator(Cross({("q", "c"): 3, ("q", "a"): 2, ("q", "b"): 1}))
    assert scores == {"map": pytest.approx((1 / 2 + 2 / 3) / 2), "mrr@1": 0}
    with pytest.raises(ConfigError, match="without candidates"):
        evaluator.measure_candidates()


def test_an_encoder_that_tells_nothing_apart_gains_nothing() -> None:
    sample = RerankingSample.of("q", positives=["a"], negatives=["c", "d"])
    assert RerankingEvaluator([sample])(Cross({}))["mrr@10"] == pytest.approx(1 / 3)
    # With a first stage, it changes nothing of the order.
    scores = RerankingEvaluator([SAMPLE])(Cross({}))
    assert scores["map"] == scores["base_map"]


@pytest.mark.parametrize("kind", [Dense, Sparse])
@pytest.mark.parametrize("pairs", [1, 3, 8_192])
def test_vectors_are_compared_as_query_and_document(monkeypatch, kind, pairs) -> None:
    monkeypatch.setattr(reranking, "_PAIRS", pairs)
    vectors = {"a": [1, 0, 0], "b": [0, 2, 0], "c": [1, 1, 0]}
    queries = {"first": [3, 1, 0], "second": [0, 1, 0], "third": [0, 0, 1]}
    samples = [
        RerankingSample.of("first", positives=["a"], negatives=["b", "c"]),  # c a b
        RerankingSample.of("second", positives=["b"], negatives=["a", "c"]),  # b c a
        RerankingSample.of("third", positives=["c"], negatives=["a"]),  # all the same
    ]
    evaluator = RerankingEvaluator(samples, metrics=("mrr",))
    encoder = kind(vectors, queries=queries)
    assert evaluator.measure(encoder).per_item["mrr"].tolist() == [1 / 2, 1, 1 / 2]
    # A text that several queries have is encoded once in a block.
    if pairs == 8_192:
        assert [texts for call, texts, _ in encoder.calls if call == "document"] == [
            ["b", "c", "a"]
        ]


def test_a_similarity_can_be_named() -> None:
    sample = RerankingSample.of("q", positives=["near"], negatives=["far"])
    encoder = Dense({"near": [1, 0], "far": [5, 1], "q": [1, 0]}, similarity="dot")
    assert RerankingEvaluator([sample])(encoder)["mrr@10"] == 0.5
    assert RerankingEvaluator([sample], similarity="euclidean")(encoder)["mrr@10"] == 1


def test_the_order_of_the_samples_is_kept_and_the_first_stage_can_be_compared() -> None:
    samples = [
        RerankingSample(f"q{number}", {"a": 1}, ["b"] * (number % 3) + ["a", "c"])
        for number in range(12)
    ]
    evaluator = RerankingEvaluator(samples)
    measured = evaluator.measure(Cross({(f"q{number}", "a"): 1 for number in range(12)}))
    base = evaluator.measure_candidates()
    assert list(base.items) == [f"q{number}" for number in range(12)]
    assert base.per_item["mrr@10"].tolist() == [1, 1 / 2, 1 / 2] * 4
    (row,) = compare(base, measured, metrics=("mrr@10",), samples=500).metrics
    assert row.difference == pytest.approx(1 - 2 / 3)


def test_a_query_without_a_relevant_text_counts_0() -> None:
    samples = [RerankingSample("q", {"a": 0}), RerankingSample("q", {"a": 1})]
    assert RerankingEvaluator(samples)(Cross({}))["map"] == 0.5


def test_what_is_wrong_is_told_at_once() -> None:
    with pytest.raises(DatasetError, match="no samples"):
        RerankingEvaluator([])
    with pytest.raises(DatasetError, match="sample 1 has no texts"):
        RerankingEvaluator([SAMPLE, RerankingSample("q", {})])
    with pytest.raises(ConfigError, match="no metric 'hits'"):
        RerankingEvaluator([SAMPLE], metrics=("hits",))
    with pytest.raises(ConfigError, match="neither similarities nor dimensions"):
        RerankingEvaluator([SAMPLE], truncate_dim=3)(Cross({}))


def test_texts_may_hold_what_c_strings_cannot() -> None:
    texts = ["a\0b", "a\0c", "\ud800"]
    sample = RerankingSample("q", {"a\0b": 0, "a\0c": 1, "\ud800": 0}, texts)
    scores = RerankingEvaluator([sample]).measure_candidates().scores
    assert scores["mrr@10"] == scores["map"] == 0.5

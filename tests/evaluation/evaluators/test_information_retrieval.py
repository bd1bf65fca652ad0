"""Retrieval over a corpus against brute force, and what is read of it."""

from __future__ import annotations

import numpy as np
import pytest

from search_engine.errors import ConfigError, DatasetError
from search_engine.evaluation.evaluators import InformationRetrievalEvaluator, information_retrieval
from search_engine.evaluation.metrics import score_run
from search_engine.evaluation.retrieval_dataset import RetrievalDataset
from search_engine.types import Document
from tests.evaluation.evaluators.stubs import Cross, Dense, Sparse

GENERATOR = np.random.default_rng(5)
QUERIES = {f"q{number}": f"query {number}" for number in range(7)}
CORPUS = {f"d{number}": f"text {number}" for number in range(50)}
QRELS = {
    query: {f"d{doc}": int(GENERATOR.integers(0, 4)) for doc in GENERATOR.permutation(50)[:8]}
    for query in QUERIES
}
# Of few values, so that scores tie and vectors are sparse.
VECTORS = {
    text: GENERATOR.integers(0, 3, size=6) * (GENERATOR.random(6) < 0.7)
    for text in [*QUERIES.values(), *CORPUS.values()]
}
METRICS = ("ndcg@3", "mrr@10", "map", "map@5", "precision@20", "recall@50", "accuracy@1")


def brute_force(name: str) -> dict[str, list[str]]:
    """Every pair's score, sorted; of equal ones the first of the corpus first."""
    run = {}
    for query_id, query in QUERIES.items():
        q = np.array(VECTORS[query], np.float64)
        scores = {}
        for doc_id, text in CORPUS.items():
            d = np.array(VECTORS[text], np.float64)
            lengths = np.linalg.norm(q) * np.linalg.norm(d)
            scores[doc_id] = {
                "dot": q @ d,
                "cosine": q @ d / lengths if lengths else 0.0,
                "euclidean": -np.linalg.norm(q - d),
                "manhattan": -np.abs(q - d).sum(),
            }[name]
        run[query_id] = sorted(scores, key=lambda doc_id: -round(scores[doc_id], 6))
    return run


@pytest.mark.parametrize("kind", [Dense, Sparse])
@pytest.mark.parametrize("similarity", ["dot", "euclidean", "manhattan"])
@pytest.mark.parametrize("block", [7, 4_096])
def test_the_scores_are_those_of_brute_force(monkeypatch, kind, similarity, block) -> None:
    monkeypatch.setattr(information_retrieval, "_BLOCK", block)
    dataset = RetrievalDataset.from_texts(QUERIES, CORPUS, QRELS)
    evaluator = InformationRetrievalEvaluator(dataset, metrics=METRICS)
    encoder = kind(VECTORS, similarity=similarity)
    measured = evaluator.measure(encoder)
    expected = score_run(QRELS, brute_force(similarity), metrics=METRICS)
    assert list(measured.items) == sorted(QRELS)
    for name in METRICS:
        np.testing.assert_array_equal(measured.per_item[name], expected[name], err_msg=name)
        assert measured.scores[name] == pytest.approx(expected[name].mean())
    assert 0 < measured.scores["ndcg@3"] < 1
    assert evaluator(encoder) == measured.scores
    documents = [len(texts) for call, texts, _ in encoder.calls if call == "document"]
    assert max(documents) <= block


def test_a_similarity_that_is_named_comes_before_the_encoders_own() -> None:
    dataset = RetrievalDataset.from_texts(QUERIES, CORPUS, QRELS)
    evaluator = InformationRetrievalEvaluator(dataset, similarity="manhattan", metrics=("map",))
    expected = score_run(QRELS, brute_force("manhattan"), metrics=("map",))["map"]
    np.testing.assert_array_equal(
        evaluator.measure(Dense(VECTORS, similarity="dot")).per_item["map"], expected
    )


def test_how_sparse_the_vectors_are_is_told(monkeypatch) -> None:
    monkeypatch.setattr(information_retrieval, "_BLOCK", 20)
    dataset = RetrievalDataset.from_texts(QUERIES, CORPUS, QRELS)
    scores = InformationRetrievalEvaluator(dataset)(Sparse(VECTORS))
    queries = np.array([VECTORS[text] for text in QUERIES.values()])
    corpus = np.array([VECTORS[text] for text in CORPUS.values()])
    assert scores["query_active_dims"] == pytest.approx((queries != 0).sum(1).mean())
    assert scores["corpus_sparsity_ratio"] == pytest.approx((corpus == 0).mean())
    both = ((queries != 0)[:, None] & (corpus != 0)[None]).sum(-1)
    assert scores["avg_flops"] == pytest.approx(both.mean())
    assert "avg_flops" not in InformationRetrievalEvaluator(dataset)(Dense(VECTORS))


def test_queries_documents_titles_and_truncation_reach_the_encoder() -> None:
    documents = [Document("1", "text", title="title"), Document("2", "bare")]
    dataset = RetrievalDataset(
        "set", "dev", {"q": "query"}, {"q": {"2": 1}}, lambda: iter(documents)
    )
    vectors = {"title text": [1, 0, 9], "bare": [0, 1, 0]}
    encoder = Dense(vectors, queries={"query": [0, 1, 1]})
    evaluator = InformationRetrievalEvaluator(dataset, truncate_dim=2)
    assert evaluator.name == "set"
    assert evaluator.metric == "ndcg@10"
    assert evaluator(encoder)["mrr@10"] == 1
    assert encoder.calls == [("query", ["query"], 2), ("document", ["title text", "bare"], 2)]
    assert InformationRetrievalEvaluator(dataset)(encoder)["mrr@10"] == 0.5


def test_what_cannot_be_measured_is_refused() -> None:
    dataset = RetrievalDataset.from_texts(QUERIES, CORPUS, QRELS)
    with pytest.raises(ConfigError, match="scores pairs"):
        InformationRetrievalEvaluator(dataset)(Cross({}))
    with pytest.raises(ConfigError, match="sparse encoder"):
        InformationRetrievalEvaluator(dataset, truncate_dim=4)(Sparse(VECTORS))
    with pytest.raises(ConfigError, match="there is no metric 'hits'"):
        InformationRetrievalEvaluator(dataset, metrics=("hits",))
    with pytest.raises(ConfigError, match="no metrics"):
        InformationRetrievalEvaluator(dataset, metrics=())
    with pytest.raises(ConfigError, match="'mrr@3' is not measured"):
        InformationRetrievalEvaluator(dataset, metric="mrr@3")
    with pytest.raises(DatasetError, match="corpus is empty"):
        RetrievalDataset.from_texts(QUERIES, {}, QRELS)
    with pytest.raises(DatasetError, match="judges 1 of 1 queries"):
        RetrievalDataset.from_texts(QUERIES, CORPUS, {"other": {"d1": 1}})
    nothing = RetrievalDataset("set", "dev", QUERIES, QRELS, lambda: iter(()))
    with pytest.raises(DatasetError, match="corpus is empty"):
        InformationRetrievalEvaluator(nothing)(Dense(VECTORS))

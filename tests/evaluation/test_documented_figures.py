"""The figures that the shared data's readme states for BM25, reached from its files alone.

The ranking is another library's (bm25s), so data set and metrics are checked by themselves.
"""

from __future__ import annotations

from pathlib import Path

import bm25s
import numpy as np
import pytest
import Stemmer

from search_engine.evaluation.datasets import RetrievalDataset, load_dataset
from search_engine.evaluation.metrics import score_run


def rank_with_bm25s(dataset: RetrievalDataset) -> dict[str, list[str]]:
    stemmer = Stemmer.Stemmer("english")
    documents = list(dataset.documents())
    texts = [f"{document.title} {document.text}" for document in documents]
    retriever = bm25s.BM25(k1=0.9, b=0.4)
    retriever.index(
        bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False),
        show_progress=False,
    )
    queries = bm25s.tokenize(
        list(dataset.queries.values()), stopwords="en", stemmer=stemmer, show_progress=False
    )
    positions, scores = retriever.retrieve(queries, k=100, show_progress=False)
    return {
        query_id: [
            documents[position].doc_id
            for position, score in zip(row, row_scores, strict=True)
            if score > 0
        ]
        for query_id, row, row_scores in zip(dataset.queries, positions, scores, strict=True)
    }


@pytest.mark.parametrize(
    ("name", "split", "ndcg", "recall"),
    [
        ("scifact", "test", 0.676, 0.913),
        ("cranfield", "test", 0.343, 0.722),
        ("cranfield", "test-all", 0.491, 0.738),
        ("cosqa", "test", 0.320, 0.742),
        ("medquad", "test", 0.376, 0.725),
    ],
)
def test_bm25_reaches_the_documented_figures(
    shared_data: Path, name: str, split: str, ndcg: float, recall: float
) -> None:
    dataset = load_dataset(shared_data / "retrieval" / name, split=split)
    scored = score_run(dataset.qrels, rank_with_bm25s(dataset))
    # The readme's means leave out the queries without a relevant document, of which medquad has
    # seven; ours count them 0.
    answerable = [
        any(grade > 0 for grade in dataset.qrels[query_id].values())
        for query_id in sorted(dataset.qrels)
    ]
    unanswerable = len(answerable) - sum(answerable)
    assert unanswerable == (7 if name == "medquad" else 0)
    for metric, documented in (("ndcg@10", ndcg), ("recall@100", recall)):
        assert scored[metric][answerable].mean() == pytest.approx(documented, abs=6e-4)
        assert not scored[metric][np.logical_not(answerable)].any()

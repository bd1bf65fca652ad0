"""Reranking orders what was read by the cross-encoder and keeps the rest below."""

from __future__ import annotations

import numpy as np

from search_engine.rerank import rerank
from search_engine.types import Hits


class _LengthScorer:
    """Stands where a CrossEncoder stands: a longer text scores higher."""

    def predict(self, pairs):
        return np.array([len(text) for _, text in pairs], np.float32)


def test_read_candidates_come_first_by_score_then_the_rest_in_their_order() -> None:
    candidates = Hits(np.array([1, 2, 3, 4, 5]), np.array([0.9, 0.8, 0.7, 0.4, 0.1], np.float32))
    hits = rerank(_LengthScorer(), "q", candidates, texts=["a", "ccc", "bb"])
    assert hits.chunk_ids.tolist() == [2, 3, 1, 4, 5]
    assert hits.scores[:3].tolist() == [3.0, 2.0, 1.0]
    assert hits.scores[3] < 1.0
    np.testing.assert_allclose(hits.scores[3] - hits.scores[4], 0.3, rtol=1e-5)


def test_nothing_to_read_changes_nothing() -> None:
    assert len(rerank(_LengthScorer(), "q", Hits.empty(), texts=[])) == 0

"""The sparse and the cross-encoder: order, empty input, cut text, ties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.sparse_encoder import SparseEncoder
from tests.encoders.checkpoints import TEXTS


@pytest.fixture(scope="module")
def sparse(masked_lm: Path) -> SparseEncoder:
    return SparseEncoder(str(masked_lm), backend="torch", dtype="float32")


@pytest.fixture(scope="module")
def cross(classifier: Path) -> CrossEncoder:
    return CrossEncoder(str(classifier), backend="torch", dtype="float32")


def test_sparse_vectors_together_as_one_by_one(
    sparse: SparseEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished: list[int] = []
    monkeypatch.setattr(sparse._inference.first, "_token_budget", 60)
    together = sparse.encode_document(TEXTS, on_batch=finished.append)
    assert len(finished) > 1
    assert sum(finished) == len(together) == len(TEXTS)
    for position, text in enumerate(TEXTS):
        alone = sparse.encode_document([text])
        assert together.row(position)[0].tolist() == alone.indices.tolist()
        np.testing.assert_allclose(together.row(position)[1], alone.weights, atol=1e-5)
    assert (together.indptr.dtype, together.indices.dtype) == (np.int64, np.int32)
    assert together.weights.dtype == np.float32


def test_no_sparse_vectors(sparse: SparseEncoder) -> None:
    none = sparse.encode_query([])
    assert (len(none), none.indptr.tolist(), none.size) == (0, [0], sparse.size)
    assert sparse.decode(none, 3) == []


def test_terms_by_name(sparse: SparseEncoder) -> None:
    ids = sparse.tokenizer.encode("the cell", add_special_tokens=False).ids
    assert sparse.tokens(ids) == ["the", "cell"]
    (decoded,) = sparse.decode(sparse.encode_document(["the cell"]), 4)
    assert len(decoded) == 4
    weights = [weight for _, weight in decoded]
    assert weights == sorted(weights, reverse=True)
    vector = sparse.encode_document(["the cell"])
    assert weights[0] == vector.weights.max()


def test_scores_together_as_one_by_one(
    cross: CrossEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [("the cell", text) for text in TEXTS] + [(text, "lipids") for text in TEXTS]
    alone = [cross.predict([pair])[0] for pair in pairs]
    monkeypatch.setattr(cross._inference, "_token_budget", 100)
    finished: list[int] = []
    found = cross.predict(pairs, on_batch=finished.append)
    np.testing.assert_allclose(found, alone, atol=1e-6)
    assert sum(finished) == len(pairs)
    assert found.dtype == np.float32
    assert cross.predict([]).shape == (0,)
    assert cross.truncated_texts > 0


def test_rank_is_best_first_and_ties_keep_the_order(cross: CrossEncoder) -> None:
    texts = ["cell", "the", "cell", "lipids", "cell"]
    scores = cross.predict([("a", text) for text in texts])
    ranked = cross.rank("a", texts)
    assert [p for p, _ in ranked] == sorted(range(5), key=lambda p: (-scores[p], p))
    assert [s for _, s in ranked] == [float(scores[p]) for p, _ in ranked]
    assert cross.rank("a", texts, top_k=2) == ranked[:2]
    assert cross.rank("a", texts, top_k=99) == ranked
    assert cross.rank("a", []) == []

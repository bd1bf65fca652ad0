"""Our cross-encoder gives the scores of Sentence Transformers' CrossEncoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import CrossEncoder as TheirCrossEncoder

from search_engine.encoders.cross_encoder import CrossEncoder
from tests.encoders.checkpoints import TEXTS, edit_json, write_trunk

PAIRS = [(query, text) for query in ("what is a cell", "") for text in TEXTS]


def assert_same(folder: Path, *, backend: str = "torch") -> None:
    theirs = TheirCrossEncoder(str(folder), device="cpu")
    ours = CrossEncoder(str(folder), backend=backend, dtype="float32")
    expected = theirs.predict(PAIRS)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(ours.predict(PAIRS), expected, atol=1e-5)
    ranked = theirs.rank("what is a cell", list(TEXTS), top_k=4)
    found = ours.rank("what is a cell", TEXTS, top_k=4)
    assert [position for position, _ in found] == [entry["corpus_id"] for entry in ranked]
    assert ours.max_tokens == theirs.max_seq_length


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert"])
def test_bare_classifiers(tmp_path: Path, architecture: str) -> None:
    assert_same(
        write_trunk(tmp_path / "trunk", architecture=architecture, head="SequenceClassification")
    )


def test_openvino(classifier: Path) -> None:
    assert_same(classifier, backend="openvino")


def test_the_sentence_transformers_layout(classifier: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reranker"
    TheirCrossEncoder(str(classifier), device="cpu").save(str(folder), create_model_card=False)
    assert_same(folder)
    edit_json(
        folder / "config_sentence_transformers.json",
        {"activation_fn": "torch.nn.modules.linear.Identity"},
    )
    assert_same(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}},
        {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"},
    ],
)
def test_older_spellings_of_the_activation(tmp_path: Path, changes: dict[str, object]) -> None:
    folder = write_trunk(tmp_path / "trunk", head="SequenceClassification")
    bounded = CrossEncoder(str(folder), backend="torch", dtype="float32").predict(PAIRS)
    edit_json(folder / "config.json", changes)
    assert_same(folder)
    logits = CrossEncoder(str(folder), backend="torch", dtype="float32").predict(PAIRS)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), bounded, atol=1e-5)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_bfloat16_is_close(classifier: Path, backend: str) -> None:
    exact = CrossEncoder(str(classifier), backend="torch", dtype="float32").predict(PAIRS)
    ours = CrossEncoder(str(classifier), backend=backend, dtype="bfloat16").predict(PAIRS)
    np.testing.assert_allclose(ours, exact, atol=0.02)

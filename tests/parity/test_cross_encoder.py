"""Our cross-encoder gives the scores of Sentence Transformers' CrossEncoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder as TheirCrossEncoder
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

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


@pytest.mark.parametrize(
    "activation", [None, "torch.nn.modules.activation.Sigmoid", "torch.nn.modules.activation.ReLU"]
)
def test_several_labels(tmp_path: Path, activation: str | None) -> None:
    folder = write_trunk(tmp_path / "trunk", head="SequenceClassification", labels=3)
    settings = {} if activation is None else {"activation_fn": activation, "version": "4.1.0"}
    edit_json(folder / "config.json", {"sentence_transformers": settings})
    theirs = TheirCrossEncoder(str(folder), device="cpu")
    ours = CrossEncoder(str(folder), backend="torch", dtype="float32")
    ours.save(tmp_path / "saved")
    saved = TheirCrossEncoder(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(saved.predict(PAIRS), theirs.predict(PAIRS), atol=1e-6)
    assert ours.num_labels == theirs.num_labels == 3
    assert ours.labels == tuple(theirs.config.id2label.values())
    for softmax in (False, True):
        expected = theirs.predict(PAIRS, apply_softmax=softmax)
        found = ours.predict_labels(PAIRS, apply_softmax=softmax)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_softmax_for_an_activation_is_over_the_labels(tmp_path: Path) -> None:
    folder = write_trunk(tmp_path / "trunk", head="SequenceClassification", labels=3)
    logits = CrossEncoder(str(folder), backend="torch", dtype="float32").predict_labels(PAIRS)
    kind = "torch.nn.modules.activation.Softmax"
    edit_json(folder / "config.json", {"sentence_transformers": {"activation_fn": kind}})
    found = CrossEncoder(str(folder), backend="torch", dtype="float32").predict_labels(PAIRS)
    expected = torch.nn.Softmax(dim=1)(torch.from_numpy(logits)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("labels", "backend"), [(1, "torch"), (1, "openvino"), (4, "torch")])
def test_a_pooled_transformer_with_a_dense_layer_for_scores(
    bert: Path, tmp_path: Path, labels: int, backend: str
) -> None:
    torch.manual_seed(3)
    model = TheirCrossEncoder(
        modules=[
            Transformer(str(bert)),
            Pooling(16, "cls"),
            Dense(16, 8),
            Dense(8, labels, activation_function=torch.nn.Identity(), module_output_name="scores"),
        ],
        prompts={"query": "query of ", "other": "the "},
        default_prompt_name="other",
        device="cpu",
    )
    model.save(str(tmp_path / "saved"), create_model_card=False)
    ours = CrossEncoder(str(tmp_path / "saved"), backend=backend, dtype="float32")
    theirs = TheirCrossEncoder(str(tmp_path / "saved"), device="cpu")
    assert ours.num_labels == theirs.num_labels == labels
    for given in ({}, {"prompt_name": "query"}, {"prompt": "a "}, {"prompt": ""}):
        expected = theirs.predict(PAIRS, **given).reshape(len(PAIRS), labels)
        np.testing.assert_allclose(ours.predict_labels(PAIRS, **given), expected, atol=1e-5)
    if labels == 1:
        ranked = theirs.rank("a cell", list(TEXTS), prompt_name="query")
        found = ours.rank("a cell", TEXTS, prompt_name="query")
        assert [position for position, _ in found] == [each["corpus_id"] for each in ranked]


def test_where_the_query_is_longer_it_is_kept(classifier: Path) -> None:
    theirs = TheirCrossEncoder(str(classifier), device="cpu")
    ours = CrossEncoder(str(classifier), backend="torch", dtype="float32")
    words = ["the", "cell", "of", "lipids", "membrane", "is", "made", "and", "a", "query"]
    # Of 45 tokens, 22 are the shorter half; a query of 45 leaves none for the text.
    for length, is_same in ((5, True), (22, True), (23, False), (44, False), (45, True)):
        pair = (" ".join((words * 5)[:length]), "cell of the " * 30)
        found = ours.predict([pair])
        assert np.allclose(found, theirs.predict([pair]), atol=1e-5) == is_same, length
        if length < 45:
            kept = " ".join(pair[1].split()[: 45 - length])
            np.testing.assert_allclose(ours.predict([(pair[0], kept)]), found, atol=1e-6)

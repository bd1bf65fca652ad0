"""A transformer without the head that an encoder needs, as it is trained by users."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.errors import CheckpointError, ConfigError
from search_engine.training.data.training_set import TrainingSet
from search_engine.training.losses.bi_encoder import MultipleNegativesRankingLoss
from search_engine.training.losses.cross_encoder import BinaryCrossEntropyLoss, CrossEntropyLoss
from search_engine.training.losses.sparse_encoder import SpladeLoss
from search_engine.training.runs import train
from search_engine.training.settings import TrainingSettings
from tests.training.data.sets import write_lines

SETTINGS = TrainingSettings(max_steps=2, batch_size=4, learning_rate=1e-3)


def _judged(path: Path, labels: list[object]) -> Path:
    rows = [{"query": f"w{n}", "text": f"cell {n}", "label": each} for n, each in enumerate(labels)]
    return write_lines(path, rows)


def test_a_bare_transformer_becomes_a_cross_encoder(bert: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    data = TrainingSet(_judged(tmp_path / "data.jsonl", [0, 1] * 4), BinaryCrossEntropyLoss())
    report = train(str(bert), data, tmp_path / "run", kind="cross", settings=SETTINGS, device="cpu")
    encoder = CrossEncoder(str(report.model), backend="torch", dtype="float32")
    assert encoder.num_labels == 1
    start = tmp_path / "run/untrained"
    begun = AutoModelForSequenceClassification.from_pretrained(start).state_dict()
    trained = AutoModelForSequenceClassification.from_pretrained(report.model).state_dict()
    assert not torch.equal(begun["classifier.weight"], trained["classifier.weight"])
    # Of the same seed it is the same head, so that the whole run is.
    again = train(str(bert), data, tmp_path / "again", kind="cross", settings=SETTINGS,
                  device="cpu")  # fmt: skip
    pairs = [("the cell", "a membrane"), ("x", "lipids")]
    twin = CrossEncoder(str(again.model), backend="torch", dtype="float32")
    np.testing.assert_array_equal(encoder.predict(pairs), twin.predict(pairs))


def test_classes_are_counted_for_a_new_head(bert: Path, tmp_path: Path) -> None:
    path = _judged(tmp_path / "data.jsonl", ["no", "yes", "maybe", "no"] * 2)
    report = train(str(bert), TrainingSet(path, CrossEntropyLoss()), tmp_path / "run",
                   kind="cross", settings=SETTINGS, device="cpu")  # fmt: skip
    assert CrossEncoder(str(report.model), backend="torch").num_labels == 3


def test_a_head_that_is_there_is_kept(classifier: Path, tmp_path: Path) -> None:
    data = TrainingSet(_judged(tmp_path / "data.jsonl", [0, 1] * 4), BinaryCrossEntropyLoss())
    train(str(classifier), data, tmp_path / "run", kind="cross", settings=SETTINGS, device="cpu")
    assert not (tmp_path / "run/untrained").exists()


def test_nothing_is_left_where_a_setting_does_not_fit(bert: Path, tmp_path: Path) -> None:
    data = TrainingSet(_judged(tmp_path / "data.jsonl", [0, 1] * 4), BinaryCrossEntropyLoss())
    wrong = SETTINGS.model_copy(update={"learning_rates": {"nope": 1.0}})
    with pytest.raises(ConfigError, match="nope"):
        train(str(bert), data, tmp_path / "run", kind="cross", settings=wrong, device="cpu")
    train(str(bert), data, tmp_path / "run", kind="cross", settings=SETTINGS, device="cpu")


def test_a_sparse_encoder_needs_a_head_first(tmp_path: Path) -> None:
    rows = [{"query": f"w{n}", "positive": f"cell {n}"} for n in range(8)]
    loss = SpladeLoss(MultipleNegativesRankingLoss(), 0.01)
    data = TrainingSet(write_lines(tmp_path / "data.jsonl", rows), loss)
    with pytest.raises(CheckpointError, match="pretrain_masked_language_model"):
        train("all-MiniLM-L6-v2", data, tmp_path / "run", kind="sparse", device="cpu", offline=True)


def test_prompts_that_were_trained_with_are_the_models_own(bert: Path, tmp_path: Path) -> None:
    rows = [{"query": f"w{n}", "positive": f"cell {n}"} for n in range(8)]
    prompts = {"query": "ask: ", "positive": "say: "}
    data = TrainingSet(write_lines(tmp_path / "data.jsonl", rows), MultipleNegativesRankingLoss(),
                       prompts=prompts)  # fmt: skip
    report = train(str(bert), data, tmp_path / "run", settings=SETTINGS, device="cpu")
    encoder = BiEncoder(str(report.model), backend="torch", dtype="float32")
    assert (encoder.prompts["query"], encoder.prompts["document"]) == ("ask: ", "say: ")
    np.testing.assert_array_equal(encoder.encode_query(["x"]), encoder.encode(["ask: x"]))

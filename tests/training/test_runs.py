"""The entrance of training: every kind of encoder, what goes wrong, streams, precision in turn."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from search_engine import BiEncoder, CrossEncoder, SparseEncoder
from search_engine.errors import ConfigError, SearchEngineError, TrainingDataError
from search_engine.training import TrainingSet
from search_engine.training.losses.bi_encoder import MultipleNegativesRankingLoss
from search_engine.training.losses.cross_encoder import BinaryCrossEntropyLoss
from tests.encoders.checkpoints import write_trunk
from tests.training.runs import (
    PAIRS,
    QUICK,
    SCORED,
    KilledError,
    SquaredDifference,
    assert_same_weights,
    dying,
    read_log,
    run,
    scored_set,
    weights_of,
    write_rows,
)

_TEXTS = ["the cell", "a membrane of lipids"]


def test_a_bi_encoder(dense_encoder: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    report = run(dense_encoder, scored_set(tmp_path), tmp_path / "run")
    ours = BiEncoder(str(report.model), backend="torch", device="cpu", dtype="float32")
    theirs = SentenceTransformer(str(report.model), device="cpu")
    np.testing.assert_allclose(ours.encode(_TEXTS), theirs.encode(_TEXTS), atol=1e-5)
    # Pairs with a high score are closer after training than those with a low one.
    a = ours.encode([row["sentence1"] for row in SCORED])
    b = ours.encode([row["sentence2"] for row in SCORED])
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    error = ((cosine - [row["score"] for row in SCORED]) ** 2).mean()
    assert error < report.losses[0][1]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoints", "log.jsonl", "loss.png", "model", "run.json",
    ]  # fmt: skip


def test_a_sparse_encoder(masked_lm: Path, tmp_path: Path) -> None:
    pairs = TrainingSet(
        write_rows(tmp_path / "pairs.jsonl", PAIRS),
        MultipleNegativesRankingLoss(similarity="dot", scale=0.01),
    )
    report = run(masked_lm, pairs, tmp_path / "run", kind="sparse")
    assert report.losses[-1][1] < report.losses[0][1]
    encoder = SparseEncoder(str(report.model), backend="torch", device="cpu", offline=True)
    assert encoder.encode_document(_TEXTS)


def test_a_cross_encoder(classifier: Path, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder as TheirCrossEncoder

    rows = [
        {"query": f"the cell {i}", "document": _TEXTS[i % 2], "label": i % 2} for i in range(16)
    ]
    judged = TrainingSet(write_rows(tmp_path / "judged.jsonl", rows), BinaryCrossEntropyLoss())
    report = run(classifier, judged, tmp_path / "run", kind="cross",
                 settings=QUICK.model_copy(update={"epochs": 10}))  # fmt: skip
    assert report.losses[-1][1] < report.losses[0][1] / 2
    pairs = [(row["query"], row["document"]) for row in rows]
    ours = CrossEncoder(str(report.model), backend="torch", device="cpu", dtype="float32")
    theirs = TheirCrossEncoder(str(report.model), device="cpu")
    np.testing.assert_allclose(ours.predict(pairs), theirs.predict(pairs), atol=1e-5)
    right = (ours.predict(pairs) > 0.5) == np.array([row["label"] for row in rows])
    assert right.mean() > 0.8


@pytest.mark.parametrize(
    ("sets", "kind"),
    [
        ([], "none"),
        ("empty.jsonl", "empty"),
        ("missing.jsonl", "missing"),
        ("binary.jsonl", "broken"),
    ],
)
def test_data_that_is_no_data(sets: Any, kind: str, dense_encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\x00\x80 not json")
    given = [TrainingSet(str(tmp_path / sets), SquaredDifference())] if sets else []
    with pytest.raises(TrainingDataError):
        run(dense_encoder, given, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_pair_and_batches_of_one(dense_encoder: Path, tmp_path: Path) -> None:
    loss = MultipleNegativesRankingLoss()
    with pytest.raises(TrainingDataError, match="one example"):
        run(dense_encoder, TrainingSet(Dataset.from_list(PAIRS[:1]), loss), tmp_path / "run")
    with pytest.raises(ConfigError, match="at least 2"):
        run(dense_encoder, TrainingSet(Dataset.from_list(PAIRS), loss), tmp_path / "run",
            settings=QUICK.model_copy(update={"batch_size": 1}))  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_model_of_another_kind_or_none(
    dense_encoder: Path, masked_lm: Path, tmp_path: Path
) -> None:
    with pytest.raises(SearchEngineError):
        run(tmp_path / "missing", scored_set(tmp_path), tmp_path / "run")
    with pytest.raises(SearchEngineError):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "run", kind="sparse")
    assert not (tmp_path / "run").exists()


def test_a_model_with_other_labels_than_its_loss_takes(tmp_path: Path) -> None:
    three = write_trunk(tmp_path / "trunk", head="SequenceClassification", labels=3)
    rows = [{"query": "a", "document": "b", "label": 1}] * 4
    judged = TrainingSet(Dataset.from_list(rows), BinaryCrossEntropyLoss())
    with pytest.raises(ConfigError, match="3"):
        run(three, judged, tmp_path / "run", kind="cross")
    assert not (tmp_path / "run").exists()


def test_a_stream_trains_as_its_batches_come_and_resumes(
    dense_encoder: Path, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "scored.jsonl", SCORED)

    def sets() -> TrainingSet:
        return TrainingSet(path, SquaredDifference(), streaming=True)

    with pytest.raises(ConfigError, match="max_steps"):
        run(dense_encoder, sets(), tmp_path / "run")
    settings = QUICK.model_copy(update={"max_steps": 11})
    whole = run(dense_encoder, sets(), tmp_path / "whole", settings=settings)
    assert whole.steps == 11
    with pytest.raises(KilledError):
        run(dense_encoder, sets(), tmp_path / "died", settings=settings, on_log=dying(4))
    run(dense_encoder, sets(), tmp_path / "died", settings=settings, resume=True)
    assert_same_weights(tmp_path / "whole/model", tmp_path / "died/model")
    assert read_log(tmp_path / "whole") == read_log(tmp_path / "died")


def test_processes_that_tokenize_change_nothing(dense_encoder: Path, tmp_path: Path) -> None:
    run(dense_encoder, scored_set(tmp_path), tmp_path / "alone")
    with warnings.catch_warnings():
        # Python warns of forks of a process that has threads, whoever started them.
        warnings.simplefilter("ignore", DeprecationWarning)
        run(dense_encoder, scored_set(tmp_path), tmp_path / "helped",
            settings=QUICK.model_copy(update={"workers": 1}))  # fmt: skip
    assert_same_weights(tmp_path / "alone/model", tmp_path / "helped/model")


def test_runs_in_one_process_take_no_notice_of_each_other(
    dense_encoder: Path, tmp_path: Path
) -> None:
    run(dense_encoder, scored_set(tmp_path), tmp_path / "first")
    run(dense_encoder, scored_set(tmp_path), tmp_path / "half",
        settings=QUICK.model_copy(update={"precision": "bfloat16"}))  # fmt: skip
    run(dense_encoder, scored_set(tmp_path), tmp_path / "second")
    assert_same_weights(tmp_path / "first/model", tmp_path / "second/model")
    half, whole = weights_of(tmp_path / "half/model"), weights_of(tmp_path / "first/model")
    assert any((half[name] != whole[name]).any() for name in whole)


def test_nothing_is_printed(
    dense_encoder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(dense_encoder, scored_set(tmp_path), tmp_path / "run")
    assert capfd.readouterr() == ("", "")


def test_the_record_of_a_run(dense_encoder: Path, tmp_path: Path) -> None:
    run(dense_encoder, scored_set(tmp_path), tmp_path / "run",
        settings=QUICK.model_copy(update={"max_steps": 1}))  # fmt: skip
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["settings"]["learning_rate"] == QUICK.learning_rate
    assert record["data"]["scored.jsonl"]["loss"] == {"name": "SquaredDifference"}
    assert str(tmp_path) not in json.dumps(record)

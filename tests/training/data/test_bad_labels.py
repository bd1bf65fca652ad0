"""Labels that no loss can take: each is told with its place, and none stops the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.data.batches import BatchPlan
from search_engine.training.data.training_set import (
    TrainingSet,
    open_training_set,
    open_training_sets,
)
from search_engine.training.losses.bi_encoder import (
    ContrastiveLoss,
    CosineSimilarityLoss,
    MatryoshkaLoss,
    SoftmaxLoss,
)
from search_engine.training.losses.cross_encoder import BinaryCrossEntropyLoss
from tests.training.data.sets import Takes, open_rows, open_texts, write_lines


def _pairs(*labels: Any, name: str = "label") -> list[dict[str, Any]]:
    return [{"a": f"a{n}", "b": f"b{n}", name: label} for n, label in enumerate(labels)]


def _open(path: Path, labels: list[Any], loss: Any, *, name: str = "label") -> Any:
    return open_training_set(TrainingSet(write_lines(path, _pairs(*labels, name=name)), loss))


@pytest.mark.parametrize("bad", [None, ["x"], {"x": 1}])
def test_a_class_without_a_name_is_no_class(tmp_path: Path, bad: Any) -> None:
    opened = _open(tmp_path / "data.jsonl", ["x", bad, "y"], Takes("labelled_pairs"))
    assert opened.classes == ("x", "y")
    assert opened.rows["label"][:] == [0, 1]
    assert [problem.line for problem in opened.problems] == [2]


def test_a_list_among_labels_is_a_bad_record(tmp_path: Path) -> None:
    rows = [{"query": "q", "document": f"d{n}", "label": n % 2} for n in range(4)]
    path = write_lines(tmp_path / "data.jsonl", [*rows, rows[0] | {"label": [1]}])
    opened = open_training_set(TrainingSet(path, Takes("tuples")))
    assert len(opened.rows) == 2
    assert [problem.line for problem in opened.problems] == [5]


def test_numbers_that_no_float_can_hold(tmp_path: Path) -> None:
    rows = [{"query": "q", "documents": ["x", "y"], "scores": [1, 0]}] * 2
    path = write_lines(tmp_path / "data.jsonl", [*rows, rows[0] | {"scores": [1, 10**400]}])
    opened = open_training_set(TrainingSet(path, Takes("lists")))
    assert len(opened.rows) == 2
    assert [problem.line for problem in opened.problems] == [3]


def test_a_cell_of_many_brackets(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(f"a,b,score\nx,y,0.5\nx,z,{'[' * 100_000}\n", encoding="utf-8")
    opened = open_training_set(TrainingSet(path, Takes("scored_pairs")))
    assert opened.rows["score"][:] == [0.5]
    assert len(opened.problems) == 1


@pytest.mark.parametrize(
    ("loss", "labels", "name", "reason"),
    [
        (BinaryCrossEntropyLoss(), [1, 0, 5, 1], "label", "is 5, and the loss takes 0 to 1"),
        (SoftmaxLoss(8, 3), [2, 0, 3, 1], "label", "'label' is 3, and the loss takes 0 to 2"),
        (ContrastiveLoss(), [1, 0, -1, 1], "label", "'label' is -1, and the loss takes 0 to 1"),
        (
            MatryoshkaLoss(CosineSimilarityLoss(), (8, 4)),
            [0.5, -1.0, 3.8, 1.0],
            "score",
            "'score' is 3.8, and the loss takes -1 to 1",
        ),
    ],
)  # fmt: skip
def test_a_label_out_of_range_is_told_before_the_first_step(
    tmp_path: Path, loss: Any, labels: list[Any], name: str, reason: str
) -> None:
    opened = _open(tmp_path / "data.jsonl", labels, loss, name=name)
    assert opened.rows[name][:] == [labels[0], labels[1], labels[3]]
    assert [problem.line for problem in opened.problems] == [3]
    assert reason in next(iter(opened.problems)).reason


def test_more_classes_than_the_loss_has(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"3 classes \(x, y, z\), and SoftmaxLoss takes 2"):
        _open(tmp_path / "data.jsonl", ["x", "y", "z"], SoftmaxLoss(8, 2))


def test_classes_of_two_sets_of_one_loss(tmp_path: Path) -> None:
    loss = SoftmaxLoss(8, 3)
    sets = [
        TrainingSet(write_lines(tmp_path / f"{n}.jsonl", _pairs(*labels)), loss)
        for n, labels in enumerate([("no", "yes", "who"), ("no", "yes")])
    ]
    with pytest.raises(TrainingDataError, match="number the labels yourself"):
        open_training_sets(sets)
    assert len(open_training_sets([sets[0], TrainingSet(sets[1].source, SoftmaxLoss(8, 2))])) == 2


def test_columns_of_a_data_set_in_memory_are_renamed() -> None:
    rows = [{"frage": f"q{n}", "query": f"wrong{n}", "antwort": f"p{n}"} for n in range(3)]
    chosen = {"frage": "query", "antwort": "positive"}
    opened = open_training_set(TrainingSet(Dataset.from_list(rows), Takes("pairs"), columns=chosen))
    assert list(opened.rows) == [{"query": f"q{n}", "positive": f"p{n}"} for n in range(3)]


def test_texts_that_can_never_share_a_batch() -> None:
    opened = open_texts([("one", f"p{n}") for n in range(6)], sampling="no_duplicates")
    with pytest.raises(TrainingDataError, match="no two examples can share a batch"):
        len(BatchPlan([opened], batch_size=4, mixing="proportional", seed=0))


def test_a_class_whose_texts_are_all_the_same() -> None:
    rows = [{"text": text, "class": kind} for text, kind in [("a", 0)] * 3 + [("b", 1), ("c", 1)]]
    opened = open_rows(rows, "tuples")
    assert {(row["anchor"], row["positive"]) for row in opened.rows} == {("b", "c"), ("c", "b")}


def test_what_is_no_loss() -> None:
    with pytest.raises(ConfigError, match="not a loss that was made"):
        open_training_set(TrainingSet(Dataset.from_list(_pairs(1)), ContrastiveLoss))  # type: ignore[arg-type]

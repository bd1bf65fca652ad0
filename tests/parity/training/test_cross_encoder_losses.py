"""Our losses of cross-encoders have the values and gradients of Sentence Transformers' own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder as TheirCrossEncoder
from sentence_transformers.cross_encoder import losses as their_losses
from torch import Tensor, nn

from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.training.data.collating import TrainingBatch
from search_engine.training.data.pair_collating import PairCollator
from search_engine.training.data.training_set import TrainingSet, open_training_set
from search_engine.training.losses import cross_encoder as our_losses
from search_engine.training.losses.loss import Loss
from search_engine.training.training_model import TrainingModel
from tests.encoders.checkpoints import write_trunk

QUERIES = ["what is a cell", "the membrane", "lipids and cells", "query of a document"]
POSITIVES = ["a cell is made of lipids", "the membrane of the cell " * 5, "lipids", "document x"]
HARD = ["numbers 1 2 3", "the quick fox", "of of of", "membrane and document"]
HARDER = ["a", "made of a cell", "is the document of lipids", "the lazy dog"]
LISTS = {
    "query": QUERIES,
    "documents": [
        ["a cell is made of lipids", "the quick fox", "membrane", "of a document"],
        ["the membrane of the cell"],
        ["lipids", "a b c", "cells of lipids and membranes made of lipids"],
        ["document", "query of the cell"],
    ],
    "scores": [[2.0, 0.5, 3.0, -1.0], [1.0], [0.0, 1.0, 2.0], [1.0, 0.0]],
}
GRADED = LISTS | {"scores": [[2.0, 0.0, 2.0, 1.0], [1.0], [0.0, 0.0, 0.0], [0.0, 3.0]]}
PAIRS = {"a": QUERIES, "b": POSITIVES}
TUPLES = {"anchor": QUERIES, "positive": POSITIVES, "negative": HARD, "negative_2": HARDER}


def collate(folder: Path, loss: Loss, data: Mapping[str, Any]) -> TrainingBatch:
    opened = open_training_set(TrainingSet(Dataset.from_dict(dict(data)), loss, name="set"))
    examples = [(0, row, opened.rows[row]) for row in range(len(opened.rows))]
    return PairCollator([opened], read_layout(folder, task="score"))(examples)["batch"]


def run_ours(folder: Path, loss: Loss, batch: TrainingBatch) -> tuple[Tensor, dict[str, Tensor]]:
    model = TrainingModel(read_layout(folder, task="score"), {"set": loss}).eval()
    value = model(batch)
    value.backward()
    return value, gradients(model.transformers()[0])


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in model.named_parameters()
    }


def assert_same(
    folder: Path,
    ours: Loss,
    theirs: str,
    data: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
) -> None:
    """The same value, and the same gradient of every parameter."""
    *_, label = data
    columns = list(data.values())
    labels: Any = None
    if label in ("label", "score", "scores"):
        labels = columns.pop()
        ragged = isinstance(labels[0], list) and label == "scores"
        labels = [torch.tensor(each) for each in labels] if ragged else torch.tensor(labels)
    reference = TheirCrossEncoder(str(folder), device="cpu").eval()
    expected = getattr(their_losses, theirs)(reference, **(options or {}))(columns, labels)
    expected.backward()
    value, found = run_ours(folder, ours, collate(folder, ours, data))
    torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
    wanted = gradients(reference[0].model)
    assert found.keys() == wanted.keys()
    assert sum(bool(each.abs().max() > 1e-3) for each in wanted.values()) > len(wanted) / 2
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


@pytest.fixture(scope="module")
def three_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trunk(
        tmp_path_factory.mktemp("nli") / "trunk", head="SequenceClassification", labels=3
    )


def make(name: str, **options: Any) -> Loss:
    return our_losses.LOSSES.get(name)(**options)


@pytest.mark.parametrize("weight", [None, 3.0])
@pytest.mark.parametrize("data", [{"label": [1, 0, 1, 0]}, {"score": [1.0, 0.25, 0.5, 0.0]}])
def test_binary_cross_entropy(classifier: Path, weight: float | None, data: dict[str, Any]) -> None:
    ours = make("BinaryCrossEntropyLoss", positive_weight=weight or 1.0)
    options = {} if weight is None else {"pos_weight": torch.tensor(weight)}
    assert_same(classifier, ours, "BinaryCrossEntropyLoss", PAIRS | data, options)


@pytest.mark.parametrize("name", ["BinaryCrossEntropyLoss", "MSELoss", "MarginMSELoss"])
@pytest.mark.parametrize(("activation", "theirs"), [("sigmoid", nn.Sigmoid()), ("tanh", nn.Tanh())])
def test_activations(classifier: Path, name: str, activation: str, theirs: nn.Module) -> None:
    data: dict[str, Any] = PAIRS | {"score": [1.0, 0.25, 0.5, 0.0]}
    if name == "MarginMSELoss":
        data = {"query": QUERIES, "positive": POSITIVES, "negative": HARD} | {
            "score": [1.0, -0.25, 2.0, 0.0]
        }
    ours = make(name, activation=activation)
    assert_same(classifier, ours, name, data, {"activation_fn": theirs})


def test_mse(classifier: Path) -> None:
    data = PAIRS | {"score": [4.0, -0.25, 0.5, 1.0]}
    assert_same(classifier, make("MSELoss"), "MSELoss", data)


@pytest.mark.parametrize(
    ("negatives", "scores"),
    [
        (1, [1.0, -0.25, 2.0, 0.0]),
        (1, [[1.0, 0.5], [-0.25, 2.0], [2.0, 1.0], [0.0, -4.0]]),
        (2, [[1.0, 0.5], [-0.25, 2.0], [2.0, 1.0], [0.0, -4.0]]),
        (2, [[1.0, 0.5, 3.0], [-0.25, 2.0, 1.0], [2.0, 1.0, 1.0], [0.0, -4.0, 0.0]]),
    ],
)
def test_margin_mse(classifier: Path, negatives: int, scores: list[Any]) -> None:
    texts = {"query": QUERIES, "positive": POSITIVES, "negative": HARD, "negative_2": HARDER}
    data = dict(list(texts.items())[: 2 + negatives]) | {"score": scores}
    assert_same(classifier, make("MarginMSELoss"), "MarginMSELoss", data)


def test_cross_entropy(three_labels: Path) -> None:
    data = PAIRS | {"label": [2, 0, 1, 2]}
    assert_same(three_labels, make("CrossEntropyLoss"), "CrossEntropyLoss", data)
    ours = make("CrossEntropyLoss", class_weights=(1.0, 2.0, 0.5), label_smoothing=0.1)
    options = {"weight": torch.tensor([1.0, 2.0, 0.5]), "label_smoothing": 0.1}
    assert_same(three_labels, ours, "CrossEntropyLoss", data, options)
    ours = make("CrossEntropyLoss", activation="tanh")
    assert_same(three_labels, ours, "CrossEntropyLoss", data, {"activation_fn": nn.Tanh()})


def test_cross_entropy_with_probabilities(three_labels: Path) -> None:
    data = PAIRS | {"label": [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.1, 0.8, 0.1]]}
    assert_same(three_labels, make("CrossEntropyLoss"), "CrossEntropyLoss", data)


@pytest.mark.parametrize("data", [TUPLES, {"anchor": QUERIES, "positive": POSITIVES}])
@pytest.mark.parametrize("cached", ["", "Cached"])
def test_multiple_negatives_ranking(
    classifier: Path, cached: str, data: dict[str, list[str]]
) -> None:
    name = f"{cached}MultipleNegativesRankingLoss"
    few: dict[str, Any] = {"mini_batch_size": 3} if cached else {}
    assert_same(
        classifier, make(name, num_negatives=None, **few), name, data, {"num_negatives": None} | few
    )
    # More than the batch has.
    ours = make(name, num_negatives=50, scale=3.0, activation="identity", **few)
    options = {"num_negatives": 50, "scale": 3.0, "activation_fn": None}
    assert_same(classifier, ours, name, data, options | few)


@pytest.mark.parametrize("cached", ["", "Cached"])
def test_the_same_negatives_drawn(
    classifier: Path, cached: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{cached}MultipleNegativesRankingLoss"
    ours = make(name, num_negatives=2)
    pairs = iter(collate(classifier, ours, TUPLES).columns[0].texts)
    # Positive, two negatives of its own, two that were drawn.
    drawn = [[next(pairs)[1] for _ in range(5)][3:] for _ in QUERIES]
    monkeypatch.setattr(
        getattr(their_losses, name),
        "get_in_batch_negatives",
        lambda self, anchors, candidates: map(list, zip(*drawn, strict=True)),
    )
    assert_same(classifier, ours, name, TUPLES)


@pytest.mark.parametrize("data", [LISTS, GRADED])
@pytest.mark.parametrize("name", ["ListNetLoss", "RankNetLoss", "LambdaLoss", "ADRMSELoss"])
def test_listwise(classifier: Path, name: str, data: dict[str, Any]) -> None:
    assert_same(classifier, make(name), name, data)
    few = {"mini_batch_size": 3}
    ours = make(name, activation="tanh", **few)
    assert_same(classifier, ours, name, data, {"activation_fn": nn.Tanh()} | few)


@pytest.mark.parametrize("respect_input_order", [False, True])
@pytest.mark.parametrize("name", ["ListMLELoss", "PListMLELoss"])
def test_list_mle(classifier: Path, name: str, respect_input_order: bool) -> None:
    options = {"respect_input_order": respect_input_order}
    assert_same(classifier, make(name, **options), name, LISTS, options)
    few = {"mini_batch_size": 3}
    ours = make(name, activation="tanh", **options, **few)
    assert_same(classifier, ours, name, LISTS, {"activation_fn": nn.Tanh()} | options | few)


@pytest.mark.parametrize(
    "options", [{"k": 2}, {"k": 1, "sigma": 0.5}, {"sigma": 2.0, "reduction_log": "natural"}]
)
@pytest.mark.parametrize(
    ("weighting", "theirs"),
    [
        ("none", their_losses.NoWeightingScheme()),
        ("ndcg_loss1", their_losses.NDCGLoss1Scheme()),
        ("ndcg_loss2", their_losses.NDCGLoss2Scheme()),
        ("lambda_rank", their_losses.LambdaRankScheme()),
        ("ndcg_loss2++", their_losses.NDCGLoss2PPScheme()),
    ],
)
def test_lambda_loss(
    classifier: Path, weighting: str, theirs: nn.Module, options: dict[str, Any]
) -> None:
    ours = make("LambdaLoss", weighting=weighting, **options)
    scheme = {"weighting_scheme": theirs}
    for data in (LISTS, GRADED):
        assert_same(classifier, ours, "LambdaLoss", data, options | scheme)


def test_the_weight_of_the_two_halves(classifier: Path) -> None:
    ours = make("LambdaLoss", mu=2.5)
    options = {"weighting_scheme": their_losses.NDCGLoss2PPScheme(mu=2.5)}
    assert_same(classifier, ours, "LambdaLoss", GRADED, options)


@pytest.mark.parametrize("options", [{"k": 2}, {"sigma": 0.5, "reduction_log": "natural"}])
def test_rank_net(classifier: Path, options: dict[str, Any]) -> None:
    assert_same(classifier, make("RankNetLoss", **options), "RankNetLoss", GRADED, options)


def test_alpha(classifier: Path) -> None:
    assert_same(classifier, make("ADRMSELoss", alpha=2.0), "ADRMSELoss", GRADED, {"alpha": 2.0})

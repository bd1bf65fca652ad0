"""A loss and its gradients, by our training model and by Sentence Transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.training.data.collating import TextCollator, TrainingBatch
from search_engine.training.data.training_set import TrainingSet, open_training_set
from search_engine.training.losses.loss import Loss
from search_engine.training.training_model import TrainingModel

LABELS = ("label", "score", "vector")
ANCHORS = (
    "what is a cell made of",
    "lipids",
    "query of the membrane and the cell of lipids " * 3,
    "Zürich, naïve café",
    "numbers 1 2 3",
    "the quick brown fox",
)
POSITIVES = (
    "a cell membrane is made of lipids",
    "fats and oils",
    "x",
    "coffee by the lake " * 5,
    "four five six",
    "jumps over the lazy dog",
)
NEGATIVES = (
    "the dog of the query",
    "a document and a cell",
    "membrane",
    "made of the quick lipids",
    "numbers 1 2 3 4",
    "of a fox " * 6,
)


@dataclass(frozen=True)
class Run:
    """The value of a loss, and by name the gradient of each parameter of encoder and loss."""

    value: float
    gradients: Mapping[str, Tensor]


def triples(count: int = 6) -> dict[str, list[Any]]:
    return {
        "anchor": list(ANCHORS[:count]),
        "positive": list(POSITIVES[:count]),
        "negative": list(NEGATIVES[:count]),
    }


def pairs(**labels: list[Any]) -> dict[str, list[Any]]:
    return {"a": list(ANCHORS), "b": list(POSITIVES), **labels}


def build_model(
    folder: Path, loss: Loss, data: Mapping[str, list[Any]]
) -> tuple[TrainingModel, TrainingBatch]:
    """The training model of a checkpoint, and all the data as one batch."""
    layout = read_layout(folder, task="embedding")
    rows = Dataset.from_dict(dict(data))
    opened = open_training_set(TrainingSet(rows, loss, name="set"))
    examples = [(0, number, row) for number, row in enumerate(rows)]
    batch = TextCollator([opened], layout)(examples)["batch"]
    return TrainingModel(layout, {"set": loss}), batch


def run_ours(
    folder: Path, loss: Loss, data: Mapping[str, list[Any]], *, progress: float = 1.0
) -> Run:
    model, batch = build_model(folder, loss, data)
    model.progress = progress
    return run(model, batch)


def run(model: TrainingModel, batch: TrainingBatch) -> Run:
    model.zero_grad()
    value = model(batch)
    value.backward()
    return Run(value.item(), gradients_of(model))


def gradients_of(model: TrainingModel) -> dict[str, Tensor]:
    """By the reference's names of the parameters."""
    return {
        _reference_name(name): parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def _reference_name(name: str) -> str:
    """What Sentence Transformers calls a parameter of ours."""
    if name.startswith("losses.0."):
        return f"loss.{name.removeprefix('losses.0.')}"
    name = name.removeprefix("graphs.any.")
    if name.startswith("trunk."):
        return f"0.{name.removeprefix('trunk.')}"
    _, number, rest = name.split(".", 2)
    return f"{int(number) + 1}.{rest}"


@lru_cache(maxsize=4)
def _open_theirs(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu").eval()


def run_theirs(
    folder: Path,
    make_loss: Callable[[SentenceTransformer], nn.Module],
    data: Mapping[str, list[Any]],
) -> Run:
    model = _open_theirs(folder)
    model.zero_grad()
    loss = make_loss(model)
    features = [model.preprocess(list(texts)) for name, texts in data.items() if name not in LABELS]
    labels = next((torch.tensor(data[name]) for name in LABELS if name in data), None)
    value = loss(features, labels)
    value.backward()
    own = {f"loss.{name}": each for name, each in loss.named_parameters() if "model." not in name}
    gradients = {
        name: parameter.grad.clone()
        for name, parameter in (dict(model.named_parameters()) | own).items()
        if parameter.grad is not None
    }
    return Run(value.item(), gradients)


def assert_same_run(ours: Run, theirs: Run, *, tolerance: float = 1e-5) -> None:
    """Equal values and gradients, relative to the largest, and some gradient of each parameter."""
    assert abs(ours.value - theirs.value) <= tolerance * max(1, abs(theirs.value))
    assert ours.gradients.keys() == theirs.gradients.keys()
    largest = max(float(each.abs().max()) for each in theirs.gradients.values())
    # A loss without gradients would agree with anything.
    assert largest > 1e-4
    for name, expected in theirs.gradients.items():
        difference = float((ours.gradients[name] - expected).abs().max())
        assert difference <= tolerance * max(1, largest), name

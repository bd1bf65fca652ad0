"""Small trainings: data, evaluators and losses that tests of the loop share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from search_engine.training import TrainingReport, TrainingSet, TrainingSettings, train
from search_engine.training.data.formats import Format
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss

PAIRS = [
    {"anchor": f"the cell {i}", "positive": f"a membrane of lipids {i * 7 % 24} is made"}
    for i in range(24)
]
SCORED = [
    {"sentence1": f"query {i}", "sentence2": f"document of cell {i * 5 % 24}", "score": i / 24}
    for i in range(24)
]
QUICK = TrainingSettings(batch_size=4, learning_rate=1e-2, epochs=2, save_every=4, log_every=3)


class SquaredDifference(Loss):
    """A mean over examples without in-batch negatives."""

    formats: ClassVar[tuple[Format, ...]] = ("scored_pairs",)

    def forward(self, batch: VectorBatch) -> Tensor:
        a, b = batch.vectors
        assert batch.labels is not None
        return ((torch.cosine_similarity(a, b) - batch.labels) ** 2).mean()


class LearnedScale(Loss):
    """A loss with a parameter and dropout of its own."""

    formats: ClassVar[tuple[Format, ...]] = ("scored_pairs",)

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.5]))
        self.dropout = nn.Dropout(0.3)

    def forward(self, batch: VectorBatch) -> Mapping[str, Tensor]:
        a, b = batch.vectors
        assert batch.labels is not None
        close = self.dropout(torch.cosine_similarity(a, b))
        error = ((close * self.scale - batch.labels) ** 2).mean()
        return {"error": error, "size": 0.01 * self.scale.square().sum()}


class PoisonedLoss(SquaredDifference):
    """Not a number from some step on."""

    def __init__(self, after: int, *, gradient: bool = False) -> None:
        super().__init__()
        self._calls = 0
        self.after = after
        self.gradient = gradient

    def forward(self, batch: VectorBatch) -> Tensor:
        loss = super().forward(batch)
        self._calls += 1
        if self._calls <= self.after:
            return loss
        if self.gradient:
            # Finite itself, but its derivative at 0 is not.
            return loss + (batch.vectors[0].sum() * 0).sqrt()
        return loss * torch.nan


class Alike:
    """How alike two texts are for the encoder; deterministic, and changes with each step."""

    name = "alike"
    metric = "cosine"

    def __init__(self, sign: float = 1.0) -> None:
        self._sign = sign

    def __call__(self, encoder: Any) -> Mapping[str, float]:
        a, b = map(torch.from_numpy, encoder.encode(["the cell", "a membrane of lipids"]))
        return {"cosine": self._sign * float(torch.cosine_similarity(a, b, dim=0)), "constant": 1.0}


class Scripted:
    """The scores that it was told, one for each evaluation."""

    name = "scripted"
    metric = "value"

    def __init__(self, *values: float) -> None:
        self._values = iter(values)

    def __call__(self, encoder: Any) -> Mapping[str, float]:
        return {"value": next(self._values)}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def scored_set(folder: Path, loss: Loss | None = None, rows: Any = None) -> TrainingSet:
    path = write_rows(folder / "scored.jsonl", rows or SCORED)
    return TrainingSet(path, loss or SquaredDifference())


def weights_of(folder: Path) -> dict[str, Tensor]:
    """All weights in a folder, by file and name."""
    return {
        f"{path.relative_to(folder)}:{name}": weight
        for path in sorted(folder.rglob("*.safetensors"))
        for name, weight in load_file(path).items()
    }


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    assert first
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name


def read_log(run: Path) -> list[dict[str, float]]:
    """Entries of the log but for the last, which is about time."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if "train_runtime" not in entry]


def run(model: Path, sets: Any, output: Path, **options: Any) -> TrainingReport:
    """A training on the CPU."""
    return train(str(model), sets, output, device="cpu", offline=True,
                 **({"settings": QUICK} | options))  # fmt: skip


class KilledError(Exception):
    """What stands in for the death of the process."""


def dying(after: int) -> Callable[[Mapping[str, float]], None]:
    """Dies when so many entries have been logged."""
    seen = []

    def on_log(entry: Mapping[str, float]) -> None:
        seen.append(entry)
        if len(seen) == after:
            raise KilledError

    return on_log

"""How good a model is while it is trained, and whether that is more than chance in the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from search_engine.encoders.checkpoints.layout import Task
from search_engine.errors import ConfigError
from search_engine.evaluation.comparison import Comparison, compare
from search_engine.evaluation.measured import Measured

Kind: TypeAlias = Literal["bi", "sparse", "cross"]
# Of each comparison: a statistic of all items is computed anew in each.
_SAMPLES = 2_000
TASKS: Mapping[Kind, Task] = {"bi": "embedding", "sparse": "sparse", "cross": "score"}


class Evaluator(Protocol):
    """Scores of an encoder on data that it is not trained on.

    One that has a `measure(encoder) -> Measured` too is asked for that instead, so that the trained
    model can be compared with what it was, item by item.

    Attributes:
        name: put before the names of its scores.
        metric: the score that decides which checkpoint is the best; higher is better.
    """

    @property
    def name(self) -> str: ...

    @property
    def metric(self) -> str: ...

    def __call__(self, encoder: Any) -> Mapping[str, float]:
        """The scores by name."""


class Evaluation:
    """The evaluators of a run, and what those that measure items found.

    Args:
        kind: which encoder the models are opened as.
        device: that they compute on; None is the GPU where there is one.

    Raises:
        ConfigError: two evaluators have one name.
    """

    def __init__(self, kind: Kind, evaluators: Sequence[Evaluator], *, device: str | None) -> None:
        names = [evaluator.name for evaluator in evaluators]
        if len(set(names)) < len(names):
            raise ConfigError(f"the evaluators {', '.join(names)} need names that differ.")
        self._kind = kind
        self._evaluators = evaluators
        self._device = device
        self._measured: dict[tuple[int, str], Measured] = {}
        self._best: tuple[int, float] | None = None

    def score(self, folder: Path, *, step: int) -> dict[str, float]:
        """The scores of a model by name; "score" is the mean of those that decide.

        Args:
            step: that the model is of; 0 is the one that training began with.

        Raises:
            ConfigError: an evaluator does not give the score that it says decides.
        """
        encoder = self._open(folder)
        scores: dict[str, float] = {}
        deciding = []
        for evaluator in self._evaluators:
            found = self._ask(evaluator, encoder, step)
            if evaluator.metric not in found:
                raise ConfigError(
                    f"the evaluator {evaluator.name} decides by {evaluator.metric!r}, which is not "
                    f"among its scores: {', '.join(found)}."
                )
            deciding.append(float(found[evaluator.metric]))
            scores |= {f"{evaluator.name}_{name}": float(value) for name, value in found.items()}
        score = math.fsum(deciding) / len(deciding)
        self._forget(step, score)
        return scores | {"score": score}

    def compare(self, before: Path, after: Path, *, step: int) -> dict[str, Comparison]:
        """The model after training against the one before, by evaluators that measure items.

        Args:
            before, after: the two models.
            step: that the model after training is of.
        """
        if not self._measuring():
            return {}
        sides = []
        for folder, at in ((before, 0), (after, step)):
            encoder = None
            for evaluator in self._measuring():
                # What was found by a process that has died since is found again.
                if (at, evaluator.name) not in self._measured:
                    encoder = encoder or self._open(folder)
                    self._ask(evaluator, encoder, at)
            sides.append([self._measured[at, each.name] for each in self._measuring()])
        return {
            evaluator.name: compare(first, second, names=("before", "after"), samples=_SAMPLES)
            for evaluator, first, second in zip(self._measuring(), *sides, strict=True)
            # An evaluator need not keep the values of its items.
            if first.per_item and second.per_item
        }

    def _forget(self, step: int, score: float) -> None:
        """Keep what was measured of the first and of the best model only."""
        if step == 0:
            return
        better = self._best is None or score > self._best[1]
        gone = step if self._best is not None and not better else (self._best or (None,))[0]
        self._measured = {key: value for key, value in self._measured.items() if key[0] != gone}
        if better:
            self._best = (step, score)

    def _measuring(self) -> list[Evaluator]:
        return [evaluator for evaluator in self._evaluators if hasattr(evaluator, "measure")]

    def _ask(self, evaluator: Evaluator, encoder: Any, step: int) -> Mapping[str, float]:
        measure = getattr(evaluator, "measure", None)
        if measure is None:
            return evaluator(encoder)
        measured: Measured = measure(encoder)
        self._measured[step, evaluator.name] = measured
        return measured.scores

    def _open(self, folder: Path) -> Any:
        from search_engine.encoders.bi_encoder import BiEncoder
        from search_engine.encoders.cross_encoder import CrossEncoder
        from search_engine.encoders.sparse_encoder import SparseEncoder

        kinds: Mapping[Kind, Any] = {
            "bi": BiEncoder,
            "sparse": SparseEncoder,
            "cross": CrossEncoder,
        }
        # Not OpenVINO, which would keep an exported graph of every model that is tried.
        return kinds[self._kind](str(folder), backend="torch", device=self._device, offline=True)

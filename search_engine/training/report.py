"""What a training run did, as it is returned and as it is written beside the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transformers import TrainerState

from search_engine.evaluation.comparison import Comparison
from search_engine.training.data.training_set import OpenedSet


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a run did.

    Attributes:
        model: the folder of the trained model.
        steps: of the optimizer, those of earlier tries that it went on from included.
        seconds: wall time of this try.
        losses: (step, mean loss since the one before).
        scores: (step, scores by name), of each evaluation; that of step 0 is from before training.
        best_step: of the checkpoint that was chosen; None without evaluators.
        comparisons: the model before and after, by evaluators that measure items; none of a
            run that was finished before.
        problems: by training set, how many of its records made no example.
        notes: by training set, what was done to its columns and records, one sentence each.
    """

    model: Path
    steps: int
    seconds: float
    losses: tuple[tuple[int, float], ...]
    scores: tuple[tuple[int, Mapping[str, float]], ...]
    best_step: int | None
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    problems: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def scores_before(self) -> Mapping[str, float]:
        """Of the model that training began with; empty without evaluators."""
        return dict(self.scores).get(0, {})

    @property
    def scores_after(self) -> Mapping[str, float]:
        """Of the model that was chosen; empty without evaluators."""
        return {} if self.best_step is None else dict(self.scores).get(self.best_step, {})


def report_of(
    state: TrainerState, model: Path, sets: Sequence[OpenedSet], *, evaluated: bool
) -> TrainingReport:
    """The report of a training that is over, but for what comes after it.

    Args:
        model: the folder of the trained model.
        evaluated: whether there are evaluators.
    """
    scores = tuple(
        (
            int(entry["step"]),
            {
                name.removeprefix("eval_"): value
                for name, value in entry.items()
                if name.startswith("eval_")
            },
        )
        for entry in state.log_history
        if "eval_score" in entry
    )
    return TrainingReport(
        model=model,
        steps=state.global_step,
        seconds=0.0,
        losses=tuple(
            (int(entry["step"]), entry["loss"]) for entry in state.log_history if "loss" in entry
        ),
        scores=scores,
        # Where no score is a number, the last is taken.
        best_step=(state.best_global_step or state.global_step) if evaluated else None,
        problems={each.name: len(each.problems) for each in sets},
        notes={each.name: each.notes for each in sets if each.notes},
    )

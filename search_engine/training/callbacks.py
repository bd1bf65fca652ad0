"""What happens between the steps of a training: logging, evaluating first, stopping early."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from transformers import TrainerCallback

LogEntry: TypeAlias = Mapping[str, float]


def is_exhausted(history: Sequence[LogEntry], patience: int | None) -> bool:
    """Whether so many evaluations have gone by without a better score.

    It is counted in the log, so that a training that was killed stops where it would have.

    Args:
        history: entries of the log.
        patience: None is never.
    """
    scores = [entry["eval_score"] for entry in history if "eval_score" in entry and entry["step"]]
    if patience is None or not scores:
        return False
    since, best = 0, -math.inf
    for score in scores:
        since, best = (0, score) if score > best else (since + 1, best)
    return since >= patience


class PatienceCallback(TrainerCallback):
    """Stops after so many evaluations without a better score."""

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if is_exhausted(state.log_history, self._patience):
            control.should_training_stop = True


class WholeLogCallback(TrainerCallback):
    """Logs the mean loss whenever a checkpoint is written.

    What is summed up since the last entry is not in the checkpoint, so that a training that goes on
    from there would log another mean.
    """

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        control.should_log = control.should_log or control.should_save

    on_epoch_end = on_step_end


class LogFileCallback(TrainerCallback):
    """Each entry of the log as a line of a file, as it is made.

    Args:
        path: of the file.
        on_log: called with each entry.
    """

    def __init__(self, path: Path, on_log: Callable[[LogEntry], None] | None) -> None:
        self._path = path
        self._on_log = on_log

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Begin the file with what the checkpoint knows: later lines are made again."""
        if state.is_world_process_zero:
            lines = [json.dumps(entry) + "\n" for entry in state.log_history]
            self._path.write_text("".join(lines), encoding="utf-8")

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if not state.is_world_process_zero:
            return
        entry = state.log_history[-1]
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if self._on_log is not None:
            self._on_log(entry)

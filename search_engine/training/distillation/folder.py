"""The folder of a distillation: `labels/`, `student/` to begin with, and `training/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search_engine.errors import ConfigError

_LABELS = "labels"
_STUDENT = "student"
_TRAINING = "training"


@dataclass(frozen=True, slots=True)
class DistillationFolder:
    """Where a distillation keeps what.

    Attributes:
        labels: of teachers, which another run may share.
        student: the checkpoint that training begins with, where one has to be made.
        training: the folder of the training run, the trained model in its `model/`.
        resumes: whether the training has begun, so that it goes on.
    """

    labels: Path
    student: Path
    training: Path
    resumes: bool


def open_folder(
    output: str | Path, *, labels: str | Path | None, resume: bool
) -> DistillationFolder:
    """The places in a folder, looked at before any label is made.

    Args:
        output: may hold the labels of a run that was interrupted.
        labels: instead of the folder's own.
        resume: whether a run in it is to go on, be it while labels are made or in the training.

    Raises:
        ConfigError: the folder holds something else, a training that is not to be resumed, or no
            run to resume.
    """
    output = Path(output)
    ours = {_LABELS, _STUDENT, _TRAINING}
    if output.exists() and (others := [p for p in output.iterdir() if p.name not in ours]):
        raise ConfigError(
            f"{output} holds other files, such as {others[0].name}; give a new folder."
        )
    training = output / _TRAINING
    begun = training.exists() and any(training.iterdir())
    if begun and not resume:
        raise ConfigError(f"{training} is not empty; give another folder, or resume the run in it.")
    if resume and not output.exists():
        raise ConfigError(f"{output} holds no run to go on with; leave resume out.")
    return DistillationFolder(
        labels=output / _LABELS if labels is None else Path(labels),
        student=output / _STUDENT,
        training=training,
        resumes=begun,
    )

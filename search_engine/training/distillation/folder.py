"""The folder of a distillation: `labels/`, `student/` to begin with, and `training/`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from search_engine.errors import ConfigError
from search_engine.training.arguments import check_precision
from search_engine.training.processes import ask_first, join_processes
from search_engine.training.settings import TrainingSettings

Answer = TypeVar("Answer")

_LABELS = "labels"
_STUDENT = "student"
_TRAINING = "training"
# Beside the student: what it was made of, and itself until it is whole.
_RECORD = "student.json"
_UNFINISHED = "student.tmp"


@dataclass(frozen=True, slots=True)
class DistillationFolder:
    """Where a distillation keeps what.

    Attributes:
        labels: of teachers, which another run may share.
        student: the checkpoint that training begins with, where one has to be made; it is whole
            where it is there.
        training: the folder of the training run, the trained model in its `model/`.
        resumes: whether the training has begun, so that it goes on.
    """

    labels: Path
    student: Path
    training: Path
    resumes: bool


def open_run(
    output: str | Path,
    *,
    labels: str | Path | None,
    resume: bool,
    settings: TrainingSettings | None,
    device: str | None,
) -> DistillationFolder:
    """The folder of a run, after what can be refused before the teacher is asked.

    Processes that were launched together are connected from here on.

    Args:
        output, labels, resume: as of `open_folder`.
        settings, device: of the training that follows.

    Raises:
        ConfigError: as of `open_folder`; or the device has not the precision of the settings.
    """
    check_precision(settings or TrainingSettings(), device)
    join_processes(device)
    return ask_first(lambda: open_folder(output, labels=labels, resume=resume))


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
            run to resume; or one of the two is no folder, or cannot be written.
    """
    output = Path(output)
    for place in (output, *(() if labels is None else (Path(labels),))):
        _check_place(place)
    ours = {_LABELS, _STUDENT, _TRAINING, _RECORD, _UNFINISHED}
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


def write_student(
    folder: DistillationFolder,
    made_of: Mapping[str, Any],
    write: Callable[[Path], Answer],
    *,
    reuse: bool,
) -> Answer | None:
    """Let the student be written by one process, and give it its name when it is whole.

    A student that is there is never replaced: it may be all that a run was to make.

    Args:
        made_of: what JSON can hold, other where the student would be another.
        write: into a folder that does not exist yet.
        reuse: whether a student that is there and was made of the same is taken.

    Returns:
        What `write` does; None where a student was taken.

    Raises:
        ConfigError: there is a student, and it was made of something else, or is not to be taken.
    """
    return ask_first(lambda: _write_student(folder, made_of, write, reuse=reuse))


def _write_student(
    folder: DistillationFolder,
    made_of: Mapping[str, Any],
    write: Callable[[Path], Answer],
    *,
    reuse: bool,
) -> Answer | None:
    record = folder.student.with_name(_RECORD)
    if folder.student.exists():
        if not reuse:
            raise ConfigError(
                f"{folder.student} is there already; give another folder, or resume to train it."
            )
        different = _find_differences(record, made_of)
        if different:
            raise ConfigError(
                f"{folder.student} was not made of the same: {different}. Give what it was made "
                "of, or another folder."
            )
        return None
    unfinished = folder.student.with_name(_UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        answer = write(unfinished)
        record.write_text(json.dumps(dict(made_of)) + "\n", encoding="utf-8")
        unfinished.rename(folder.student)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return answer


def _find_differences(record: Path, made_of: Mapping[str, Any]) -> str:
    """What a student was made of and should not have been, for a message; "" where it is the same.

    Without a record nobody knows what it was made of.
    """
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"what it was made of cannot be read in {record} ({error})"
    if not isinstance(before, dict):
        return f"{record} is damaged"
    return "; ".join(
        f"{name} was {before.get(name)!r}, and is {value!r}"
        for name, value in made_of.items()
        if before.get(name) != value
    )


def _check_place(place: Path) -> None:
    """See that a folder is there, or can be made.

    Raises:
        ConfigError: it is no folder, or what holds it is none, or cannot be written.
    """
    there = next(each for each in (place, *place.absolute().parents) if os.path.lexists(each))
    if not there.is_dir():
        raise ConfigError(f"{there} is no folder; give a folder for the run or its labels.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{there} cannot be written; give another folder.")

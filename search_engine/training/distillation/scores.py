"""Rankings of a teacher into a bi-encoder or a sparse encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.errors import ReadError, TrainingDataError
from search_engine.training.callbacks import LogEntry
from search_engine.training.data.formats import Format
from search_engine.training.data.training_set import OpenedSet, TrainingSet, open_training_set
from search_engine.training.distillation.folder import open_run
from search_engine.training.distillation.labels import label_rows
from search_engine.training.distillation.teachers import Teacher
from search_engine.training.losses.loss import Loss
from search_engine.training.runs import Evaluator, TrainingReport, train
from search_engine.training.settings import TrainingSettings


class Distillation(Loss):
    """Stands for the loss of data that a teacher has yet to score."""

    formats: ClassVar[tuple[Format, ...]] = ("tuples", "scored_tuples")


def distill_scores(
    student: str,
    teacher: Teacher,
    sets: Sequence[TrainingSet] | TrainingSet,
    output: str | Path,
    *,
    kind: Literal["bi", "sparse"] = "bi",
    settings: TrainingSettings | None = None,
    evaluators: Sequence[Evaluator] = (),
    labels: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    offline: bool = False,
    on_problem: Callable[[ReadError], None] | None = None,
    on_rows: Callable[[int], None] | None = None,
    on_log: Callable[[LogEntry], None] | None = None,
) -> TrainingReport:
    """Train a student to score (query, positive, negative...) as a teacher does.

        rows = TrainingSet("mined.jsonl", MarginMSELoss())
        teacher = CrossEncoderScores(CrossEncoder("cross-encoder/ms-marco-MiniLM-L6-v2"))
        distill_scores("all-MiniLM-L6-v2", teacher, rows, "runs/distilled")
        BiEncoder("runs/distilled/training/model")

    The margins between documents are what is learnt by MarginMSELoss (Hofstätter et al. 2020),
    their distribution by DistillKLDivLoss.

    Args:
        student: name or folder of a checkpoint.
        teacher: `CrossEncoderScores`, or `Similarities` of a bi-encoder.
        sets: texts to be scored, with the loss that is computed from the scores; labels that they
            have are left out.
        output: folder of the run: `labels/`, and `training/` as `train` writes it.
        kind: of the student.
        labels: folder for the scores instead, so that several runs share them.
        on_problem: told of each record that makes no example, up to a thousand of a set.
        on_rows: called with the number of examples that have been scored.
        settings, evaluators, resume, device, offline, on_log: as of `train`.

    Raises:
        TrainingDataError: the data is not (query, positive, negative...), or a loss does not take
            scores of it.
        TrainingError, ConfigError: as of `train`.
    """
    given = [sets] if isinstance(sets, TrainingSet) else list(sets)
    folder = open_run(output, labels=labels, resume=resume, settings=settings, device=device)
    find_checkpoint(student, offline=offline)
    opened = [_open(each, offline=offline) for each in given]
    scored = []
    for each, one in zip(given, opened, strict=True):
        try:
            scored.append(_score(each.loss, one, teacher, folder.labels, on_rows))
        finally:
            # All of them are known once all rows were read; they may explain what went wrong.
            if on_problem is not None:
                for problem in one.problems:
                    on_problem(problem)
    return train(
        student,
        scored,
        folder.training,
        kind=kind,
        settings=settings,
        evaluators=evaluators,
        resume=folder.resumes,
        device=device,
        offline=offline,
        on_log=on_log,
    )


def _open(training_set: TrainingSet, *, offline: bool) -> OpenedSet:
    """The texts of a set, looked at before the first of any set is scored."""
    opened = open_training_set(replace(training_set, loss=Distillation()), offline=offline)
    loss = type(training_set.loss).__name__
    if "scored_tuples" not in training_set.loss.formats:
        raise TrainingDataError(
            f"{opened.name}: {loss} does not learn from scores; take MarginMSELoss or "
            "DistillKLDivLoss."
        )
    if len(opened.columns.texts) < 3:
        raise TrainingDataError(
            f"{opened.name}: the columns are {' and '.join(opened.columns.texts)}, and {loss} "
            "compares the scores of several documents; mine negatives first."
        )
    return opened


def _score(
    loss: Loss,
    opened: OpenedSet,
    teacher: Teacher,
    folder: Path,
    on_rows: Callable[[int], None] | None,
) -> TrainingSet:
    scored = label_rows(
        opened.rows,
        teacher,
        columns=opened.columns.texts,
        label="scores",
        folder=folder,
        source=opened.name,
        on_rows=on_rows,
    )
    return replace(
        opened.origin,
        source=scored,
        loss=loss,
        name=opened.name,
        columns=(*opened.columns.texts, "scores"),
        streaming=False,
    )

"""A student trained to make the vectors of a teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.callbacks import LogEntry
from search_engine.training.data.training_set import TrainingSet
from search_engine.training.distillation.folder import DistillationFolder
from search_engine.training.distillation.labels import label_rows
from search_engine.training.distillation.teachers import Vectors, whole_width
from search_engine.training.losses.loss import Loss
from search_engine.training.runs import Evaluator, TrainingReport, train
from search_engine.training.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class TextSource:
    """Texts whose vectors are to be what the teacher makes of the first of each row.

    Attributes:
        name: what logs call it.
        columns: of the rows.
        rows: read once.
    """

    name: str
    columns: tuple[str, ...]
    rows: Iterable[Mapping[str, Any]]


def distill_vectors(
    student: str,
    teacher: BiEncoder,
    sources: Sequence[TextSource],
    folder: DistillationFolder,
    *,
    loss: Loss | None,
    settings: TrainingSettings | None,
    evaluators: Sequence[Evaluator],
    device: str | None,
    offline: bool,
    on_rows: Callable[[int], None] | None,
    on_log: Callable[[LogEntry], None] | None,
) -> TrainingReport:
    """Label the texts and train; arguments as of the functions that call this.

    Raises:
        ConfigError: the vectors of student and teacher are of different widths.
        TrainingDataError: the loss does not take vectors.
    """
    loss = make_mse_loss() if loss is None else loss
    if "vectors" not in loss.formats:
        raise TrainingDataError(f"{type(loss).__name__} does not learn from vectors; take MSELoss.")
    widths = [whole_width(BiEncoder(student, backend="torch", dtype="float32", offline=offline)),
              whole_width(teacher)]  # fmt: skip
    if widths[0] != widths[1]:
        raise ConfigError(
            f"the vectors of {student} have {widths[0]} dimensions, and those of {teacher.name} "
            f"{widths[1]}; take a student of as many, or a projection of the teacher."
        )
    labelled = [
        label_rows(
            source.rows,
            Vectors(teacher),
            columns=source.columns,
            label="vector",
            folder=folder.labels,
            source=source.name,
            on_rows=on_rows,
        )
        for source in sources
    ]
    return train(
        student,
        [
            TrainingSet(rows, loss, name=source.name, columns=(*source.columns, "vector"))
            for rows, source in zip(labelled, sources, strict=True)
        ],
        folder.training,
        settings=settings,
        evaluators=evaluators,
        resume=folder.resumes,
        device=device,
        offline=offline,
        on_log=on_log,
    )


def make_mse_loss() -> Loss:
    """The loss of vectors that Reimers & Gurevych (2020) take."""
    from search_engine.training.losses.bi_encoder import LOSSES

    return LOSSES.get("MSELoss")()

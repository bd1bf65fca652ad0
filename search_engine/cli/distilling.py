"""What the commands that distill share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from search_engine.cli.training_options import TrainingOptions

if TYPE_CHECKING:
    from search_engine.encoders.bi_encoder import BiEncoder
    from search_engine.errors import ReadError
    from search_engine.training.data.training_set import TrainingSet
    from search_engine.training.distillation.projection import Projection
    from search_engine.training.distillation.teachers import Teacher
    from search_engine.training.runs import TrainingReport

_SOME_NOT_READ = 3
# The price of terms that the published DistilSPLADE-max was trained with.
_SPARSE_OPTIONS = ("loss=MarginMSELoss", "document_weight=0.008", "query_weight=0.01")


def scored_sets(
    data: Sequence[str],
    loss: str | None,
    loss_options: Sequence[str] | None,
    *,
    kind: Literal["bi", "sparse"],
    options: TrainingOptions,
) -> list[TrainingSet]:
    """Data that a teacher is to score, with the loss that was asked for.

    Args:
        loss: None is MarginMSELoss; for a sparse encoder, with the price of its terms.
    """
    import torch

    from search_engine.cli.training_losses import make_loss
    from search_engine.training.data.training_set import TrainingSet

    # Losses may have random weights of their own.
    torch.manual_seed(options.settings().seed)
    given = list(loss_options or ())
    name = loss or "MarginMSELoss"
    if loss is None and kind == "sparse":
        name, given = "SpladeLoss", [*_SPARSE_OPTIONS, *given]
    return [
        TrainingSet(source, make_loss(name, given, kind=kind, offline=options.offline))
        for source in data
    ]


def distill_into(
    teacher: Teacher,
    model: str,
    sets: list[TrainingSet],
    kind: Literal["bi", "sparse"],
    labels: Path | None,
    options: TrainingOptions,
    *,
    extra: dict[str, Any] | None = None,
) -> None:
    """Score the data by the teacher, train the student, and print what came of it."""
    from search_engine.cli.training_progress import distillation_progress
    from search_engine.training.distillation.scores import distill_scores

    settings = options.settings()
    evaluators = options.evaluators(kind)
    problems: list[ReadError] = []
    with distillation_progress(settings) as (on_rows, log):
        report = distill_scores(
            model,
            teacher,
            sets,
            options.output,
            kind=kind,
            settings=settings,
            evaluators=evaluators,
            labels=labels,
            resume=options.resume,
            device=options.device,
            offline=options.offline,
            on_problem=print_into(problems),
            on_rows=on_rows,
            on_log=log,
        )
    finish_distillation(report, options, extra=extra, problems=problems)


def print_into(problems: list[ReadError]) -> Callable[[ReadError], None]:
    """What prints a problem as it comes, for it may be why all fails, and keeps it."""
    from search_engine.cli.terminal import printable
    from search_engine.training.processes import is_first_process

    def tell(problem: ReadError) -> None:
        problems.append(problem)
        if is_first_process():
            typer.echo(f"problem: {printable(str(problem))}", err=True)

    return tell


def finish_distillation(
    report: TrainingReport,
    options: TrainingOptions,
    *,
    extra: dict[str, Any] | None = None,
    problems: Sequence[ReadError] = (),
) -> None:
    """Print the report in one process, and end with status 3 where some lines were not read.

    Args:
        problems: of those lines, printed before.
    """
    from search_engine.cli.training_report import print_training
    from search_engine.training.processes import count_processes, is_first_process

    if not is_first_process():
        return
    print_training(report, as_json=options.as_json, extra=extra)
    # A launcher of several takes any status but 0 for a failure.
    if problems and count_processes() == 1:
        raise typer.Exit(_SOME_NOT_READ)


def print_projection(projection: Projection, folder: Path, *, as_json: bool) -> None:
    """Say what a projection keeps, measured on texts that it was not computed from."""
    import json

    from search_engine.training.processes import is_first_process

    if not is_first_process():
        return
    if as_json:
        typer.echo(json.dumps({"model": str(folder), "projection": asdict(projection)}))
        return
    typer.echo(
        f"{projection.dimension} dimensions hold {projection.variance:.1%} of the variance of "
        f"{projection.texts} texts"
    )
    correlation = (
        "their cosines are too few to compare with those of before"
        if projection.correlation is None
        else f"their cosines correlate with those of before by {projection.correlation:.4f}"
    )
    typer.echo(
        f"{projection.held_out} other texts: {correlation}, and {projection.nearest_kept:.1%} of "
        "the nearest ten stay"
    )
    typer.echo(f"model: {folder}")


def chosen_layers(keep: str, teacher: str, *, offline: bool) -> list[int]:
    """The layers that were typed, or as many of the teacher's, evenly."""
    try:
        numbers = [int(part) for part in keep.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"--keep {keep!r} is neither a number nor numbers") from error
    if "," in keep:
        return numbers
    from search_engine.training.distillation.fewer_layers import spread_layers

    return spread_layers(teacher, numbers[0], offline=offline)


def read_texts(path: Path) -> Iterator[str]:
    """The lines of a file that are not blank."""
    import gzip

    from search_engine.errors import ReadError
    from search_engine.ingest.formats.compressed import GZIP_ERRORS

    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as lines
        ):
            yield from (line.strip() for line in lines if line.strip())
    except (OSError, UnicodeDecodeError, *GZIP_ERRORS) as error:
        raise ReadError(str(path), f"cannot be read: {error}") from error


def open_bi_encoder(name: str, options: TrainingOptions) -> BiEncoder:
    """A teacher in float32: labels are made once, and as exact as can be."""
    from search_engine.encoders.bi_encoder import BiEncoder

    return BiEncoder(name, dtype="float32", device=_device(options), offline=options.offline)


def open_scores(name: str, options: TrainingOptions) -> Teacher:
    from search_engine.encoders.cross_encoder import CrossEncoder
    from search_engine.training.distillation.teachers import CrossEncoderScores

    encoder = CrossEncoder(name, dtype="float32", device=_device(options), offline=options.offline)
    return CrossEncoderScores(encoder)


def _device(options: TrainingOptions) -> str | None:
    """Where teachers compute: as training does, on a GPU where there is one."""
    import torch

    return options.device or ("cuda" if torch.cuda.is_available() else None)


@contextmanager
def encoding_progress() -> Iterator[Callable[[int], None]]:
    """A counter of texts whose number is not known."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from search_engine.cli.progress import console

    shown = TextColumn("Encoding {task.completed:,.0f} texts")
    with Progress(shown, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("", total=None)
        yield lambda count: progress.advance(task, count)

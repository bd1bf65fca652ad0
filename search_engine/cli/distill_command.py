"""search-cli distill: train a student on what a teacher says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from search_engine.cli.distilling import (
    chosen_layers,
    distill_into,
    encoding_progress,
    finish_distillation,
    open_bi_encoder,
    open_scores,
    print_into,
    print_projection,
    read_texts,
    scored_sets,
)
from search_engine.cli.training_options import TrainingOptions, with_training_options

if TYPE_CHECKING:
    from search_engine.errors import ReadError

distill = typer.Typer(
    name="distill",
    help="Train a student on what a teacher says of texts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

TeacherOption: TypeAlias = Annotated[str, typer.Option(help="A name or a folder.")]
StudentOption: TypeAlias = Annotated[
    str, typer.Option("--model", help="Where the student begins: a name or a folder.")
]
RowsOption: TypeAlias = Annotated[
    list[str],
    typer.Option(
        help="A file of (query, positive, negative...), as `search-cli mine` writes them. May be "
        "given several times."
    ),
]
LossOption: TypeAlias = Annotated[
    str | None, typer.Option(help="A loss that takes scores, by its name; MarginMSELoss.")
]
LossOptionsOption: TypeAlias = Annotated[
    list[str] | None, typer.Option("--loss-option", help="similarity=cosine. Several times.")
]
TextsOption: TypeAlias = Annotated[
    Path, typer.Option(help="A file with one text a line, plain or .gz.")
]
LabelsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Folder for what the teacher says, to share between runs."),
]


@distill.command("cross-to-bi")
@with_training_options
def cross_to_bi(
    *,
    teacher: TeacherOption,
    model: StudentOption,
    data: RowsOption,
    loss: LossOption = None,
    loss_option: LossOptionsOption = None,
    labels: LabelsOption = None,
    options: TrainingOptions,
) -> None:
    """The scores of a cross-encoder into a bi-encoder."""
    sets = scored_sets(data, loss, loss_option, kind="bi", options=options)
    distill_into(open_scores(teacher, options), model, sets, "bi", labels, options)


@distill.command("cross-to-sparse")
@with_training_options
def cross_to_sparse(
    *,
    teacher: TeacherOption,
    model: StudentOption,
    data: RowsOption,
    loss: LossOption = None,
    loss_option: LossOptionsOption = None,
    labels: LabelsOption = None,
    options: TrainingOptions,
) -> None:
    """The scores of a cross-encoder into a sparse encoder."""
    sets = scored_sets(data, loss, loss_option, kind="sparse", options=options)
    distill_into(open_scores(teacher, options), model, sets, "sparse", labels, options)


@distill.command("dense-to-sparse")
@with_training_options
def dense_to_sparse(
    *,
    teacher: TeacherOption,
    model: StudentOption,
    data: RowsOption,
    loss: LossOption = None,
    loss_option: LossOptionsOption = None,
    labels: LabelsOption = None,
    options: TrainingOptions,
) -> None:
    """The similarities of a bi-encoder into a sparse encoder."""
    from search_engine.training.distillation.teachers import Similarities

    sets = scored_sets(data, loss, loss_option, kind="sparse", options=options)
    dense = Similarities(open_bi_encoder(teacher, options))
    distill_into(dense, model, sets, "sparse", labels, options)


@distill.command("multilingual")
@with_training_options
def multilingual(
    *,
    teacher: TeacherOption,
    model: StudentOption,
    data: Annotated[
        list[str],
        typer.Option(
            help="A TSV file of sentences and translations, or ONE,OTHER: two files that are "
            "aligned line by line. May be given several times."
        ),
    ],
    labels: LabelsOption = None,
    options: TrainingOptions,
) -> None:
    """More languages for a bi-encoder, by sentences in its own with their translations."""
    from search_engine.cli.training_progress import distillation_progress
    from search_engine.training.distillation.multilingual import distill_multilingual
    from search_engine.training.distillation.parallel_sentences import ParallelSentences

    settings = options.settings()
    evaluators = options.evaluators("bi")
    files = [ParallelSentences(*map(Path, each.split(",", 1))) for each in data]
    problems: list[ReadError] = []
    with distillation_progress(settings) as (on_rows, log):
        report = distill_multilingual(
            model,
            open_bi_encoder(teacher, options),
            files,
            options.output,
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
    finish_distillation(report, options, problems=problems)


@distill.command("layers")
@with_training_options
def layers(
    *,
    teacher: TeacherOption,
    keep: Annotated[
        str, typer.Option(help="Layers that are kept, from 0: 0,2,4; or how many, evenly: 3.")
    ],
    texts: TextsOption,
    labels: LabelsOption = None,
    options: TrainingOptions,
) -> None:
    """A bi-encoder of some of its teacher's layers."""
    from search_engine.cli.training_progress import distillation_progress
    from search_engine.training.distillation.fewer_layers import distill_layers

    settings = options.settings()
    evaluators = options.evaluators("bi")
    chosen = chosen_layers(keep, teacher, offline=options.offline)
    with distillation_progress(settings) as (on_rows, log):
        report = distill_layers(
            open_bi_encoder(teacher, options),
            read_texts(texts),
            options.output,
            layers=chosen,
            settings=settings,
            evaluators=evaluators,
            labels=labels,
            resume=options.resume,
            device=options.device,
            offline=options.offline,
            on_rows=on_rows,
            on_log=log,
        )
    finish_distillation(report, options, extra={"layers": chosen})


@distill.command("dimension")
@with_training_options
def dimension(
    *,
    teacher: TeacherOption,
    to: Annotated[int, typer.Option("--dimension", min=1, help="Of the student's vectors.")],
    texts: TextsOption,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Train the projection further, with the whole vectors' similarities of these "
            "(query, positive, negative...). May be given several times."
        ),
    ] = None,
    loss: LossOption = None,
    loss_option: LossOptionsOption = None,
    labels: LabelsOption = None,
    options: TrainingOptions,
) -> None:
    """A bi-encoder whose vectors are projected to fewer dimensions."""
    from search_engine.training.distillation.folder import open_run, write_student
    from search_engine.training.distillation.projection import Projection, write_projected
    from search_engine.training.distillation.teachers import Similarities

    if options.resume and not data:
        raise typer.BadParameter(
            "--resume goes on with a training; give its --data, or leave --resume out"
        )
    sets = scored_sets(data, loss, loss_option, kind="bi", options=options) if data else []
    folder = open_run(
        options.output,
        labels=labels,
        resume=options.resume,
        settings=options.settings(),
        device=options.device,
    )
    encoder = open_bi_encoder(teacher, options)

    def write(place: Path) -> Projection:
        with encoding_progress() as on_texts:
            return write_projected(
                teacher,
                read_texts(texts),
                place,
                dimension=to,
                device=options.device,
                offline=options.offline,
                on_texts=on_texts,
            )

    projection = write_student(
        folder,
        {"teacher": encoder.fingerprint, "dimension": to},
        write,
        reuse=options.resume,
    )
    if projection is not None and not (sets and options.as_json):
        print_projection(projection, folder.student, as_json=options.as_json)
    if not sets:
        return
    whole = Similarities(encoder)
    extra = {} if projection is None else {"projection": asdict(projection)}
    distill_into(whole, str(folder.student), sets, "bi", labels, options, extra=extra)

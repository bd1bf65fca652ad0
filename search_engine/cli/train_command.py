"""search-cli train: fine-tune an encoder on data of your own."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from search_engine.cli.training_options import TrainingOptions, with_training_options

if TYPE_CHECKING:
    from search_engine.training.data.training_set import TrainingSet


_SOME_NOT_READ = 3


class EncoderKind(StrEnum):
    """Which of the three encoders."""

    BI = "bi"
    SPARSE = "sparse"
    CROSS = "cross"


@with_training_options
def train(
    kind: Annotated[
        EncoderKind, typer.Argument(help="What is trained: a bi-, sparse or cross-encoder.")
    ],
    *,
    model: Annotated[str, typer.Option(help="Where it begins: a name or a folder.")],
    data: Annotated[
        list[str],
        typer.Option(
            help="A JSONL, CSV, TSV or Parquet file, or a hub data set. May be given several times."
        ),
    ],
    loss: Annotated[
        list[str],
        typer.Option(
            help="A loss by its name, or FILE.py:CLASS of your own; once, or once for each --data."
        ),
    ],
    loss_option: Annotated[
        list[str] | None,
        typer.Option(
            help="scale=30; of a wrapped loss, loss=NAME and loss.scale=30. Several times."
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Which columns, in the order of the loss: query,answer.")
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help='Text before those of a column: "query=search_query: ". Several times.'),
    ] = None,
    matryoshka: Annotated[
        str | None, typer.Option(help="Also be good when cut short: 384,256,128.")
    ] = None,
    options: TrainingOptions,
) -> None:
    """Fine-tune an encoder on data of your own.

    The folder of the run gets the model, its card, checkpoints to resume from, the log and curves.
    """
    import torch

    from search_engine.cli.training_progress import training_progress
    from search_engine.cli.training_report import print_training
    from search_engine.training.processes import count_processes, is_first_process
    from search_engine.training.runs import train as train_model

    if matryoshka is not None and kind is not EncoderKind.BI:
        raise typer.BadParameter("--matryoshka is for bi-encoders, whose vectors can be cut")
    settings = options.settings()
    # Losses may have random weights of their own.
    torch.manual_seed(settings.seed)
    sets = _sets(
        data, loss, loss_option or [], kind=kind, columns=columns, prompt=prompt,
        matryoshka=matryoshka, offline=options.offline,
    )  # fmt: skip
    evaluators = options.evaluators(kind.value)
    with training_progress(settings) as log:
        report = train_model(
            model,
            sets,
            options.output,
            kind=kind.value,
            settings=settings,
            evaluators=evaluators,
            resume=options.resume,
            device=options.device,
            offline=options.offline,
            on_log=log,
        )
    if not is_first_process():
        return
    print_training(report, as_json=options.as_json)
    # A launcher of several takes any status but 0 for a failure.
    if any(report.problems.values()) and count_processes() == 1:
        raise typer.Exit(_SOME_NOT_READ)


def _sets(
    data: list[str],
    losses: list[str],
    loss_options: list[str],
    *,
    kind: EncoderKind,
    columns: str | None,
    prompt: list[str] | None,
    matryoshka: str | None,
    offline: bool,
) -> list[TrainingSet]:
    from search_engine.cli.training_losses import make_loss
    from search_engine.training.data.training_set import TrainingSet

    if len(losses) not in (1, len(data)):
        raise typer.BadParameter(
            f"there are {len(losses)} losses for {len(data)} data sets; give one, or one for each"
        )
    prompts = {}
    for each in prompt or ():
        column, equals, text = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"--prompt {each!r} is not of the form column=text")
        prompts[column] = text
    return [
        TrainingSet(
            source,
            make_loss(name, loss_options, kind=kind.value, matryoshka=matryoshka, offline=offline),
            columns=tuple(part.strip() for part in columns.split(",")) if columns else (),
            prompts=prompts,
        )
        for source, name in zip(data, losses * (len(data) // len(losses)), strict=True)
    ]

"""Options that all commands that train have."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from search_engine.cli.options import JsonOption, OfflineOption

if TYPE_CHECKING:
    from search_engine.training.runs import Evaluator
    from search_engine.training.settings import TrainingSettings


class TrainingPrecision(StrEnum):
    """What the transformer computes in while it is trained."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How a training goes, as it was asked for; None is the default of the library."""

    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run, a new one.")]
    epochs: Annotated[float | None, typer.Option(help="Passes over the data; 1.")] = None
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the optimizer, instead of epochs.")
    ] = None
    batch_size: Annotated[int | None, typer.Option(min=1, help="Examples in a batch; 32.")] = None
    accumulation: Annotated[
        int | None, typer.Option(min=1, help="Batches whose gradients make one step; 1.")
    ] = None
    learning_rate: Annotated[
        float | None, typer.Option(help="The highest, after the warm-up; 2e-5.")
    ] = None
    precision: Annotated[
        TrainingPrecision | None,
        typer.Option(help="What the transformer computes in; float32."),
    ] = None
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, more time.")
    ] = False
    max_tokens: Annotated[
        int | None, typer.Option(min=4, help="Longest text that is read; the model's own.")
    ] = None
    lora_rank: Annotated[
        int | None, typer.Option(min=1, help="Train low-rank adapters only, of this rank.")
    ] = None
    seed: Annotated[int | None, typer.Option(help="Of order, dropout and new weights; 0.")] = None
    save_every: Annotated[
        int | None,
        typer.Option(min=1, help="Steps between checkpoints and evaluations; one epoch."),
    ] = None
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many evaluations without a better score."),
    ] = None
    evaluate: Annotated[
        list[str] | None,
        typer.Option(
            help="Choose the best checkpoint on this judged data set, a folder in the BEIR layout. "
            "May be given several times."
        ),
    ] = None
    split: Annotated[str, typer.Option(help="Which qrels of it.")] = "dev"
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in the folder.")
    ] = False
    device: Annotated[
        str | None,
        typer.Option(help="cpu, to leave a GPU alone; else it is used where there is one."),
    ] = None
    offline: OfflineOption = False
    as_json: JsonOption = False

    def settings(self) -> TrainingSettings:
        """The options as settings.

        Raises:
            BadParameter: one of them cannot be.
        """
        from pydantic import ValidationError

        from search_engine.training.settings import LoraSettings, TrainingSettings

        names = ("epochs", "max_steps", "batch_size", "accumulation", "learning_rate",
                 "max_tokens", "seed", "save_every", "patience")  # fmt: skip
        given: dict[str, Any] = {
            name: value for name in names if (value := getattr(self, name)) is not None
        }
        if self.precision is not None:
            given["precision"] = self.precision.value
        if self.lora_rank is not None:
            given["lora"] = LoraSettings(rank=self.lora_rank)
        try:
            return TrainingSettings(gradient_checkpointing=self.gradient_checkpointing, **given)
        except ValidationError as error:
            wrong = error.errors()[0]
            name = "-".join(map(str, wrong["loc"])).replace("_", "-")
            raise typer.BadParameter(f"--{name}: {wrong['msg']}") from error

    def evaluators(self, kind: Literal["bi", "sparse", "cross"]) -> list[Evaluator]:
        """What scores an encoder of that kind on the data sets of `--evaluate`.

        Raises:
            BadParameter: `--patience` without data to be patient about.
            DatasetError: a data set is missing or malformed.
        """
        if self.patience is not None and not self.evaluate:
            raise typer.BadParameter("--patience needs scores; give --evaluate DIR")
        from search_engine.cli.training_evaluation import open_evaluator

        return [
            open_evaluator(kind, directory, split=self.split, offline=self.offline)
            for directory in self.evaluate or ()
        ]


def with_training_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with each field of `TrainingOptions` as an option, instead of `options`."""

    @wraps(command)
    def wrapped(**arguments: Any) -> None:
        own = {name: arguments.pop(name) for name in names}
        command(**arguments, options=TrainingOptions(**own))

    hints = get_type_hints(TrainingOptions, include_extras=True)
    names = [field.name for field in fields(TrainingOptions)]
    asked = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(TrainingOptions)
    ]
    signature = inspect.signature(command, eval_str=True)
    kept = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
        if name != "options"
    ]
    wrapped.__signature__ = signature.replace(parameters=[*kept, *asked])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in (*kept, *asked)}
    return wrapped

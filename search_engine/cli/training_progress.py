"""A progress bar over a training, with its loss and learning rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from search_engine.cli.progress import console
from search_engine.training.settings import TrainingSettings

Log: TypeAlias = Callable[[Mapping[str, float]], None]


@contextmanager
def training_progress(settings: TrainingSettings) -> Iterator[Log]:
    """Show a bar once there is a first entry of the log; call what it gives with each entry."""
    progress = Progress(
        TextColumn("Training"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[shown]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
    task = progress.add_task("", total=settings.max_steps or settings.epochs, shown="")
    seen: dict[str, float] = {}

    def log(entry: Mapping[str, float]) -> None:
        if not progress.live.is_started:
            progress.start()
        seen.update(entry)
        done = seen.get("step" if settings.max_steps else "epoch", 0)
        progress.update(task, completed=done, shown=_show(seen))

    try:
        yield log
    finally:
        if progress.live.is_started:
            progress.stop()


@contextmanager
def distillation_progress(
    settings: TrainingSettings,
) -> Iterator[tuple[Callable[[int], None], Log]]:
    """Show how many examples a teacher has labelled, and then `training_progress`."""
    labelling = Progress(
        TextColumn("Labelling {task.completed:,.0f} examples"), TimeElapsedColumn(), console=console
    )
    task = labelling.add_task("", total=None)

    def on_rows(count: int) -> None:
        if not labelling.live.is_started:
            labelling.start()
        labelling.advance(task, count)

    def stop() -> None:
        if labelling.live.is_started:
            labelling.stop()

    with training_progress(settings) as log:

        def on_log(entry: Mapping[str, float]) -> None:
            # Two of them cannot be shown at once.
            stop()
            log(entry)

        try:
            yield on_rows, on_log
        finally:
            stop()


def _show(seen: Mapping[str, float]) -> str:
    named = (
        ("step", "step", "{:.0f}"),
        ("loss", "loss", "{:.4f}"),
        ("learning_rate", "rate", "{:.1e}"),
        ("eval_score", "score", "{:.4f}"),
    )
    return " · ".join(
        f"{name} {shape.format(float(seen[key]))}" for key, name, shape in named if key in seen
    )

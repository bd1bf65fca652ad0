"""A progress bar over chunks, with the rate and the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from search_engine.document_writer import WriterCounts

# Standard output is for answers, so that it can be piped.
console = Console(stderr=True)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {task.fields['unit']}/s")


class IndexingProgress:
    """How far an indexing run is: chunks encoded, of an estimate of how many there will be.

    The estimate is the chunks cut so far, scaled by the share of the input that was read.
    """

    def __init__(self, progress: Progress, description: str) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=None, unit="chunks")
        self._share_read = 0.0

    def read(self, share: float) -> None:
        """So much of the input has been read, from 0 to 1."""
        self._share_read = share

    def encoded(self, counts: WriterCounts) -> None:
        """The writer has come so far."""
        share = self._share_read
        total = counts.chunks / share if share else None
        self._progress.update(self._task, completed=counts.encoded + counts.reused, total=total)


@contextmanager
def indexing_progress(description: str) -> Iterator[IndexingProgress]:
    """Show a bar while an index is written."""
    with _bar() as progress:
        yield IndexingProgress(progress, description)


@contextmanager
def counting_progress(description: str, total: int, *, unit: str) -> Iterator[Progress]:
    """Show a bar over a known number of things; advance its only task, 0."""
    with _bar() as progress:
        progress.add_task(description, total=total, unit=unit)
        yield progress


@contextmanager
def document_progress(description: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar over stored documents once there are any; call what it gives with done and all."""
    progress = _bar()
    task = progress.add_task(description, total=None, unit="documents")
    started = ExitStack()

    def advance(done: int, total: int) -> None:
        if not progress.live.is_started:
            started.enter_context(progress)
        progress.update(task, completed=done, total=total)

    with started:
        yield advance


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )

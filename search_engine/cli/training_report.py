"""What a training did, for a person and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from search_engine.training.runs import TrainingReport

_BARS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
# Characters of the curve.
_WIDTH = 60


def print_training(
    report: TrainingReport, *, as_json: bool, extra: dict[str, Any] | None = None
) -> None:
    """Print the report.

    Args:
        extra: what a distillation has to say besides, for JSON.
    """
    from search_engine.cli.terminal import printable_line

    for name, notes in report.notes.items():
        for note in notes:
            typer.echo(f"{printable_line(name)}: {printable_line(note)}", err=True)
    if as_json:
        typer.echo(json.dumps(to_json(report) | (extra or {})))
        return
    _print_scores(report)
    if report.losses:
        values = [loss for _, loss in report.losses]
        typer.echo(f"loss {values[0]:.4f} {sparkline(values)} {values[-1]:.4f}")
    typer.echo(f"{report.steps} steps in {report.seconds:.0f} s")
    typer.echo(f"model: {report.model}")
    for path in sorted(report.model.parent.glob("*.png")):
        typer.echo(f"curve: {path}")


def to_json(report: TrainingReport) -> dict[str, Any]:
    """What `json.dumps` takes."""
    return {
        "model": str(report.model),
        "steps": report.steps,
        "seconds": report.seconds,
        "losses": [list(each) for each in report.losses],
        "scores": [{"step": step, **scores} for step, scores in report.scores],
        "best_step": report.best_step,
        "comparisons": {name: found.to_json() for name, found in report.comparisons.items()},
        "problems": dict(report.problems),
        "notes": {name: list(notes) for name, notes in report.notes.items()},
    }


def sparkline(values: Sequence[float]) -> str:
    """A curve of the values in one line, the means of neighbours where there are many."""
    count = min(len(values), _WIDTH)
    edges = [len(values) * position // count for position in range(count + 1)]
    means = [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]
    lowest, highest = min(means), max(means)
    span = highest - lowest or 1
    return "".join(_BARS[round((mean - lowest) / span * (len(_BARS) - 1))] for mean in means)


def _print_scores(report: TrainingReport) -> None:
    """Before and after: with intervals where the evaluators have them."""
    from rich.console import Console
    from rich.table import Table

    if not report.scores:
        return
    scores = dict(report.scores)
    before = scores.get(0, {})
    after = scores.get(report.best_step or 0, report.scores[-1][1])
    intervals = {}
    for name, comparison in report.comparisons.items():
        for row in comparison.metrics:
            low, high = row.interval
            intervals[f"{name}_{row.metric}"] = f"{low:+.4f} to {high:+.4f}"
    table = Table(title=f"Scores before training and of the model, step {report.best_step}")
    table.add_column("score", overflow="fold")
    for column in ("before", "after", "difference", "95 % interval"):
        table.add_column(column, justify="right")
    for name, value in after.items():
        known = before.get(name)
        table.add_row(
            name,
            "" if known is None else f"{known:.4f}",
            f"{value:.4f}",
            "" if known is None else f"{value - known:+.4f}",
            intervals.get(name, ""),
        )
    Console(highlight=False).print(table)

"""How loss and scores went, as pictures."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

# Curves more than this could not be told apart.
_MOST_CURVES = 8


def draw_losses(losses: Sequence[tuple[int, float]], path: Path) -> None:
    """Draw the loss over the steps, as PNG.

    Args:
        losses: (step, mean loss since the one before).
    """
    _draw({"loss": losses}, path, label="loss")


def draw_scores(scores: Sequence[tuple[int, Mapping[str, float]]], path: Path) -> None:
    """Draw the scores over the steps, the deciding one thick, as PNG.

    Args:
        scores: (step, scores by name), of each evaluation.
    """
    names = list(dict.fromkeys(name for _, each in scores for name in each))
    chosen = ["score", *(name for name in names if name != "score")][:_MOST_CURVES]
    curves = {
        name: [(step, each[name]) for step, each in scores if name in each] for name in chosen
    }
    _draw(curves, path, label="score")


def _draw(curves: Mapping[str, Sequence[tuple[int, float]]], path: Path, *, label: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, points in curves.items():
        axes.plot(
            [step for step, _ in points],
            [value for _, value in points],
            label=name.replace("$", r"\$"),
            linewidth=2.5 if name in ("loss", "score") else 1,
            marker="o" if len(points) < 30 else None,
        )
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    axes.grid(visible=True, alpha=0.3)
    if len(curves) > 1:
        axes.legend(fontsize="small")
    with warnings.catch_warnings():
        # Names may have letters that the font lacks.
        warnings.simplefilter("ignore")
        figure.savefig(path, format="png")

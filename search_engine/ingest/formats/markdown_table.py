"""Rows of cells as a table of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def format_table(rows: Iterable[Sequence[str]]) -> str:
    """A table in GitHub's Markdown, its first row the header; "" where no cell says anything.

    Rows and columns without text are left out. A row ends with its last cell that has text, as the
    format allows, so that a wide sheet with short rows stays small.
    """
    kept = [cells for row in rows if (cells := _clean_cells(row))]
    columns = sorted({column for cells in kept for column, text in enumerate(cells) if text})
    if not kept:
        return ""
    lines = [_format_row(cells, columns) for cells in kept]
    header, *body = lines
    missing = len(columns) - sum(column < len(kept[0]) for column in columns)
    rule = "| " + " | ".join(["---"] * len(columns)) + " |"
    return "\n".join([header + "  |" * missing, rule, *body])


def _clean_cells(row: Sequence[str]) -> list[str]:
    """One line for each cell, up to the last that has text."""
    cells = [" ".join(text.split()).replace("|", "\\|") for text in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _format_row(cells: Sequence[str], columns: Sequence[int]) -> str:
    written = [cells[column] for column in columns if column < len(cells)]
    return "| " + " | ".join(written) + " |"

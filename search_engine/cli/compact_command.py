"""search-cli compact: all segments become one, and what died is removed."""

from __future__ import annotations

import typer

from search_engine.cli.options import IndexOption
from search_engine.cli.places import existing_index, size_of


def compact(index: IndexOption) -> None:
    """Merge all segments of an index into one and remove what was deleted."""
    from search_engine.index.upkeep import compaction as maintenance

    folder = existing_index(index)
    before = size_of(folder)
    maintenance.compact(folder)
    typer.echo(f"{index}: {before / 1e6:.1f} MB before, {size_of(folder) / 1e6:.1f} MB now")

"""search-cli backup and restore: a copy of an index, and an index made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search_engine.cli.options import IndexOption
from search_engine.cli.places import existing_index, index_folder


def backup(
    target: Annotated[Path, typer.Argument(help="A new folder for the copy.")],
    index: IndexOption,
) -> None:
    """Copy an index as it is now; others may search and write it meanwhile."""
    from search_engine.index.upkeep.backup import back_up

    back_up(existing_index(index), target)
    typer.echo(f"{index} was copied to {target}; the copy is an index itself")


def restore(
    source: Annotated[Path, typer.Argument(help="A copy that `search-cli backup` made.")],
    index: IndexOption,
) -> None:
    """Make an index of a backup, after looking at all of it."""
    from search_engine.index.upkeep import backup

    backup.restore(source, index_folder(index))
    typer.echo(f"{index} was restored from {source}")

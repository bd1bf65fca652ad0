"""search-cli delete: take documents out of an index."""

from __future__ import annotations

from typing import Annotated

import typer

from search_engine.cli.options import IndexOption
from search_engine.cli.places import existing_index


def delete(
    doc_ids: Annotated[
        list[str], typer.Argument(help="Ids as `search-cli list --index NAME` shows them.")
    ],
    index: IndexOption,
) -> None:
    """Delete documents from an index. (An index itself is deleted by removing its folder.)"""
    from search_engine.index.writer import IndexWriter

    with IndexWriter(existing_index(index)) as writer:
        missing = [doc_id for doc_id in doc_ids if not writer.delete(doc_id)]
    for doc_id in missing:
        typer.echo(
            f"error: no document has the id {doc_id}; `search-cli list --index {index}` shows all",
            err=True,
        )
    typer.echo(f"{len(doc_ids) - len(missing)} documents deleted from {index}")
    if missing:
        raise typer.Exit(1)

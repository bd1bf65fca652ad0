"""search-cli dedupe: the documents of an index that nearly repeat others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from search_engine.cli.options import IndexOption, JsonOption
from search_engine.cli.places import existing_index

if TYPE_CHECKING:
    from search_engine.index.upkeep.duplicates import Duplicates


def dedupe(
    index: IndexOption,
    threshold: Annotated[
        float,
        typer.Option(min=0.5, max=1.0, help="The least Jaccard similarity of two texts' shingles."),
    ] = 0.8,
    as_json: JsonOption = False,
) -> None:
    """List documents that nearly repeat others. Nothing is deleted."""
    from search_engine.index.upkeep.duplicates import find_duplicates

    found = find_duplicates(existing_index(index), threshold=threshold)
    if as_json:
        typer.echo(json.dumps(_as_json(index, threshold, found), ensure_ascii=False))
    else:
        _print(index, found)


def _as_json(index: str, threshold: float, found: Duplicates) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "index": index,
        "threshold": threshold,
        "groups": [[asdict(document) for document in group] for group in found.groups],
        "without_signature": found.without_signature,
    }


def _print(index: str, found: Duplicates) -> None:
    from search_engine.cli.terminal import count_of, printable_line

    for number, group in enumerate(found.groups, 1):
        typer.echo(f"{number}. {len(group)} documents; the others repeat the first")
        for document in group:
            doc_id, title = printable_line(document.doc_id), printable_line(document.title)
            typer.echo(
                f"   {doc_id}\t{title}\t{document.characters} characters\t"
                f"Jaccard {document.jaccard:.3f} (estimated {document.estimated_jaccard:.3f})"
            )
    typer.echo(f"{index}: {count_of(found.repeating, 'near-duplicate document')}")
    if found.groups:
        typer.echo(f"`search-cli delete --index {index} DOC_ID` deletes one; nothing was deleted.")
    if found.without_signature:
        typer.echo(
            f"{found.without_signature} documents have no signature and were not compared: an "
            "earlier version added them. Index their files again to compare them too."
        )

"""search-cli info: what an index holds and how it was made."""

from __future__ import annotations

import json

import typer

from search_engine.cli.options import IndexOption, JsonOption
from search_engine.cli.places import existing_index, size_of


def info(index: IndexOption, as_json: JsonOption = False) -> None:
    """Show what an index holds and how it was made."""
    from search_engine.index.reader import IndexReader
    from search_engine.rebuild import generations

    folder = existing_index(index)
    with IndexReader(folder) as reader:
        generation = reader.generation
        facts = {
            "index": str(folder),
            "commit": reader.snapshot.commit,
            "documents": reader.document_count(),
            "chunks": reader.snapshot.chunk_count,
            "metadata": sorted(reader.snapshot.metadata_keys),
            "segments": len(reader.snapshot.segments),
            "bytes": size_of(folder),
            "generation": generation.name,
            "dimension": generation.dimension,
            "similarity": generation.similarity,
            "generations": {each.name: state for each, state in generations(folder)},
            "config": generation.config.model_dump(),
        }
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    for name, value in facts.items():
        shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        typer.echo(f"{name:<11} {shown}")

"""search-cli info: what an index holds and how it was made."""

from __future__ import annotations

import json

import typer

from search_engine.cli.options import IndexOption, JsonOption
from search_engine.cli.places import existing_index


def info(index: IndexOption, as_json: JsonOption = False) -> None:
    """Show what an index holds and how it was made."""
    from search_engine.index.reader import IndexReader

    folder = existing_index(index)
    with IndexReader(folder) as reader:
        generation = reader.generation
        facts = {
            "index": str(folder),
            "commit": reader.snapshot.commit,
            "documents": reader.document_count(),
            "chunks": reader.snapshot.chunk_count,
            "segments": len(reader.snapshot.segments),
            "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
            "generation": generation.name,
            "dimension": generation.dimension,
            "similarity": generation.similarity,
            "config": generation.config.model_dump(),
        }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name:<11} {json.dumps(value) if isinstance(value, dict) else value}")

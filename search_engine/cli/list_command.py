"""search-cli list: the indexes, or the documents of one."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from search_engine.cli.options import JsonOption
from search_engine.cli.places import existing_index, index_names, indexes_root
from search_engine.errors import IndexStoreError


def list_(
    index: Annotated[
        str | None,
        typer.Option("--index", "-i", help="List this index's documents, not the indexes."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the indexes, or the documents of one."""
    if index is not None:
        _list_documents(index, as_json=as_json)
    else:
        _list_indexes(as_json=as_json)


def _list_documents(index: str, *, as_json: bool) -> None:
    from dataclasses import asdict

    from search_engine.cli.terminal import printable_line
    from search_engine.index.reader import IndexReader

    with IndexReader(existing_index(index)) as reader:
        for document in reader.documents():
            if as_json:
                typer.echo(json.dumps(asdict(document), ensure_ascii=False))
            else:
                doc_id, title = printable_line(document.doc_id), printable_line(document.title)
                typer.echo(f"{doc_id}\t{title}\t{document.chunk_count} chunks")


def _list_indexes(*, as_json: bool) -> None:
    from search_engine.index.reader import IndexReader

    names = index_names()
    if not names and not as_json:
        typer.echo(
            f"There are no indexes in {indexes_root()}/; build one with "
            "`search-cli index PATH --index NAME`, or try `search-cli demo`."
        )
    for name in names:
        try:
            with IndexReader(indexes_root() / name) as reader:
                documents, chunks = reader.document_count(), reader.snapshot.chunk_count
        except IndexStoreError as error:
            # One broken index does not hide the others.
            typer.echo(f"{name}: {error}", err=True)
            continue
        if as_json:
            typer.echo(json.dumps({"name": name, "documents": documents, "chunks": chunks}))
        else:
            typer.echo(f"{name}\t{documents} documents\t{chunks} chunks")

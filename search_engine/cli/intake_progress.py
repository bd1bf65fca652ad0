"""A writer with a progress bar over the files that are read into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer

from search_engine.cli.progress import indexing_progress
from search_engine.document_writer import DocumentWriter
from search_engine.ingest.files import SourceFile
from search_engine.ingest.reading import Record
from search_engine.search import SearchEngine

INTERRUPTED = 130


@contextmanager
def intake_progress(
    engine: SearchEngine, files: Sequence[SourceFile]
) -> Iterator[tuple[DocumentWriter, Callable[[Record], None]]]:
    """A writer, and what is to be called with each record; Ctrl-C keeps what was encoded.

    Args:
        files: those that will be read, in that order.
    """
    total = sum(file.size for file in files) or 1
    before, previous = 0, None
    with (
        indexing_progress("Indexing") as progress,
        engine.writer(on_progress=progress.encoded) as writer,
    ):

        def advance(record: Record) -> None:
            nonlocal before, previous
            if previous is not None and record.file != previous:
                before += previous.size
            previous = record.file
            progress.read((before + record.bytes_read) / total)

        try:
            yield writer, advance
        except KeyboardInterrupt:
            writer.commit_encoded()
            typer.echo(
                "interrupted; what was encoded is kept, in batches of 500 chunks, and the same "
                "command goes on from there",
                err=True,
            )
            raise typer.Exit(INTERRUPTED) from None

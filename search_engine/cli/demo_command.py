"""search-cli demo: the Python standard library's documentation, indexed and asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from search_engine.cli.options import OfflineOption
from search_engine.cli.places import index_folder

if TYPE_CHECKING:
    from search_engine.config import Compute
    from search_engine.search import SearchEngine

NAME = "python-docs"
QUESTIONS = (
    "run a command in a shell and capture its output",
    "remove duplicates from a list while keeping the order",
    "how do I parse a date from a string?",
)


def demo(offline: OfflineOption = False) -> None:
    """Index the Python standard library's own documentation and ask it three questions."""
    from rich.console import Console

    from search_engine.cli.results import print_response
    from search_engine.config import Compute

    console = Console(highlight=False)
    with _demo_index(Compute(offline=offline)) as engine:
        for question in QUESTIONS:
            console.rule(question, align="left")
            print_response(console, engine.search(question, 3))
            console.print()
    # As it was started: after `make demo` it is not on the PATH.
    program = sys.argv[0]
    typer.echo(f"Ask more:        {program} query --index {NAME}")
    typer.echo(f"Open the page:   {program} ui --index {NAME}")
    typer.echo(f"Your documents:  {program} index PATH --index NAME")


def _demo_index(compute: Compute) -> SearchEngine:
    """The demo's index, built first if it is not there.

    It is built beside its final place and moved there when it is whole, so that a demo that was
    interrupted goes on where it stopped instead of answering from half an index.
    """
    from search_engine.cli.settings import open_or_create
    from search_engine.search import SearchEngine

    folder = index_folder(NAME)
    if not (folder / "index.db").exists():
        building = folder.with_name(f".{NAME}-unfinished")
        with open_or_create(building, {}, compute) as engine:
            _build(engine)
        building.rename(folder)
    return SearchEngine.open(folder, compute=compute)


def _build(engine: SearchEngine) -> None:
    from search_engine.cli.progress import indexing_progress
    from search_engine.ingest.python_docs import read_python_docs

    records = list(read_python_docs())
    with (
        indexing_progress("Indexing") as progress,
        engine.writer(on_progress=progress.encoded) as writer,
    ):
        for position, record in enumerate(records, 1):
            progress.read(position / len(records))
            if record.document is not None:
                writer.add(record.document)

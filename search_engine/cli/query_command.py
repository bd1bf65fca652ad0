"""search-cli query: ask an index a question, or one after another."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from search_engine.cli.options import (
    Backend,
    BackendOption,
    DeviceOption,
    Dtype,
    DtypeOption,
    IndexOption,
    JsonOption,
    OfflineOption,
    WhereOption,
    compute,
    conditions,
)
from search_engine.cli.places import existing_index

if TYPE_CHECKING:
    from search_engine.search import SearchEngine


def query(
    index: IndexOption,
    question: Annotated[
        str | None,
        typer.Argument(
            help='The question; without one, a prompt opens. "quoted words" must stand in a '
            "result, -word must not."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many results.")] = 10,
    where: WhereOption = None,
    rerank: Annotated[bool, typer.Option(help="Rerank by the index's cross-encoder.")] = True,
    collapse: Annotated[
        bool, typer.Option("--collapse", help="Leave out what nearly repeats a higher result.")
    ] = False,
    backend: BackendOption = Backend.AUTO,
    dtype: DtypeOption = Dtype.AUTO,
    device: DeviceOption = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ask an index a question."""
    from search_engine.search import SearchEngine

    folder = existing_index(index)
    condition = conditions(where)
    options = compute(backend, dtype, device=device, offline=offline)
    with SearchEngine.open(folder, compute=options) as engine:
        ask = partial(
            _answer, engine, k=k, where=condition, rerank=rerank, collapse=collapse, as_json=as_json
        )
        if question is not None:
            notes = ask(question)
            _print_notes(notes, as_json=as_json)
            return
        told: tuple[str, ...] = ()
        while (line := _ask()) is not None:
            if line.strip():
                notes = ask(line)
                if notes != told:
                    _print_notes(notes, as_json=as_json)
                told = notes


def _ask() -> str | None:
    """The next question, None at the end of the input."""
    if sys.stdin.isatty():
        # Arrow keys and history, where Python was built with it.
        import contextlib

        with contextlib.suppress(ImportError):
            import readline  # noqa: F401
        prompt = "question (Ctrl-D ends): "
    else:
        prompt = ""
    try:
        return input(prompt)
    except EOFError:
        return None


def _answer(
    engine: SearchEngine,
    question: str,
    *,
    k: int,
    where: dict[str, object] | None,
    rerank: bool,
    collapse: bool,
    as_json: bool,
) -> tuple[str, ...]:
    """Ask, print the answer, and return the notes that came with it."""
    from rich.console import Console

    from search_engine.cli import results

    # What a terminal of another encoding typed is no text; U+FFFD stands where it was.
    question = question.encode("utf-8", "replace").decode()
    response = engine.search(question, k, where=where, rerank=rerank, collapse=collapse)
    if as_json:
        typer.echo(json.dumps(results.as_json(response), ensure_ascii=False))
    else:
        results.print_response(Console(highlight=False), response)
    return response.notes


def _print_notes(notes: tuple[str, ...], *, as_json: bool) -> None:
    if not as_json:
        for note in notes:
            typer.secho(note, dim=True)

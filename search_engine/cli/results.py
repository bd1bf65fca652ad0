"""Results, for a terminal and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from search_engine.cli.terminal import printable, printable_line
from search_engine.types import Result, SearchResponse


def as_json(response: SearchResponse) -> dict[str, Any]:
    """The response as `query --json` prints it."""
    return {
        "query": response.query,
        "generation": response.generation,
        "timings_ms": {stage: round(ms, 3) for stage, ms in response.timings_ms.items()},
        "results": [_result_as_json(result) for result in response.results],
        "notes": list(response.notes),
    }


def _result_as_json(result: Result) -> dict[str, Any]:
    return {
        "rank": result.rank,
        "score": result.score,
        "doc_id": result.doc_id,
        "chunk_id": result.chunk_id,
        "title": result.title,
        "source": result.source,
        "page": result.page,
        "start": result.start,
        "end": result.end,
        "text": result.text,
        "highlight": {
            "text": result.highlight.text,
            "start": result.highlight.start,
            "spans": result.highlight.spans,
        },
        "line": result.line,
        "headings": list(result.headings),
        "scores": dict(result.scores),
        "ranks": dict(result.ranks),
        "metadata": dict(result.metadata),
        "repeated_by": list(result.repeated_by),
    }


def print_response(console: Console, response: SearchResponse) -> None:
    """Show a response to a person. What documents say is text, never markup."""
    if not response.results:
        console.print("Nothing found.")
    for result in response.results:
        _print_result(console, result)
    stages = " · ".join(f"{stage} {ms:.1f}" for stage, ms in response.timings_ms.items())
    console.print(Text(f"ms: {stages}", style="dim"))


def _print_result(console: Console, result: Result) -> None:
    title = printable_line(result.title or result.doc_id)
    console.print(
        Text.assemble(
            (f"{result.rank:>2}. ", "bold"), (title, "bold"), (f"  {result.score:.3f}", "cyan")
        )
    )
    # A path stays in one piece, so that it can be copied however narrow the terminal is.
    console.print(Text(f"    {printable_line(place(result))}", style="green"), soft_wrap=True)
    headings = printable_line(
        " > ".join(heading for heading in result.headings if heading != result.title)
    )
    if headings:
        console.print(_indented(Text(headings, style="dim")))
    passage = Text(printable(result.highlight.text))
    for start, end in result.highlight.spans:
        passage.stylize("bold yellow", start, end)
    console.print(_indented(passage))
    legs = ", ".join(
        f"{leg} {score:.3f} (rank {result.ranks[leg]})" for leg, score in result.scores.items()
    )
    console.print(_indented(Text(legs, style="dim")))
    if result.repeated_by:
        console.print(
            Text(f"    also in: {printable_line(', '.join(result.repeated_by))}", style="dim")
        )
    console.print()


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 4))


def place(result: Result) -> str:
    """Where the passage stands: path:line, or path and page, or the document's id."""
    where = result.source or result.doc_id
    if result.page is not None:
        return f"{where}, page {result.page}"
    if result.line is not None:
        return f"{where}:{result.line}"
    return where

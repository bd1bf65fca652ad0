"""Results, for a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group
from rich.text import Text

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
        "highlight": {"text": result.highlight.text, "spans": result.highlight.spans},
        "line": result.line,
        "headings": list(result.headings),
        "scores": dict(result.scores),
        "ranks": dict(result.ranks),
        "metadata": dict(result.metadata),
    }


def print_response(console: Console, response: SearchResponse) -> None:
    """Show a response to a person. What documents say is text, never markup."""
    if not response.results:
        console.print("Nothing found.")
    for result in response.results:
        console.print(Group(*_lines(result)))
        console.print()
    stages = " · ".join(f"{stage} {ms:.1f}" for stage, ms in response.timings_ms.items())
    console.print(Text(f"ms: {stages}", style="dim"))
    for note in response.notes:
        console.print(Text(note, style="dim"))


def _lines(result: Result) -> Iterator[Text]:
    yield Text.assemble(
        (f"{result.rank:>2}. ", "bold"),
        (result.title or result.doc_id, "bold"),
        (f"  {result.score:.3f}", "cyan"),
    )
    legs = ", ".join(
        f"{leg} {score:.3f} (rank {result.ranks[leg]})" for leg, score in result.scores.items()
    )
    yield Text(f"    {place(result)}", style="green")
    if result.headings:
        yield Text(f"    {' > '.join(result.headings)}", style="dim")
    passage = Text(result.highlight.text)
    for start, end in result.highlight.spans:
        passage.stylize("bold yellow", start, end)
    for line in passage.split("\n", allow_blank=False):
        yield Text("    ").append_text(line)
    yield Text(f"    {legs}", style="dim")


def place(result: Result) -> str:
    """Where the passage stands: path:line, or path and page, or the document's id."""
    where = result.source or result.doc_id
    if result.page is not None:
        return f"{where}, page {result.page}"
    if result.line is not None:
        return f"{where}:{result.line}"
    return where

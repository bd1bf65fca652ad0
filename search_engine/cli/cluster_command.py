"""search-cli cluster: the chunks of an index, or the lines of a file, that say nearly the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from search_engine.cli.options import JsonOption, OfflineOption
from search_engine.cli.places import existing_index

if TYPE_CHECKING:
    from search_engine.embeddings.communities import Community
    from search_engine.index.reader import IndexReader

Entry: TypeAlias = dict[str, object]
# Characters of a text that are shown to a person.
_SHOWN = 100


def cluster(
    file: Annotated[
        Path | None, typer.Argument(help="A text file, whose lines are grouped.")
    ] = None,
    index: Annotated[
        str | None,
        typer.Option("--index", "-i", help="Group the chunks of this index: a name or a path."),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help="The least cosine with the first of a group."),
    ] = 0.75,
    min_size: Annotated[int, typer.Option(min=2, help="The fewest texts that make a group.")] = 3,
    model: Annotated[
        str | None, typer.Option(help="Bi-encoder for the lines, a name or a folder.")
    ] = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Group texts that say nearly the same. Nothing is changed."""
    if (file is None) == (index is None):
        raise typer.BadParameter("give a text file or --index NAME, and not both")
    if index is not None and model is not None:
        raise typer.BadParameter("an index has vectors of its own; leave --model out")
    if index is not None:
        from search_engine.index.reader import IndexReader

        with IndexReader(existing_index(index)) as reader:
            count, groups = _cluster_chunks(reader, threshold, min_size)
    elif file is not None:
        count, groups = _cluster_lines(file, threshold, min_size, model=model, offline=offline)
    name = str(file) if index is None else index
    if as_json:
        report = {
            "file" if index is None else "index": name,
            "threshold": threshold,
            "min_size": min_size,
            "texts": count,
            "groups": groups,
        }
        typer.echo(json.dumps(report, ensure_ascii=False))
    else:
        _print(name, count, groups)


def _cluster_chunks(
    reader: IndexReader, threshold: float, min_size: int
) -> tuple[int, list[list[Entry]]]:
    """How many chunks there are, and those that are near one another."""
    from search_engine.embeddings.communities import detect_communities
    from search_engine.index.chunk_vectors import ChunkVectors

    snapshot = reader.snapshot
    vectors = ChunkVectors(snapshot)
    found = detect_communities(vectors, threshold=threshold, min_size=min_size)

    def read(positions: Sequence[int]) -> list[Entry]:
        return [
            {
                "doc_id": chunk.doc_id,
                "chunk_id": chunk.chunk_id,
                "line": chunk.line,
                "text": chunk.text,
            }
            for chunk in reader.chunks(vectors.chunk_ids[positions].tolist())
        ]

    return len(vectors), [_with_cosines(community, read) for community in found]


def _cluster_lines(
    file: Path, threshold: float, min_size: int, *, model: str | None, offline: bool
) -> tuple[int, list[list[Entry]]]:
    """How many lines there are that are not blank, and those that are near one another."""
    from rich.progress import TaskID

    from search_engine.cli.progress import counting_progress
    from search_engine.config import DEFAULT_MODEL
    from search_engine.embeddings.communities import detect_communities
    from search_engine.encoders.bi_encoder import BiEncoder

    lines = _read_lines(file)
    encoder = BiEncoder(model or DEFAULT_MODEL, offline=offline)
    texts = [text for _, text in lines]
    with counting_progress("Encoding", len(lines), unit="lines") as progress:
        vectors = encoder.encode(texts, on_batch=lambda count: progress.advance(TaskID(0), count))
    found = detect_communities(vectors, threshold=threshold, min_size=min_size)

    def read(positions: Sequence[int]) -> list[Entry]:
        return [{"line": lines[each][0], "text": lines[each][1]} for each in positions]

    return len(lines), [_with_cosines(community, read) for community in found]


def _read_lines(file: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, without white space around them, and their numbers from 1.

    Raises:
        ReadError: the file cannot be read, or is not text.
    """
    from search_engine.cli.terminal import printable
    from search_engine.errors import ReadError
    from search_engine.ingest.formats.plain import read_text

    try:
        decoded = read_text(file)
    except OSError as error:
        raise ReadError(str(file), f"cannot be read: {error.strerror}") from error
    if decoded.problem is not None:
        typer.echo(f"problem: {printable(str(decoded.problem))}", err=True)
    numbered = enumerate(decoded.text.split("\n"), start=1)
    return [(number, line.strip()) for number, line in numbered if line.strip()]


def _with_cosines(
    community: Community, read: Callable[[Sequence[int]], list[Entry]]
) -> list[Entry]:
    entries = read(community.positions.tolist())
    cosines = community.scores.tolist()
    return [{**entry, "cosine": cosine} for entry, cosine in zip(entries, cosines, strict=True)]


def _print(name: str, count: int, groups: list[list[Entry]]) -> None:
    from search_engine.cli.terminal import count_of, printable_line

    for number, group in enumerate(groups, 1):
        typer.echo(f"{number}. {len(group)} texts; the others are near the first")
        for entry in group:
            line = entry["line"]
            places = [entry.get("doc_id"), None if line is None else f"line {line}"]
            place = ", ".join(str(each) for each in places if each is not None)
            text = " ".join(str(entry["text"]).split())
            shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}\u2026"
            typer.echo(
                f"   {printable_line(place)}\tcosine {entry['cosine']:.3f}\t{printable_line(shown)}"
            )
    typer.echo(
        f"{printable_line(name)}: {count_of(len(groups), 'group')} with "
        f"{sum(map(len, groups))} of {count_of(count, 'text')}"
    )

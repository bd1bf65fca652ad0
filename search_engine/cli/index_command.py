"""search-cli index: create or update an index from files and folders."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from search_engine.cli.options import (
    Backend,
    BackendOption,
    Chunking,
    DeviceOption,
    Dtype,
    DtypeOption,
    IndexOption,
    JsonOption,
    KindOption,
    OfflineOption,
    PrecisionOption,
    compute,
)
from search_engine.cli.places import index_folder
from search_engine.cli.settings import asked_settings, open_or_create
from search_engine.errors import ReadError

if TYPE_CHECKING:
    from search_engine.document_writer import WriterCounts
    from search_engine.ingest.folder import FoundFiles
    from search_engine.search import SearchEngine

SOME_NOT_READ = 3
INTERRUPTED = 130


def index(
    paths: Annotated[list[str], typer.Argument(help="Files and folders to index.")],
    index: IndexOption,
    model: Annotated[
        str | None, typer.Option(help="Bi-encoder, a name or a folder (new indexes only).")
    ] = None,
    kind: KindOption = None,
    precision: PrecisionOption = None,
    splade: Annotated[
        str | None, typer.Option(help="Also index by this SPLADE model (new indexes only).")
    ] = None,
    reranker: Annotated[
        str | None, typer.Option(help="Rerank by this cross-encoder (new indexes only).")
    ] = None,
    chunking: Annotated[
        Chunking | None,
        typer.Option(help="Cut documents, or leave them whole (new indexes only)."),
    ] = None,
    backend: BackendOption = Backend.AUTO,
    dtype: DtypeOption = Dtype.AUTO,
    device: DeviceOption = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create or update an index from files and folders."""
    from search_engine.document_writer import WriterCounts
    from search_engine.ingest.folder import find_files

    found = find_files(paths)
    problems = list(found.problems)
    started = time.perf_counter()
    asked = asked_settings(
        model=model,
        kind=kind,
        precision=precision,
        splade=splade,
        reranker=reranker,
        chunking=chunking,
    )
    options = compute(backend, dtype, device=device, offline=offline)
    counts = WriterCounts()
    if found.files:
        with open_or_create(index_folder(index), asked, options) as engine:
            counts = _write(engine, found, problems)
    _report(index, counts, problems, found, time.perf_counter() - started, as_json=as_json)
    if problems:
        raise typer.Exit(SOME_NOT_READ)


def _write(engine: SearchEngine, found: FoundFiles, problems: list[ReadError]) -> WriterCounts:
    """Read the files into the index; what is wrong with them is added to the problems."""
    from search_engine.cli.progress import indexing_progress
    from search_engine.ingest.folder import read_files

    total = sum(file.size for file in found.files) or 1
    before, previous = 0, None
    with (
        indexing_progress("Indexing") as progress,
        engine.writer(on_progress=progress.encoded) as writer,
    ):
        root_ids = {root: writer.root_id(root) for root in {file.root for file in found.files}}
        try:
            for record in read_files(found.files, root_ids):
                if previous is not None and record.file != previous:
                    before += previous.size
                previous = record.file
                progress.read((before + record.bytes_read) / total)
                if record.document is not None:
                    writer.add(record.document)
                if record.problem is not None:
                    problems.append(record.problem)
        except KeyboardInterrupt:
            writer.commit_encoded()
            typer.echo(
                "interrupted; what was encoded is kept, and the same command goes on from there",
                err=True,
            )
            raise typer.Exit(INTERRUPTED) from None
    return writer.counts


def _report(
    name: str,
    counts: WriterCounts,
    problems: list[ReadError],
    found: FoundFiles,
    seconds: float,
    *,
    as_json: bool,
) -> None:
    from rich.text import Text

    from search_engine.cli.progress import console
    from search_engine.cli.terminal import printable_line

    for problem in problems:
        console.print(
            Text(f"problem: {printable_line(str(problem))}", style="yellow"), soft_wrap=True
        )
    if as_json:
        report = {
            "index": name,
            **asdict(counts),
            "problems": [
                {"path": each.path, "line": each.line, "reason": each.reason} for each in problems
            ],
            "skipped": dict(found.skipped),
            "seconds": round(seconds, 3),
        }
        typer.echo(json.dumps(report, ensure_ascii=False))
        return
    typer.echo(
        f"{name}: {counts.added} documents added, {counts.replaced} replaced, "
        f"{counts.unchanged} unchanged, {counts.chunks} chunks, in {seconds:.1f} s"
    )
    if counts.truncated:
        typer.echo(f"{counts.truncated} texts were longer than the model reads and were cut.")
    if found.skipped:
        kinds = ", ".join(
            f"{n} {kind or 'without an extension'}" for kind, n in sorted(found.skipped.items())
        )
        typer.echo(f"{sum(found.skipped.values())} files have no reader for their type: {kinds}")
    if problems:
        typer.echo(f"{len(problems)} problems are named above; the rest went in.")

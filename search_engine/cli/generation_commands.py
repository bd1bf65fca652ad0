"""search-cli rebuild, promote and rollback: another generation beside the live one, and back."""

from __future__ import annotations

from typing import Annotated

import typer

from search_engine.cli.options import (
    Backend,
    BackendOption,
    Chunking,
    DeviceOption,
    Dtype,
    DtypeOption,
    IndexOption,
    Kind,
    OfflineOption,
    Precision,
    compute,
)
from search_engine.cli.places import existing_index


def rebuild(
    index: IndexOption,
    model: Annotated[str | None, typer.Option(help="Bi-encoder, a name or a folder.")] = None,
    kind: Annotated[
        Kind | None, typer.Option(help="Compare every dense vector (flat), or search a graph.")
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="How dense vectors are stored.")
    ] = None,
    splade: Annotated[str | None, typer.Option(help="Also index by this SPLADE model.")] = None,
    reranker: Annotated[str | None, typer.Option(help="Rerank by this cross-encoder.")] = None,
    chunking: Annotated[
        Chunking | None, typer.Option(help="Cut documents where they may be cut, or not at all.")
    ] = None,
    backend: BackendOption = Backend.AUTO,
    dtype: DtypeOption = Dtype.AUTO,
    device: DeviceOption = None,
    offline: OfflineOption = False,
) -> None:
    """Build a generation with other settings beside the live one, from the stored texts.

    The live one goes on answering until `search-cli promote`.
    """
    from search_engine import rebuild as rebuilding
    from search_engine.cli.progress import document_progress
    from search_engine.cli.settings import asked_settings, changed_settings

    folder = existing_index(index)
    asked = asked_settings(
        model=model,
        kind=kind,
        precision=precision,
        splade=splade,
        reranker=reranker,
        chunking=chunking,
    )
    live = next(each for each, state in rebuilding.generations(folder) if state == "live")
    with document_progress("Building") as progress:
        generation = rebuilding.rebuild(
            folder,
            changed_settings(live.config, asked),
            compute=compute(backend, dtype, device=device, offline=offline),
            on_progress=progress,
        )
    if generation.generation_id == live.generation_id:
        typer.echo(f"{index}: the settings are changed; there was nothing to build")
        return
    typer.echo(
        f"{index}: generation {generation.name} is built beside {live.name}, which is live; "
        f"`search-cli promote --index {index}` lets it answer"
    )


def promote(
    index: IndexOption,
    backend: BackendOption = Backend.AUTO,
    dtype: DtypeOption = Dtype.AUTO,
    device: DeviceOption = None,
    offline: OfflineOption = False,
) -> None:
    """Let the generation that was built answer; the one before it is kept for rollback."""
    from search_engine import rebuild as rebuilding
    from search_engine.cli.progress import document_progress

    options = compute(backend, dtype, device=device, offline=offline)
    with document_progress("Catching up") as progress:
        generation = rebuilding.promote(
            existing_index(index), compute=options, on_progress=progress
        )
    typer.echo(
        f"{index}: generation {generation.name} is live; `search-cli rollback --index {index}` "
        "goes back"
    )


def rollback(
    index: IndexOption,
    backend: BackendOption = Backend.AUTO,
    dtype: DtypeOption = Dtype.AUTO,
    device: DeviceOption = None,
    offline: OfflineOption = False,
) -> None:
    """Let the generation before the live one answer again, then give it what came since."""
    from search_engine import rebuild as rebuilding
    from search_engine.cli.progress import document_progress

    folder = existing_index(index)
    lacking = rebuilding.rollback(folder)
    live = next(each for each, state in rebuilding.generations(folder) if state == "live")
    typer.echo(f"{index}: generation {live.name} is live again")
    if lacking:
        typer.echo(
            f"{lacking} documents came since it was; they are added to it now (interrupted, "
            f"`search-cli doctor --repair --index {index}` goes on)"
        )
        options = compute(backend, dtype, device=device, offline=offline)
        with document_progress("Catching up") as progress:
            rebuilding.catch_up(folder, compute=options, on_progress=progress)

"""Generations from stored texts: built beside the live one, promoted, and gone back from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from search_engine.config import Compute, Config
from search_engine.errors import GenerationBehindError, GenerationError
from search_engine.index.generations.builder import GenerationBuilder
from search_engine.index.generations.generation import (
    Generation,
    GenerationState,
    check_encoders,
    fingerprint_of,
    stored_generations,
)
from search_engine.index.generations.promotion import (
    begin_generation,
    promote_generation,
    roll_back,
)
from search_engine.index.store.database import Database, is_writable, sqlite_errors
from search_engine.legs import ENCODE_CHUNKS, Legs, load_legs
from search_engine.types import Chunk, Document

Progress = Callable[[int, int], None]
"""Called with how many documents were given their chunks, and how many there are to do."""


def new_generation(config: Config, legs: Legs, *, generation_id: int) -> Generation:
    """The generation that settings and loaded models make."""
    return Generation(
        generation_id=generation_id,
        fingerprint=fingerprint_of(config, legs.fingerprints),
        config=config,
        dimension=legs.dense.dimension if legs.dense else None,
        similarity=legs.dense.similarity if legs.dense else None,
    )


def generations(folder: str | Path) -> list[tuple[Generation, GenerationState]]:
    """The generations that an index keeps, with their states, oldest first.

    Raises:
        IndexNotFoundError, IndexCorruptError, IndexFormatError: there is no index to read.
    """
    place = Path(folder)
    with Database(place, writable=is_writable(place)) as database, sqlite_errors(place):
        return stored_generations(database.here, str(folder))


def rebuild(
    folder: str | Path,
    config: Config,
    *,
    compute: Compute | None = None,
    on_progress: Progress | None = None,
) -> Generation:
    """Build a generation with other settings beside the live one, from the stored texts.

    Searching and indexing go on meanwhile. Interrupted, it goes on where it was when it is called
    with the same settings again; another generation that was being built is given up. Settings by
    which questions are asked (fusion, reranker, BM25's k1 and b, `ef_search`) change no vector:
    where nothing else is new, the live generation takes them over at once and is returned.

    Raises:
        GenerationError: the live generation has these models and settings already.
        IndexReadOnlyError, IndexLockedError, ModelNotFoundError, CheckpointError, ConfigError
    """
    legs = load_legs(config, compute or Compute())
    wanted = new_generation(config, legs, generation_id=0)
    generation = begin_generation(Path(folder), wanted)
    encode_stored(Path(folder), generation, legs, on_progress=on_progress)
    return generation


def promote(
    folder: str | Path, *, compute: Compute | None = None, on_progress: Progress | None = None
) -> Generation:
    """Let the generation that was built, or was rolled back from, catch up, then answer.

    The one that was live is kept for `rollback`; one kept before it is removed.

    Raises:
        GenerationError: there is none that came after the live one.
        EncoderMismatchError: its model is no longer the one that it was begun with.
    """
    kept = generations(folder)
    (live,) = (each for each, state in kept if state == "live")
    generation = kept[-1][0]
    if generation.generation_id == live.generation_id:
        raise GenerationError(
            f"{folder} has no generation after the live one; build one beside it with "
            f"`search-cli rebuild --index {folder}` and the settings to change"
        )
    legs = load_legs(generation.config, compute or Compute())
    check_encoders(generation, legs.fingerprints, str(folder))
    while True:
        encode_stored(Path(folder), generation, legs, on_progress=on_progress)
        try:
            promote_generation(Path(folder), generation.generation_id)
        except GenerationBehindError:
            # Documents came between the last look and the transaction that promotes.
            continue
        return generation


def rollback(folder: str | Path) -> int:
    """Let the generation before the live one answer again: one update, whatever its size.

    Returns:
        How many documents it lacks since; `catch_up` gives them their chunks.

    Raises:
        GenerationError: none is kept.
    """
    return roll_back(Path(folder))


def catch_up(
    folder: str | Path, *, compute: Compute | None = None, on_progress: Progress | None = None
) -> None:
    """Give the live generation the documents that it lacks after a rollback."""
    (generation,) = (each for each, state in generations(folder) if state == "live")
    legs = load_legs(generation.config, compute or Compute())
    check_encoders(generation, legs.fingerprints, str(folder))
    encode_stored(Path(folder), generation, legs, on_progress=on_progress)


def encode_stored(
    folder: Path,
    generation: Generation,
    legs: Legs,
    *,
    document_ids: list[int] | None = None,
    merging: bool = True,
    on_progress: Progress | None = None,
) -> None:
    """Cut and encode stored documents for a generation.

    Args:
        document_ids: of their rows; by default all that the generation lacks.
        merging: see GenerationBuilder.
    """
    cut = legs.cutter(generation.config)
    with GenerationBuilder(folder, generation.generation_id, merging=merging) as builder:
        wanted = builder.lacking() if document_ids is None else document_ids
        done = 0
        for batch in _batches(builder.documents(wanted), cut):
            encoded = legs.encode(
                generation.config,
                [(document, digest, chunks) for _, document, digest, chunks in batch],
            )
            builder.add_all(
                (document_id, each) for (document_id, *_), each in zip(batch, encoded, strict=True)
            )
            done += len(batch)
            if on_progress:
                on_progress(done, len(wanted))


def _batches(
    documents: Iterable[tuple[int, Document, str]], cut: Callable[[Document], list[Chunk]]
) -> Iterable[list[tuple[int, Document, str, list[Chunk]]]]:
    batch: list[tuple[int, Document, str, list[Chunk]]] = []
    count = 0
    for document_id, document, digest in documents:
        chunks = cut(document)
        batch.append((document_id, document, digest, chunks))
        count += len(chunks)
        if count >= ENCODE_CHUNKS:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch

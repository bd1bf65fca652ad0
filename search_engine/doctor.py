"""Looking after an index: everything verified, and what stored texts allow made anew."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from search_engine.config import Compute
from search_engine.index.generations.generation import check_encoders
from search_engine.index.store.database import Database, check_writable, sqlite_errors
from search_engine.index.store.stored import (
    documents_of_chunks,
)
from search_engine.index.upkeep.damaged_segments import end_segments
from search_engine.index.upkeep.verification import (
    Finding,
    VerifiedGeneration,
    verify_database,
    verify_generations,
    verify_texts,
)
from search_engine.legs import load_legs
from search_engine.rebuild import Progress, encode_stored


def examine(folder: str | Path) -> list[Finding]:
    """Verify every checksum, count and reference of an index; nothing found means it is sound.

    Raises:
        IndexNotFoundError, IndexCorruptError, IndexFormatError, IndexReadOnlyError: see Database.
    """
    place = Path(folder)
    findings = [*verify_database(place), *verify_texts(place), *_two_builds_of_faiss()]
    for generation in verify_generations(place):
        findings += generation.findings
    return findings


def repair(
    folder: str | Path, *, compute: Compute | None = None, on_progress: Progress | None = None
) -> None:
    """Make anew, from the stored texts, the chunks of damaged segments and those that are lacking.

    Until the last of them is there, a damaged segment stays an error for readers: no answer is
    given without its chunks. Interrupted, it goes on where it was when it is called again.

    Raises:
        IndexReadOnlyError: the folder cannot be written to.
        EncoderMismatchError: a model is no longer the one that the index was built with.
        ModelNotFoundError, CheckpointError: a model cannot be loaded.
    """
    place = Path(folder)
    check_writable(place)
    for found in verify_generations(place):
        if any(finding.repairable for finding in found.findings):
            _mend(place, found, compute or Compute(), on_progress)


def _mend(
    folder: Path, found: VerifiedGeneration, compute: Compute, on_progress: Progress | None
) -> None:
    generation = found.generation
    legs = load_legs(generation.config, compute)
    check_encoders(generation, legs.fingerprints, str(folder))
    with Database(folder, writable=True) as database, sqlite_errors(folder):
        lost = documents_of_chunks(database.here, found.lost.tolist())
    # What another generation lacks, it may go on lacking until it is promoted.
    for document_ids in (lost, None) if found.state == "live" else (lost,):
        encode_stored(
            folder,
            generation,
            legs,
            document_ids=document_ids,
            merging=False,
            on_progress=on_progress,
        )
    if found.damaged:
        end_segments(folder, list(found.damaged))


def _two_builds_of_faiss() -> Iterator[Finding]:
    """faiss-cpu and faiss-gpu write into one folder: with both, neither is whole."""
    installed = [name for name in ("faiss-cpu", "faiss-gpu-cu12") if _is_installed(name)]
    if len(installed) > 1:
        yield Finding(
            f"{' and '.join(installed)} are both installed and overwrite each other; uninstall "
            "both, then install one",
            repairable=False,
        )


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True

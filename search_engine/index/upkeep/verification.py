"""Looking at everything an index consists of: the database, the files, and whether they agree."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlite_utils
from numpy.typing import NDArray

from search_engine.errors import IndexCorruptError
from search_engine.index.generations.generation import (
    Generation,
    GenerationState,
    stored_generations,
)
from search_engine.index.segments.segment_table import (
    SegmentRow,
    dead_chunks,
    open_segment,
    segments_at,
)
from search_engine.index.store.content_hash import content_hash_of
from search_engine.index.store.database import Database, is_writable, sqlite_errors
from search_engine.index.store.pins import pinned
from search_engine.index.store.schema import read_config
from search_engine.index.store.stored import (
    document_name,
    documents_lacking,
    living_document_ids,
    whole_document,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        what: in words, with the file or the row.
        repairable: whether it can be made anew from the stored texts.
    """

    what: str
    repairable: bool


@dataclass(frozen=True, slots=True)
class VerifiedGeneration:
    """What the files of a generation hold of what its rows say.

    Attributes:
        damaged: segments that cannot be trusted, by id.
        lost: int64 [n], ids of living chunks that no sound segment holds.
    """

    generation: Generation
    state: GenerationState
    damaged: tuple[str, ...]
    lost: NDArray[np.int64]
    findings: tuple[Finding, ...]


def verify_database(folder: Path) -> list[Finding]:
    """What SQLite itself finds wrong with `index.db`, and rows that contradict each other.

    Raises:
        IndexNotFoundError, IndexCorruptError, IndexFormatError, IndexReadOnlyError: see Database.
    """
    with Database(folder, writable=is_writable(folder)) as database, sqlite_errors(folder):
        return list(_database_findings(database.here))


def verify_generations(folder: Path) -> list[VerifiedGeneration]:
    """Every generation's segments compared with their checksums, and their chunks with the rows.

    Raises:
        IndexNotFoundError, IndexCorruptError, IndexFormatError, IndexReadOnlyError: see Database.
    """
    with (
        Database(folder, writable=is_writable(folder)) as database,
        sqlite_errors(folder),
        # Of one commit, so that others may write and merge meanwhile.
        pinned(database, str(folder)) as newest,
    ):
        return [
            _verify_generation(folder, database, generation, state, newest.commit)
            for generation, state in stored_generations(database.here, str(folder))
        ]


def verify_texts(folder: Path) -> list[Finding]:
    """Documents whose stored text is not the one that their content hash was made of.

    Raises:
        IndexNotFoundError, IndexCorruptError, IndexFormatError, IndexReadOnlyError: see Database.
    """
    with (
        Database(folder, writable=is_writable(folder)) as database,
        sqlite_errors(folder),
        pinned(database, str(folder)),
    ):
        return [
            finding
            for document_id in living_document_ids(database.here)
            if (finding := _changed_text(database.here, document_id)) is not None
        ]


def _changed_text(db: sqlite_utils.Database, document_id: int) -> Finding | None:
    try:
        found = whole_document(db, document_id)
    except (sqlite3.OperationalError, ValueError):
        # Not UTF-8, or not JSON.
        doc_id = document_name(db, document_id)
    else:
        if found is None or content_hash_of(found[0]) == found[1]:
            return None
        doc_id = found[0].doc_id
    return Finding(
        f"index.db: what is stored of document {doc_id!r} is not what was indexed; delete it "
        "(`search-cli delete`), then index its file again",
        repairable=False,
    )


def _database_findings(db: sqlite_utils.Database) -> Iterator[Finding]:
    for (problem,) in db.execute("PRAGMA integrity_check").fetchall():
        if problem != "ok":
            yield Finding(f"index.db: {problem}", repairable=False)
    for table, row, parent, _ in db.execute("PRAGMA foreign_key_check").fetchall():
        yield Finding(
            f"index.db: row {row} of {table} belongs to no row of {parent}", repairable=False
        )
    for name, highest in (
        ("next_chunk_id", "SELECT max(chunk_id) FROM chunks"),
        ("next_document_id", "SELECT max(document_id) FROM documents"),
    ):
        # In this order: others may commit in between, and the numbers only grow.
        used = db.execute(highest).fetchone()[0] or 0
        if int(read_config(db, name)) <= used:
            yield Finding(f"index.db: {name} is not greater than every id", repairable=False)


def _verify_generation(
    folder: Path,
    database: Database,
    generation: Generation,
    state: GenerationState,
    commit: int,
) -> VerifiedGeneration:
    db = database.here
    findings: list[Finding] = []
    damaged: list[str] = []
    generation_id = generation.generation_id
    living, dead = _living_chunks(db, generation_id, commit), dead_chunks(db, generation_id, commit)
    known, holding = np.concatenate([living, dead]), np.empty(0, np.int64)
    for row in segments_at(db, generation_id, commit):
        try:
            chunk_ids = _sound_chunks(folder, database, generation, row)
            _check_chunks(row, chunk_ids, known=known, elsewhere=holding)
        except IndexCorruptError as error:
            damaged.append(row.segment_id)
            findings.append(Finding(str(error), repairable=True))
        else:
            holding = np.concatenate([holding, chunk_ids])
    lost = np.setdiff1d(living, holding)
    if len(lost):
        findings.append(Finding(f"{len(lost)} chunks are in no sound segment", repairable=True))
    lacking = documents_lacking(db, generation_id) if state == "live" else []
    if lacking:
        findings.append(
            Finding(
                f"{len(lacking)} documents have no chunks in the live generation", repairable=True
            )
        )
    return VerifiedGeneration(generation, state, tuple(damaged), lost, tuple(findings))


def _living_chunks(db: sqlite_utils.Database, generation_id: int, commit: int) -> NDArray[np.int64]:
    rows = db.execute(
        "SELECT chunk_id FROM chunks WHERE generation_id = :generation AND born <= :commit "
        "AND (died IS NULL OR died > :commit) ORDER BY chunk_id",
        {"generation": generation_id, "commit": commit},
    ).fetchall()
    return np.fromiter((chunk_id for (chunk_id,) in rows), np.int64)


def _check_chunks(
    row: SegmentRow,
    chunk_ids: NDArray[np.int64],
    *,
    known: NDArray[np.int64],
    elsewhere: NDArray[np.int64],
) -> None:
    if len(chunk_ids) != row.chunk_count:
        raise IndexCorruptError(
            f"segment {row.segment_id} holds {len(chunk_ids)} chunks, and its row says "
            f"{row.chunk_count}"
        )
    for what, wrong in (
        ("that have no row", ~np.isin(chunk_ids, known)),
        ("that another segment holds too", np.isin(chunk_ids, elsewhere)),
    ):
        if wrong.any():
            raise IndexCorruptError(f"segment {row.segment_id} holds {wrong.sum()} chunks {what}")


def _sound_chunks(
    folder: Path, database: Database, generation: Generation, row: SegmentRow
) -> NDArray[np.int64]:
    """The chunk ids of a segment whose files are what was committed."""
    segment = open_segment(folder, row, generation, database)
    segment.verify()
    segment.open_all()
    return segment.chunk_ids

"""Removing what no living reader sees: rows that died, and the folders they named."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import sqlite_utils
from numpy.typing import NDArray

from search_engine.errors import IndexLockedError
from search_engine.index.segments.new_segment import CHUNKS_FILE, UNFINISHED
from search_engine.index.segments.postings import map_array
from search_engine.index.store.database import Database, sqlite_errors, write_transaction
from search_engine.index.store.lock import merge_lock, write_lock
from search_engine.index.store.pins import oldest_pinned
from search_engine.index.store.signatures import delete_signatures

_OURS = re.compile(rf"({re.escape(UNFINISHED)})?\d{{8,}}-[0-9a-f]{{8}}")
# Rows that go in one transaction, so that the write-ahead log stays small.
_ROWS = 20_000


def remove_unseen(folder: Path, database: Database, *, lock_timeout: float) -> None:
    """Remove every row and folder that died before anything that a living reader sees.

    First the rows go, then the folders that no row names: whatever stops it in between, the next
    call goes on from there. While another process merges or writes, it is left for later.

    Args:
        lock_timeout: seconds to wait for another writer's commit.
    """
    with (
        suppress(IndexLockedError),
        merge_lock(folder, timeout=0),
        # Nobody is writing a segment while both locks are held.
        write_lock(folder, timeout=lock_timeout),
        sqlite_errors(folder),
    ):
        db = database.here
        _remove_segment_rows(db)
        _remove_folders(folder / "segments", _named(db))
        _remove_chunk_rows(folder / "segments", db)


def _remove_segment_rows(db: sqlite_utils.Database) -> None:
    with write_transaction(db):
        db.execute("DELETE FROM segments WHERE died <= ?", [oldest_pinned(db)])


def _named(db: sqlite_utils.Database) -> set[str]:
    return {name for (name,) in db.execute("SELECT segment_id FROM segments").fetchall()}


def _remove_folders(segments: Path, named: set[str]) -> None:
    for folder in segments.glob("*"):
        if _OURS.fullmatch(folder.name) and folder.name not in named:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_chunk_rows(segments: Path, db: sqlite_utils.Database) -> None:
    """Remove dead chunks that no segment holds any more, then documents without any chunk.

    While a segment holds a dead chunk, its row is what says that it is dead.
    """
    with write_transaction(db):
        horizon = oldest_pinned(db)
    gone = _ids(db, "SELECT chunk_id FROM chunks WHERE died <= ?", horizon)
    for (generation_id,) in db.execute(
        "SELECT generation_id FROM generations g WHERE state = 'retired' AND NOT EXISTS "
        "(SELECT 1 FROM segments s WHERE s.generation_id = g.generation_id)"
    ).fetchall():
        # The chunks of a retired generation did not die one by one.
        retired = _ids(db, "SELECT chunk_id FROM chunks WHERE generation_id = ?", generation_id)
        gone = np.union1d(gone, retired)
    if len(gone):
        try:
            held = _held(segments, _named(db))
        except (OSError, ValueError, EOFError):
            # A segment is damaged and does not say what it holds: the rows stay until it is mended.
            return
        gone = gone[~np.isin(gone, held)]
    for start in range(0, len(gone), _ROWS):
        chunk_ids = json.dumps(gone[start : start + _ROWS].tolist())
        with write_transaction(db):
            documents = json.dumps(
                [
                    document_id
                    for (document_id,) in db.execute(
                        "SELECT DISTINCT document_id FROM chunks "
                        "WHERE chunk_id IN (SELECT value FROM json_each(?))",
                        [chunk_ids],
                    ).fetchall()
                ]
            )
            db.execute(
                "DELETE FROM chunks WHERE chunk_id IN (SELECT value FROM json_each(?))",
                [chunk_ids],
            )
            unseen = _ids(
                db,
                "SELECT document_id FROM documents WHERE died <= ? "
                "AND document_id IN (SELECT value FROM json_each(?)) AND NOT EXISTS "
                "(SELECT 1 FROM chunks c WHERE c.document_id = documents.document_id)",
                horizon,
                documents,
            ).tolist()
            delete_signatures(db, unseen)
            db.execute(
                "DELETE FROM documents WHERE document_id IN (SELECT value FROM json_each(?))",
                [json.dumps(unseen)],
            )
    with write_transaction(db):
        db.execute(
            "DELETE FROM generations WHERE state = 'retired' AND NOT EXISTS "
            "(SELECT 1 FROM chunks c WHERE c.generation_id = generations.generation_id) "
            "AND NOT EXISTS "
            "(SELECT 1 FROM segments s WHERE s.generation_id = generations.generation_id)"
        )


def _ids(db: sqlite_utils.Database, sql: str, *parameters: object) -> NDArray[np.int64]:
    rows = db.execute(sql, parameters).fetchall()
    return np.fromiter((number for (number,) in rows), np.int64)


def _held(segments: Path, named: set[str]) -> NDArray[np.int64]:
    """The ids of all chunks that some segment holds.

    Raises:
        OSError, ValueError, EOFError: a segment is damaged.
    """
    held = [map_array(segments / name / CHUNKS_FILE) for name in sorted(named)]
    return np.concatenate([np.empty(0, np.int64), *held])

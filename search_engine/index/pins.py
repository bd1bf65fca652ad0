"""Which commit each reader sees: rows that keep it from being removed."""

from __future__ import annotations

import os
import time

import sqlite_utils

from search_engine.index.schema import read_config


def pin_newest(db: sqlite_utils.Database, reader_id: int | None) -> tuple[int, int]:
    """Write down that a reader sees the newest commit, in the transaction that reads its number.

    Args:
        reader_id: of the reader's row, None if it has none yet.

    Returns:
        The reader's id and the number of the commit.
    """
    with db.atomic():
        # A write comes first: it takes the lock before anything is read.
        if reader_id is None:
            cursor = db.execute(
                "INSERT INTO readers (process_id, pinned, heartbeat) VALUES (?, 0, 0)",
                [os.getpid()],
            )
            reader_id = int(cursor.lastrowid or 0)
        beat(db, reader_id)
        commit = int(read_config(db, "commit"))
        db.execute("UPDATE readers SET pinned = ? WHERE reader_id = ?", [commit, reader_id])
    return reader_id, commit


def beat(db: sqlite_utils.Database, reader_id: int) -> None:
    """Say that the reader is alive."""
    db.execute("UPDATE readers SET heartbeat = ? WHERE reader_id = ?", [time.time(), reader_id])


def release(db: sqlite_utils.Database, reader_id: int) -> None:
    """The reader sees nothing any more."""
    db.execute("DELETE FROM readers WHERE reader_id = ?", [reader_id])


def release_dead(db: sqlite_utils.Database) -> None:
    """Remove the rows of readers whose process is gone."""
    for reader_id, process_id in db.execute("SELECT reader_id, process_id FROM readers").fetchall():
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            release(db, reader_id)
        except PermissionError:
            # It is somebody else's process, so it is there.
            continue

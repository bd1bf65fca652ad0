"""Giving up segments that are damaged, once their chunks were made anew."""

from __future__ import annotations

import json
from pathlib import Path

from search_engine.index.segments.removal import remove_unseen
from search_engine.index.store.database import Database, sqlite_errors, write_transaction
from search_engine.index.store.lock import write_lock
from search_engine.index.store.schema import read_config, write_config
from search_engine.index.writer import LOCK_TIMEOUT_SECONDS


def end_segments(folder: Path, segment_ids: list[str]) -> None:
    """Let segments that are damaged die, after their chunks were made anew elsewhere."""
    database = Database(folder, writable=True)
    try:
        with (
            write_lock(folder, timeout=LOCK_TIMEOUT_SECONDS),
            sqlite_errors(folder),
            write_transaction(database.here),
        ):
            commit = int(read_config(database.here, "commit")) + 1
            database.here.execute(
                "UPDATE segments SET died = ? WHERE died IS NULL "
                "AND segment_id IN (SELECT value FROM json_each(?))",
                [commit, json.dumps(segment_ids)],
            )
            write_config(database.here, "commit", str(commit))
        remove_unseen(folder, database, lock_timeout=LOCK_TIMEOUT_SECONDS)
    finally:
        database.close()

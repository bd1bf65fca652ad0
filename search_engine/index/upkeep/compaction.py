"""Making each generation one segment, without what died."""

from __future__ import annotations

from pathlib import Path

from search_engine.index.generations.generation import stored_generations
from search_engine.index.segments.merger import SegmentMerger
from search_engine.index.segments.removal import remove_unseen
from search_engine.index.store.database import (
    Database,
    check_writable,
    limit_log,
    sqlite_errors,
)
from search_engine.index.store.lock import write_lock
from search_engine.index.writer import LOCK_TIMEOUT_SECONDS

# So many free pages are given back in one step.
_PAGES = 2_000


def compact(folder: str | Path, *, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> None:
    """Merge the segments of each generation into one and remove all that no reader sees.

    Raises:
        IndexReadOnlyError: the folder cannot be written to.
        IndexLockedError: another process did not end its merge or its commit in time.
        IndexCorruptError: a segment is damaged.
        OSError: the disk is full or broken. What the index holds stays as it was.
    """
    place = Path(folder)
    check_writable(place)
    database = Database(place, writable=True)
    try:
        merger = SegmentMerger(place, database, lock_timeout=lock_timeout)
        with sqlite_errors(place):
            kept = stored_generations(database.here, str(place))
        for generation, _ in kept:
            merger.compact(generation.generation_id, timeout=lock_timeout)
        remove_unseen(place, database, lock_timeout=lock_timeout)
        _shrink(place, database, lock_timeout)
    finally:
        database.close()


def _shrink(folder: Path, database: Database, lock_timeout: float) -> None:
    """Give the free pages of `index.db` back, in steps that keep the write-ahead log small.

    An index of format 1 keeps its free pages and uses them for what comes.
    """
    db = database.here
    with write_lock(folder, timeout=lock_timeout), sqlite_errors(folder):
        free = db.execute("PRAGMA freelist_count").fetchone()[0]
        for _ in range(0, free, _PAGES):
            # It gives back one page each time it is stepped, and `execute` steps it once.
            db.conn.executescript(f"PRAGMA incremental_vacuum({_PAGES});")
            limit_log(database)

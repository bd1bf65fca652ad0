"""Which commit each reader sees: rows that keep it from being removed."""

from __future__ import annotations

import contextlib
import os
import platform
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import sqlite_utils

from search_engine.errors import IndexCorruptError
from search_engine.index.store.database import Database, write_transaction
from search_engine.index.store.schema import read_config

# A reader on another machine is taken for dead when it has said nothing for so long. Those of this
# machine are asked for by their process, so that no clock decides about them.
SILENT_SECONDS = 3_600.0
_UNWRITABLE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)


class State(NamedTuple):
    """The newest commit, and the generation that is live at it."""

    commit: int
    generation_id: int


def newest_state(db: sqlite_utils.Database, place: str) -> State:
    """The newest commit and its live generation, of one moment.

    Raises:
        IndexCorruptError: there is no live generation.
    """
    row = db.execute(
        "SELECT value, (SELECT generation_id FROM generations WHERE state = 'live') "
        "FROM config WHERE key = 'commit'"
    ).fetchone()
    if row is None or row[1] is None:
        raise IndexCorruptError(
            f"{place} has no live generation; restore it from a backup, or remove the folder and "
            "index the documents again"
        )
    return State(int(row[0]), row[1])


def pin(
    db: sqlite_utils.Database, place: str, *, reader_id: int | None, oldest: int | None
) -> tuple[int, State]:
    """Write down what a reader sees, in the transaction that reads the newest state.

    Args:
        reader_id: of the reader's row, None if it has none yet.
        oldest: the oldest commit that the reader still looks at besides the newest one.

    Returns:
        The reader's id and the newest state.
    """
    with write_transaction(db):
        state = newest_state(db, place)
        pinned = state.commit if oldest is None else min(oldest, state.commit)
        # A row that somebody removed meanwhile is made again.
        cursor = db.execute(
            "INSERT INTO readers (reader_id, host, process_id, process_started, pinned, heartbeat) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (reader_id) DO UPDATE SET "
            "pinned = excluded.pinned, heartbeat = excluded.heartbeat",
            [reader_id, _host(), os.getpid(), _started(os.getpid()), pinned, time.time()],
        )
        if reader_id is None:
            reader_id = int(cursor.lastrowid or 0)
    return reader_id, state


@contextlib.contextmanager
def pinned(database: Database, place: str) -> Iterator[State]:
    """Keep the newest state from being removed for a while, where that can be written down."""
    reader_id = None
    state = newest_state(database.here, place)
    if database.writable:
        with writing_if_possible():
            reader_id, state = pin(database.here, place, reader_id=None, oldest=None)
    try:
        yield state
    finally:
        if reader_id is not None:
            with writing_if_possible():
                release(database.here, reader_id)


@contextlib.contextmanager
def writing_if_possible() -> Iterator[None]:
    """Do without what a full disk, or one that is read-only, does not let be written."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _UNWRITABLE:
            raise


def release(db: sqlite_utils.Database, reader_id: int) -> None:
    """The reader sees nothing any more."""
    db.execute("DELETE FROM readers WHERE reader_id = ?", [reader_id])


def oldest_pinned(db: sqlite_utils.Database) -> int:
    """The oldest commit that a living reader sees, or the newest; the caller holds a transaction.

    What died by then is seen by nobody, now or later. Rows of readers that are gone are removed.
    """
    _release_dead(db)
    row = db.execute("SELECT min(pinned) FROM readers").fetchone()
    return int(read_config(db, "commit")) if row[0] is None else int(row[0])


def _release_dead(db: sqlite_utils.Database) -> None:
    rows = db.execute("SELECT reader_id, host, process_id, process_started, heartbeat FROM readers")
    for reader_id, host, process_id, started, heartbeat in rows.fetchall():
        if host == _host():
            dead = not _is_alive(process_id) or _started(process_id) != started
        else:
            dead = abs(time.time() - heartbeat) > SILENT_SECONDS
        if dead:
            release(db, reader_id)


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It is somebody else's process, so it is there.
        return True
    return True


def _host() -> str:
    """This machine since it was started, and the namespace in which process ids mean something."""
    parts = [platform.node()]
    for fact in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        with contextlib.suppress(OSError):
            parts.append(str(fact.readlink()) if fact.is_symlink() else fact.read_text().strip())
    return " ".join(parts)


def _started(process_id: int) -> int:
    """When a process was started, in clock ticks since boot (proc(5), stat, field 22); else 0."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The name, in parentheses, may hold anything, spaces too.
    return int(stat.rpartition(")")[2].split()[19])

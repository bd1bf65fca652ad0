"""Which commit each reader sees: rows that keep it from being removed."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from pathlib import Path

import sqlite_utils

from search_engine.index.database import write_transaction
from search_engine.index.schema import read_config


def pin_newest(db: sqlite_utils.Database, reader_id: int | None) -> tuple[int, int]:
    """Write down that a reader sees the newest commit, in the transaction that reads its number.

    Args:
        reader_id: of the reader's row, None if it has none yet.

    Returns:
        The reader's id and the number of the commit.
    """
    with write_transaction(db):
        commit = int(read_config(db, "commit"))
        # A row that somebody removed meanwhile is made again.
        cursor = db.execute(
            "INSERT INTO readers (reader_id, host, process_id, process_started, pinned, heartbeat) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (reader_id) DO UPDATE SET "
            "pinned = excluded.pinned, heartbeat = excluded.heartbeat",
            [reader_id, _host(), os.getpid(), _started(os.getpid()), commit, time.time()],
        )
        if reader_id is None:
            reader_id = int(cursor.lastrowid or 0)
    return reader_id, commit


def beat(db: sqlite_utils.Database, reader_id: int) -> None:
    """Say that the reader is alive."""
    db.execute("UPDATE readers SET heartbeat = ? WHERE reader_id = ?", [time.time(), reader_id])


def release(db: sqlite_utils.Database, reader_id: int) -> None:
    """The reader sees nothing any more."""
    db.execute("DELETE FROM readers WHERE reader_id = ?", [reader_id])


def release_dead(db: sqlite_utils.Database) -> None:
    """Remove the rows of readers of this host whose process is gone."""
    rows = db.execute(
        "SELECT reader_id, process_id, process_started FROM readers WHERE host = ?", [_host()]
    )
    for reader_id, process_id, started in rows.fetchall():
        if not _is_alive(process_id) or _started(process_id) != started:
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

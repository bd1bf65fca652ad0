"""Connections to `index.db`: one for each thread, WAL, and read-only places."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from urllib.parse import quote

import sqlite_utils

from search_engine.errors import (
    IndexCorruptError,
    IndexExistsError,
    IndexNotFoundError,
    IndexReadOnlyError,
)
from search_engine.index.schema import check_format, create_tables

FILE_NAME = "index.db"
BUSY_TIMEOUT_SECONDS = 30.0
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"}
)


class Database:
    """The SQLite file of one index.

    Args:
        folder: the index's folder.
        writable: False opens a folder that nobody can write to, as an immutable file.

    Raises:
        IndexNotFoundError: there is no index in the folder.
        IndexCorruptError: `index.db` is not an index database.
        IndexFormatError: it was written in another format.
        IndexReadOnlyError: the folder is read-only and a write-ahead log is left in it.
    """

    def __init__(self, folder: Path, *, writable: bool) -> None:
        self.path = folder / FILE_NAME
        self.writable = writable
        self._local = threading.local()
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._connections_lock = threading.Lock()
        if not self.path.is_file():
            raise IndexNotFoundError(
                f"there is no index at {folder}; build one with "
                f"`search-cli index PATH --index {folder}`"
            )
        log = self.path.with_name(FILE_NAME + "-wal")
        if not writable and log.exists() and log.stat().st_size > 0:
            raise IndexReadOnlyError(
                f"{folder} cannot be written to, but holds a write-ahead log that was not merged; "
                "open the index once from where it can be written to, then copy it again"
            )
        try:
            check_format(self.here, str(folder))
        except (sqlite3.DatabaseError, TypeError, ValueError) as error:
            self.close()
            raise IndexCorruptError(
                f"{self.path} is not an index database ({error}); restore it from a copy, "
                "or remove the folder and index the documents again"
            ) from error
        except BaseException:
            self.close()
            raise

    @property
    def here(self) -> sqlite_utils.Database:
        """The connection of the calling thread."""
        db: sqlite_utils.Database | None = getattr(self._local, "db", None)
        if db is None:
            db = self._connect()
            self._local.db = db
        return db

    def _connect(self) -> sqlite_utils.Database:
        # mode=rw: a database that was removed meanwhile is an error, not a new and empty one.
        suffix = "?mode=rw" if self.writable else "?immutable=1"
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}{suffix}",
            uri=True,
            timeout=BUSY_TIMEOUT_SECONDS,
            # Each thread uses its own; only `close` touches those of others.
            check_same_thread=False,
        )
        with self._connections_lock:
            # A thread that ended leaves its connection behind (Streamlit has one per question).
            for thread in [each for each in self._connections if not each.is_alive()]:
                self._connections.pop(thread).close()
            self._connections[threading.current_thread()] = connection
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return sqlite_utils.Database(connection, execute_plugins=False)

    def close(self) -> None:
        """Close the connections of every thread."""
        with self._connections_lock:
            while self._connections:
                self._connections.popitem()[1].close()
        self._local = threading.local()


def create_database(folder: Path) -> None:
    """Make `index.db` in a folder, which is made too.

    Raises:
        IndexExistsError: there already is one.
        IndexReadOnlyError: the folder cannot be written to, or lies on a network.
    """
    path = folder / FILE_NAME
    if path.exists():
        raise IndexExistsError(
            f"there already is an index at {folder}; open it, or choose another name"
        )
    try:
        (folder / "segments").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IndexReadOnlyError(f"cannot make an index at {folder}: {error.strerror}") from error
    check_writable(folder)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        db = sqlite_utils.Database(connection, execute_plugins=False)
        with db.atomic():
            create_tables(db)
    finally:
        connection.close()


def is_writable(folder: Path) -> bool:
    """Whether this process may write into the folder and its database."""
    path = folder / FILE_NAME
    return os.access(folder, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def check_writable(folder: Path) -> None:
    """Refuse a place where commits could not be made safe.

    Raises:
        IndexReadOnlyError: no permission, or a network file system, whose locks SQLite's
            write-ahead log cannot rely on (sqlite.org/wal.html, "Overview").
    """
    if not is_writable(folder):
        raise IndexReadOnlyError(
            f"{folder} cannot be written to; give yourself the right to, or copy the index"
        )
    kind = _file_system(folder.resolve())
    if kind in _NETWORK_FILE_SYSTEMS:
        raise IndexReadOnlyError(
            f"{folder} lies on a network file system ({kind}), where SQLite's write-ahead log is "
            "not safe; build the index on a local disk, then copy it"
        )


def _file_system(folder: Path) -> str | None:
    """The type of the file system that holds a folder, where the system tells it (Linux)."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return None
    best, kind = "", None
    for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        _, place, mounted_as, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        if len(place) >= len(best) and folder.is_relative_to(place):
            best, kind = place, mounted_as
    return kind

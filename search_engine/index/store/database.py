"""Connections to `index.db`: one for each thread, WAL, and read-only places."""

from __future__ import annotations

import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import sqlite_utils

from search_engine.errors import (
    IndexCorruptError,
    IndexExistsError,
    IndexLockedError,
    IndexNotFoundError,
    IndexReadOnlyError,
    IndexStoreError,
)
from search_engine.index.store.schema import FORMAT_VERSION, create_tables
from search_engine.index.store.upgrade import format_version, present_as_current, upgrade

FILE_NAME = "index.db"
BUSY_TIMEOUT_SECONDS = 30.0
_LOG_BYTES = 16 << 20
_UNFINISHED = ".unfinished-"
_IMMUTABLE = "immutable=1"
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"}
)


class Database:
    """The SQLite file of one index; an earlier format is upgraded where it may be written to.

    Args:
        folder: the index's folder.
        writable: False opens a database that this process may not write to.

    Raises:
        IndexNotFoundError: there is no index in the folder.
        IndexCorruptError: `index.db` is not an index database.
        IndexFormatError: it was written in another format.
        IndexLockedError: another program kept it locked.
        IndexReadOnlyError: it cannot be written to, and a write-ahead log was left without the
            shared memory that a reader of it needs.
    """

    def __init__(self, folder: Path, *, writable: bool) -> None:
        self.path = folder / FILE_NAME
        self.writable = writable
        self._closed = False
        self._local = threading.local()
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._connections_lock = threading.Lock()
        if not self.path.is_file():
            raise IndexNotFoundError(_nothing_at(folder))
        self._mode = "mode=rw" if writable else _read_only_mode(self.path)
        self._version = FORMAT_VERSION
        try:
            with sqlite_errors(folder):
                self._open_format(str(folder))
        except (TypeError, ValueError) as error:
            self.close()
            raise IndexCorruptError(_not_ours(self.path, error)) from error
        except BaseException:
            self.close()
            raise

    def _open_format(self, place: str) -> None:
        version = format_version(self.here, place)
        if version == FORMAT_VERSION:
            return
        if self.writable:
            with write_transaction(self.here):
                # Another process may have done it meanwhile; then nothing is left to do.
                upgrade(self.here, place)
        else:
            self._version = version
            present_as_current(self.here, version)

    @property
    def here(self) -> sqlite_utils.Database:
        """The connection of the calling thread.

        Raises:
            IndexStoreError: the database was closed.
        """
        if self._closed:
            self._close_own()
            raise IndexStoreError(f"the index at {self.path.parent} was closed; open it again")
        db: sqlite_utils.Database | None = getattr(self._local, "db", None)
        if db is None:
            db = self._connect()
            self._local.db = db
        return db

    @property
    def frozen(self) -> bool:
        """Whether the file is read as one that nobody changes."""
        return self._mode == _IMMUTABLE

    def check_version(self) -> None:
        """Refuse to go on reading an earlier format that somebody has upgraded meanwhile.

        Raises:
            IndexReadOnlyError: what this connection sees is not what is there.
        """
        if self._version == FORMAT_VERSION:
            return
        row = self.here.execute(
            "SELECT value FROM main.config WHERE key = 'format_version'"
        ).fetchone()
        if int(row[0]) != self._version:
            raise IndexReadOnlyError(
                f"the index at {self.path.parent} was upgraded by somebody who may write to it; "
                "open it again"
            )

    def state(self) -> tuple[int, int, int]:
        """Changes whenever a frozen database was changed after all."""
        stat, log = self.path.stat(), _log(self.path)
        return stat.st_mtime_ns, stat.st_size, log.stat().st_size if log.exists() else 0

    def _connect(self) -> sqlite_utils.Database:
        connection = sqlite3.connect(
            # mode=rw: a database that was removed meanwhile is an error, not a new and empty one.
            f"file:{quote(str(self.path))}?{self._mode}",
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
        db = sqlite_utils.Database(connection, execute_plugins=False)
        present_as_current(db, self._version)
        return db

    def close(self) -> None:
        """Let nobody use the database any more; may be called twice.

        A connection that another thread may be using just now is closed by that thread, when it
        next asks for it or when it ends: SQLite does not survive it otherwise.
        """
        self._closed = True
        self._close_own()

    def _close_own(self) -> None:
        with self._connections_lock:
            here = threading.current_thread()
            for thread in [
                each for each in self._connections if each is here or not each.is_alive()
            ]:
                self._connections.pop(thread).close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def sqlite_errors(folder: Path) -> Iterator[None]:
    """Errors of SQLite as those of our tree.

    Raises:
        IndexLockedError: another program kept the database locked.
        IndexReadOnlyError: it cannot be written to.
        IndexCorruptError: it is damaged, or no index database.
        IndexStoreError: SQLite could not do its work for another reason, such as a full disk.
    """
    path = folder / FILE_NAME
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise IndexLockedError(
                f"another program has kept {path} locked for more than "
                f"{BUSY_TIMEOUT_SECONDS:g} s; end it, then try again"
            ) from error
        if code == sqlite3.SQLITE_READONLY:
            # Also a reader's, where the write-ahead log comes or goes just as it looks.
            raise IndexReadOnlyError(
                f"{path} cannot be written to, or is just being opened by somebody who may; "
                "open it again"
            ) from error
        if code == sqlite3.SQLITE_ERROR:
            raise IndexCorruptError(_not_ours(path, error)) from error
        raise IndexStoreError(f"{path} cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        raise IndexCorruptError(_not_ours(path, error)) from error


def _nothing_at(folder: Path) -> str:
    if any((folder / "segments").glob("*")):
        return (
            f"{folder} has segments, but its {FILE_NAME} is gone; restore it from a backup, or "
            "remove the folder and index the documents again"
        )
    return f"there is no index at {folder}; build one with `search-cli index PATH --index {folder}`"


def _not_ours(path: Path, error: Exception) -> str:
    return (
        f"{path} is not an index database, or is damaged ({error}); restore it from a copy, "
        "or remove the folder and index the documents again"
    )


def _log(path: Path) -> Path:
    return path.with_name(FILE_NAME + "-wal")


def _read_only_mode(path: Path) -> str:
    """How to open a database that this process may not write to."""
    log = _log(path)
    if not log.exists() or log.stat().st_size == 0:
        return _IMMUTABLE
    if path.with_name(FILE_NAME + "-shm").exists():
        # Somebody who may write has it open.
        return "mode=ro"
    raise IndexReadOnlyError(
        f"{path.parent} cannot be written to, but holds a write-ahead log that was not merged; "
        "open the index once from where it can be written to, then copy it again"
    )


@contextmanager
def write_transaction(db: sqlite_utils.Database) -> Iterator[None]:
    """A transaction that holds the write lock from its beginning.

    `atomic` begins a deferred one: what it reads first may be stale by the time it writes, and
    SQLite then refuses at once, without waiting for the lock.
    """
    with db.atomic():
        db.execute("UPDATE config SET value = value WHERE key = 'format_version'")
        yield


def limit_log(database: Database) -> None:
    """Empty the write-ahead log where it has grown; SQLite only does so when nobody reads."""
    log = _log(database.path)
    if not log.exists() or log.stat().st_size < _LOG_BYTES:
        return
    db = database.here
    db.execute("PRAGMA busy_timeout = 1000")
    try:
        # Where readers leave no gap for a second, it is left for the next time.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        db.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_SECONDS * 1000)}")


def create_database(folder: Path, *, fill: Callable[[sqlite_utils.Database], None]) -> None:
    """Make `index.db` in a folder, which is made too; it is there whole, or not at all.

    Args:
        fill: called in the transaction that makes the tables.

    Raises:
        IndexExistsError: there already is an index, or something else is in the folder.
        IndexReadOnlyError: the folder cannot be written to, or lies on a network.
    """
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = [each.name for each in folder.iterdir() if not _is_remains(each)]
    except OSError as error:
        raise IndexReadOnlyError(f"cannot make an index at {folder}: {error.strerror}") from error
    if path.exists():
        raise IndexExistsError(
            f"there already is an index at {folder}; open it, or choose another name"
        )
    if foreign:
        raise IndexExistsError(
            f"{folder} holds other files ({foreign[0]}, for one); an index needs a folder of its "
            "own, so choose another name"
        )
    check_writable(folder)
    unfinished = folder / f"{_UNFINISHED}{uuid.uuid4().hex}"
    try:
        connection = sqlite3.connect(unfinished, timeout=BUSY_TIMEOUT_SECONDS)
        try:
            # Lets `compact` give pages back a few at a time.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            db = sqlite_utils.Database(connection, execute_plugins=False)
            with db.atomic():
                create_tables(db)
                fill(db)
        finally:
            connection.close()
        (folder / "segments").mkdir(exist_ok=True)
        # A link, not a renaming: of two that make the same index, one must fail.
        path.hardlink_to(unfinished)
    except FileExistsError as error:
        raise IndexExistsError(
            f"there already is an index at {folder}; open it, or choose another name"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _is_remains(path: Path) -> bool:
    """Whether this is what making an index leaves when it is killed, or does just now."""
    if path.name == "segments":
        return path.is_dir() and not any(path.iterdir())
    return path.name.startswith(_UNFINISHED)


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

"""A copy of an index at one commit, made while it is read and written, and an index made of it."""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from pathlib import Path

from search_engine.errors import (
    IndexCorruptError,
    IndexExistsError,
    IndexNotFoundError,
    IndexReadOnlyError,
    SnapshotGoneError,
)
from search_engine.index.generations.generation import stored_generations
from search_engine.index.segments.new_segment import sync
from search_engine.index.segments.segment_table import open_segment, segments_at
from search_engine.index.store.database import (
    FILE_NAME,
    Database,
    is_writable,
    sqlite_errors,
    write_transaction,
)
from search_engine.index.store.pins import pinned
from search_engine.index.upkeep.verification import (
    verify_database,
    verify_generations,
    verify_texts,
)


def back_up(folder: Path, target: Path) -> None:
    """Copy what an index holds at its newest commit into a new folder; others may write meanwhile.

    The copy is an index itself, compared with its checksums, and there whole or not at all.

    Raises:
        IndexExistsError: something is at the target already.
        IndexCorruptError: a file of the index is damaged; there is no copy then.
        OSError: the disk is full or broken.
    """
    target = target.resolve()
    if target.is_relative_to(folder.resolve()):
        raise IndexExistsError(f"{target} lies in the index itself; choose another place")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise IndexExistsError(f"there already is something at {target}; choose another place")
    unfinished = target.with_name(f".unfinished-{uuid.uuid4().hex}")
    try:
        unfinished.mkdir(parents=True)
    except OSError as error:
        raise IndexReadOnlyError(f"cannot make a copy at {target}: {error.strerror}") from error
    source = None
    try:
        source = Database(folder, writable=is_writable(folder))
        # Nothing that is named at this commit or later is removed while it is pinned.
        with sqlite_errors(folder), pinned(source, str(folder)):
            _copy(folder, unfinished, source)
        unfinished.rename(target)
        sync(target.parent)
    except (FileNotFoundError, shutil.Error) as error:
        raise SnapshotGoneError(
            f"{folder} was changed while it was copied, and this process may not write down what "
            "it reads there; try again"
        ) from error
    finally:
        if source is not None:
            source.close()
        shutil.rmtree(unfinished, ignore_errors=True)


def restore(backup: Path, folder: Path) -> None:
    """Make an index of a backup, which is looked at from end to end first.

    Raises:
        IndexExistsError: something is at the folder already.
        IndexCorruptError: the backup is damaged.
    """
    if not (backup / FILE_NAME).is_file():
        raise IndexNotFoundError(f"there is no backup at {backup}; `search-cli backup` makes one")
    findings = [*verify_database(backup), *verify_texts(backup)]
    findings += [each for found in verify_generations(backup) for each in found.findings]
    if findings:
        raise IndexCorruptError(
            f"the backup at {backup} is damaged and was not restored: {findings[0].what}"
        )
    back_up(backup, folder)


def _copy(folder: Path, copy: Path, source: Database) -> None:
    connection = sqlite3.connect(copy / FILE_NAME)
    try:
        source.here.conn.backup(connection)
    finally:
        connection.close()
    (copy / "segments").mkdir()
    database = Database(copy, writable=True)
    try:
        with sqlite_errors(copy), write_transaction(database.here):
            database.here.execute("DELETE FROM readers")
            database.here.execute("DELETE FROM segments WHERE died IS NOT NULL")
        for generation, _ in stored_generations(database.here, str(copy)):
            for row in segments_at(database.here, generation.generation_id):
                place = Path("segments", row.segment_id)
                shutil.copytree(folder / place, copy / place)
                try:
                    open_segment(copy, row, generation, database).verify()
                except IndexCorruptError:
                    # Says which file of the index itself is damaged.
                    open_segment(folder, row, generation, source).verify()
                    raise
    finally:
        database.close()
    for path in (*copy.rglob("*"), copy):
        sync(path)

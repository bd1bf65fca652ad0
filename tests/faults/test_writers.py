"""Writers that meet, and that wait."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from search_engine.errors import (
    IndexLockedError,
)
from search_engine.index.reader import IndexReader
from search_engine.index.store import database
from search_engine.index.store.lock import write_lock
from search_engine.index.writer import IndexWriter
from tests.index.documents import encode


def _documents(reader: IndexReader) -> dict[str, int]:
    return {each.doc_id: each.characters for each in reader.documents()}


def test_two_writers_take_turns(make_index) -> None:
    folder = make_index()
    errors = []

    def write(name: str) -> None:
        try:
            with IndexWriter(folder) as writer:
                for position in range(20):
                    writer.add(encode(f"{name}{position}", f"{name} {position}"))
                    writer.commit()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("x", "y")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with IndexReader(folder) as reader:
        # Forty, and those by which segments were merged.
        assert reader.snapshot.commit >= 40
        assert len(_documents(reader)) == reader.snapshot.chunk_count == 40


def test_a_writer_that_waits_too_long_says_so_and_loses_nothing(make_index) -> None:
    folder = make_index()
    with IndexWriter(folder, lock_timeout=0.1) as writer:
        writer.add(encode("a", "alpha"))
        with (
            write_lock(folder, timeout=1),
            pytest.raises(IndexLockedError, match="another process has been writing"),
        ):
            writer.commit()
    with IndexReader(folder) as reader:
        assert _documents(reader) == {"a": 5}


def test_a_database_locked_by_another_program_is_told_as_such(make_index, monkeypatch) -> None:
    folder = make_index()
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.1)
    other = sqlite3.connect(folder / "index.db", isolation_level=None)
    with IndexReader(folder) as reader, IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(IndexLockedError, match="another program has kept"):
            writer.commit()
        other.execute("ROLLBACK")
        writer.commit()
        assert reader.refresh().chunk_count == 1
    other.close()

"""Clocks that are wrong, readers that are gone, and programs that keep the database locked."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from search_engine.errors import IndexLockedError
from search_engine.index.generations.promotion import (
    begin_generation,
    give_up_generation,
    promote_generation,
)
from search_engine.index.reader import IndexReader
from search_engine.index.store import database, pins
from search_engine.index.upkeep.compaction import compact
from search_engine.index.writer import IndexWriter
from tests.faults.workload import (
    SECOND_GENERATION,
    answers,
    build,
    commit_version,
    findings,
    make_index,
    memory_folder,
    state_of,
    vector,
)
from tests.index.documents import encode
from tests.index.rows import count_rows, folders, query


@pytest.fixture
def place() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


@pytest.mark.parametrize("years", [-30, 30])
def test_no_clock_decides_about_a_reader_of_this_machine(
    place: Path, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    folder = make_index(place / "index")
    commit_version(folder, 0)
    with IndexReader(folder) as reader:
        held, before = reader.snapshot, answers(reader)
        now = time.time() + years * 365 * 86_400
        monkeypatch.setattr(pins, "time", SimpleNamespace(time=lambda: now))
        with IndexReader(folder):
            for version in range(1, 4):
                commit_version(folder, version)
            compact(folder)
        assert reader.snapshot is held and answers(reader) == before
        assert count_rows(folder, "readers") == 1
    compact(folder)
    assert len(folders(folder)) == 1


@pytest.mark.parametrize(
    ("host", "process", "silent", "stays"),
    [
        ("here", "living", 1e9, True),
        ("here", "dead", 0, False),
        ("here", "another of its number", 0, False),
        ("elsewhere", "dead", 0, True),
        ("elsewhere", "living", pins.SILENT_SECONDS - 60, True),
        ("elsewhere", "living", pins.SILENT_SECONDS + 60, False),
    ],
)
def test_only_rows_of_readers_that_are_gone_are_removed(
    place: Path, host: str, process: str, silent: float, stays: bool
) -> None:
    folder = make_index(place / "index")
    commit_version(folder, 0)
    reader = IndexReader(folder)
    ((real_host, started),) = query(folder, "SELECT host, process_started FROM readers")
    reader.close()
    ended = subprocess.Popen(["true"])
    ended.wait()
    with closing(sqlite3.connect(folder / "index.db")) as connection, connection:
        connection.execute(
            "INSERT INTO readers (host, process_id, process_started, pinned, heartbeat) "
            "VALUES (?, ?, ?, 1, ?)",
            [
                real_host if host == "here" else "another machine",
                ended.pid if process == "dead" else os.getpid(),
                started - (process == "another of its number"),
                time.time() - silent,
            ],
        )
    commit_version(folder, 1)
    compact(folder)
    assert count_rows(folder, "readers") == stays
    assert len(folders(folder)) == 1 + stays, "what it sees stays as long as its row"


@pytest.mark.parametrize(
    "act",
    [
        lambda folder: commit_version(folder, 1),
        compact,
        lambda folder: promote_generation(folder, 2),
        lambda folder: give_up_generation(folder, 2),
        lambda folder: begin_generation(folder, SECOND_GENERATION),
        lambda folder: IndexReader(folder).close(),
    ],
    ids=["commit", "merge", "promote", "remove", "begin", "open"],
)
def test_a_database_that_another_program_keeps_locked_is_told_and_nothing_is_lost(
    place: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], object]
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.05)
    folder = make_index(place / "index")
    commit_version(folder, 0)
    begin_generation(folder, SECOND_GENERATION)
    build(folder, 2)
    with IndexReader(folder) as reader:
        # So that there is something to merge, and something to go on to.
        with IndexWriter(folder) as writer:
            writer.add(encode("more", "alpha", vector(1, "alpha")))
        build(folder, 2)
        before, newest = answers(reader), state_of(folder)
        with closing(sqlite3.connect(folder / "index.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for blocked in (lambda: act(folder), reader.refresh):
                with pytest.raises(IndexLockedError, match=r"another program has kept .*; end it"):
                    blocked()
            assert answers(reader) == before
            other.execute("ROLLBACK")
        assert state_of(folder) == newest
        assert answers(reader) == before
        act(folder)
        assert reader.refresh().commit == state_of(folder).commit
    assert findings(folder) == []

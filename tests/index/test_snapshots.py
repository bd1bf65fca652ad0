"""What a reader sees, and for how long."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import numpy as np

from search_engine.index.reader import IndexReader
from search_engine.index.writer import IndexWriter
from tests.index.documents import DIMENSION, encode


def _documents(reader: IndexReader) -> dict[str, int]:
    return {each.doc_id: each.characters for each in reader.documents()}


def test_a_pinned_reader_keeps_what_it_saw(make_index) -> None:
    folder = make_index()
    query = np.ones(DIMENSION, np.float32)
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha", [1] * DIMENSION))
        writer.add(encode("b", "beta", [2] * DIMENSION))
    with IndexReader(folder) as old:
        with IndexWriter(folder) as writer:
            writer.add(encode("a", "alpha changed", [9] * DIMENSION))
            writer.delete("b")
            writer.add(encode("c", "gamma", [5] * DIMENSION))
        hits = old.snapshot.search_dense(query, 10)
        assert old.doc_ids(hits.chunk_ids) == ["b", "a"]
        assert hits.scores.tolist() == [16.0, 8.0]
        assert _documents(old) == {"a": 5, "b": 4}
        with IndexReader(folder) as new:
            hits = new.snapshot.search_dense(query, 10)
            assert new.doc_ids(hits.chunk_ids) == ["a", "c"]
            assert hits.scores.tolist() == [72.0, 40.0]
            assert _documents(new) == {"a": 13, "c": 5}


def _read_until_killed(folder: Path, started) -> None:
    IndexReader(folder)
    started.set()
    time.sleep(60)


def test_a_reader_pins_its_commit_until_it_closes_or_its_process_dies(
    make_index, monkeypatch
) -> None:
    folder = make_index()

    def pinned() -> list[tuple[int, int]]:
        with sqlite3.connect(folder / "index.db") as connection:
            rows = connection.execute("SELECT process_id, pinned FROM readers").fetchall()
        connection.close()
        return rows

    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_read_until_killed, args=(folder, started))
    process.start()
    assert started.wait(30)
    with IndexReader(folder) as reader:
        with IndexWriter(folder) as writer:
            writer.add(encode("a", "alpha"))
        assert sorted(pinned()) == sorted([(process.pid, 0), (os.getpid(), 0)])
        reader.refresh()
        # The snapshot before is let go of at the next heartbeat.
        monkeypatch.setattr("search_engine.index.reader.HEARTBEAT_SECONDS", 0)
        reader.refresh()
        assert sorted(pinned()) == sorted([(process.pid, 0), (os.getpid(), 1)])
    assert pinned() == [(process.pid, 0)]
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with IndexWriter(folder):
        assert pinned() == []


def test_threads_that_ended_leave_no_connection_behind(make_index) -> None:
    folder = make_index()
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
    counts = []
    with IndexReader(folder) as reader:

        def read() -> None:
            counts.append(reader.document_count())

        before = sum(1 for _ in Path("/proc/self/fd").iterdir())
        for _ in range(40):
            thread = threading.Thread(target=read)
            thread.start()
            thread.join()
        assert counts == [1] * 40
        # One that ended may wait for the next to be noticed; each holds three files at most.
        assert sum(1 for _ in Path("/proc/self/fd").iterdir()) - before <= 6

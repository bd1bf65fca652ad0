"""Commits, snapshots, locks and damage."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
import stat
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from search_engine.config import BM25Config, ChunkingConfig, Config, FusionConfig
from search_engine.errors import (
    IndexCorruptError,
    IndexExistsError,
    IndexFormatError,
    IndexLockedError,
    IndexNotFoundError,
    IndexReadOnlyError,
    IndexStoreError,
)
from search_engine.index import database
from search_engine.index import writer as writer_module
from search_engine.index.creation import create_index
from search_engine.index.generation import Generation, fingerprint_of
from search_engine.index.lock import write_lock
from search_engine.index.reader import IndexReader
from search_engine.index.writer import IndexWriter
from tests.index.documents import DIMENSION, encode


def _documents(reader: IndexReader) -> dict[str, int]:
    return {each.doc_id: each.characters for each in reader.documents()}


def test_nothing_is_seen_before_the_commit_and_all_of_it_after(make_index) -> None:
    folder = make_index()
    with IndexReader(folder) as reader, IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
        writer.add(encode("b", "beta"))
        assert reader.refresh().commit == 0
        assert _documents(reader) == {}
        writer.commit()
        assert _documents(reader) == {}, "a reader moves only when it is told to"
        assert reader.refresh().commit == 1
        assert _documents(reader) == {"a": 5, "b": 4}


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


def test_an_exception_in_the_block_commits_nothing(make_index) -> None:
    folder = make_index()
    with pytest.raises(RuntimeError, match="stop"), IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
        raise RuntimeError("stop")
    with IndexReader(folder) as reader:
        assert reader.snapshot.commit == 0
    assert list((folder / "segments").iterdir()) == []


@pytest.mark.parametrize("step", ["write_segment", "commit_rows"])
def test_a_failed_commit_leaves_the_old_state_and_can_be_tried_again(
    make_index, monkeypatch, step
) -> None:
    folder = make_index()
    real = getattr(writer_module, step)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
        writer.commit()
        writer.add(encode("b", "beta"))
        monkeypatch.setattr(writer_module, step, fail)
        with pytest.raises(OSError, match="No space"):
            writer.commit()
        with IndexReader(folder) as reader:
            assert _documents(reader) == {"a": 5}
        monkeypatch.setattr(writer_module, step, real)
    with IndexReader(folder) as reader:
        assert _documents(reader) == {"a": 5, "b": 4}
        assert reader.snapshot.chunk_count == 2


def test_commits_happen_by_themselves_after_so_many_chunks(make_index, monkeypatch) -> None:
    folder = make_index()
    monkeypatch.setattr(writer_module, "COMMIT_CHUNKS", 10)
    with IndexWriter(folder) as writer:
        for position in range(25):
            writer.add(encode(f"d{position}", f"text {position}"))
        with IndexReader(folder) as reader:
            assert (reader.snapshot.commit, reader.snapshot.chunk_count) == (2, 20)


def test_commits_happen_by_themselves_after_so_long(make_index, monkeypatch) -> None:
    folder = make_index()
    monkeypatch.setattr(writer_module, "COMMIT_SECONDS", 0.05)
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
        time.sleep(0.06)
        writer.add(encode("b", "beta"))
        with IndexReader(folder) as reader:
            assert reader.snapshot.chunk_count == 2


def _index_until_killed(folder: Path, started) -> None:
    with IndexWriter(folder) as writer:
        for position in range(1_000_000):
            writer.add(encode(f"d{position:07}", f"text {position}"))
            if position % 5 == 4:
                writer.commit()
                started.set()


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_writer_leaves_a_committed_state(make_index, seed) -> None:
    folder = make_index()
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_index_until_killed, args=(folder, started))
    process.start()
    assert started.wait(30)
    time.sleep(0.05 + np.random.default_rng(seed).random() / 5)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with IndexReader(folder) as reader:
        count = reader.document_count()
        assert count % 5 == 0 and count == 5 * reader.snapshot.commit
        assert reader.snapshot.chunk_count == count
        expected = {f"d{position:07}" for position in range(count)}
        assert set(_documents(reader)) == expected
        hits = reader.snapshot.search_dense(np.ones(DIMENSION, np.float32), count)
        assert set(reader.doc_ids(hits.chunk_ids)) == expected
    with IndexWriter(folder) as writer:
        writer.add(encode("after", "alpha"))
    with IndexReader(folder) as reader:
        assert reader.document_count() == count + 1
        named = {live.segment.folder.name for live in reader.snapshot.segments}
    assert {each.name for each in (folder / "segments").iterdir()} == named


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
        assert reader.snapshot.commit == 40
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


def test_root_ids_are_names_and_stay_the_same(make_index) -> None:
    folder = make_index()
    with IndexWriter(folder) as writer:
        assert writer.root_id(Path("/a/docs")) == "docs"
        assert writer.root_id(Path("/b/docs")) == "docs-2"
    with IndexWriter(folder) as writer:
        assert writer.root_id(Path("/b/docs")) == "docs-2"
        assert writer.root_id(Path("/a/docs")) == "docs"
        assert writer.root_id(Path("/")) == "root"


@pytest.mark.parametrize("damage", ["truncate", "remove", "manifest"])
def test_a_damaged_segment_is_named(make_index, damage) -> None:
    folder = make_index()
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
    (segment,) = (folder / "segments").iterdir()
    victim = segment / ("segment.json" if damage == "manifest" else "dense.faiss")
    if damage == "remove":
        victim.unlink()
    elif damage == "truncate":
        victim.write_bytes(victim.read_bytes()[:-4])
    else:
        victim.write_text(victim.read_text().replace('"chunk_count": 1', '"chunk_count": 2'))
    with pytest.raises(IndexCorruptError) as caught:
        IndexReader(folder)
    assert segment.name in str(caught.value) and victim.name in str(caught.value)


def test_places_without_an_index_are_told_apart(make_index, tmp_path) -> None:
    with pytest.raises(IndexNotFoundError, match="search-cli index"):
        IndexReader(tmp_path / "nothing")
    folder = make_index()
    with pytest.raises(IndexExistsError, match="already"):
        create_index(folder, Generation(1, "f" * 64, Config(), DIMENSION, "dot"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.db").write_text("not a database, but long enough to be looked at" * 50)
    with pytest.raises(IndexCorruptError, match=r"index\.db is not an index"):
        IndexReader(other)
    connection = sqlite3.connect(folder / "index.db")
    connection.execute("UPDATE config SET value = '99' WHERE key = 'format_version'")
    connection.commit()
    connection.close()
    with pytest.raises(IndexFormatError, match="format 99"):
        IndexReader(folder)


def test_a_read_only_folder_can_be_read_and_not_written(make_index, monkeypatch) -> None:
    """Permissions do not bind root, so the check for them is what the test replaces."""
    folder = make_index()
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    for path in [*copy.rglob("*"), copy]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    monkeypatch.setattr(database.os, "access", lambda path, mode: False)
    before = sorted(path.name for path in copy.iterdir())
    with IndexReader(copy) as reader:
        assert _documents(reader) == {"a": 5}
    assert sorted(path.name for path in copy.iterdir()) == before
    with pytest.raises(IndexReadOnlyError, match="cannot be written"):
        IndexWriter(copy)
    (copy / "index.db-wal").write_bytes(b"left behind")
    with pytest.raises(IndexReadOnlyError, match="write-ahead log"):
        IndexReader(copy)


def test_a_network_file_system_is_refused_for_writing(make_index, monkeypatch) -> None:
    folder = make_index()
    monkeypatch.setattr(database, "_file_system", lambda _: "nfs4")
    with pytest.raises(IndexReadOnlyError, match="network file system"):
        IndexWriter(folder)


def _read_until_killed(folder: Path, started) -> None:
    IndexReader(folder)
    started.set()
    time.sleep(60)


def test_a_reader_pins_its_commit_until_it_closes_or_its_process_dies(make_index) -> None:
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


def test_a_deleted_document_stays_deleted_whatever_waited(make_index) -> None:
    folder = make_index()
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
        writer.commit()
        writer.add(encode("a", "alpha changed"))
        assert writer.delete("a")
    with IndexReader(folder) as reader:
        assert _documents(reader) == {}


def test_files_that_are_not_ours_are_never_removed_and_their_folder_is_no_index(
    make_index, tmp_path
) -> None:
    folder = make_index()
    (folder / "segments" / "chapter1").mkdir()
    (folder / "segments" / "chapter1" / "thesis.md").write_text("years of work")
    leftover = folder / "segments" / "00000007-0123abcd"
    leftover.mkdir()
    with IndexWriter(folder):
        pass
    assert (folder / "segments" / "chapter1" / "thesis.md").read_text() == "years of work"
    assert not leftover.exists()
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter.txt").write_text("dear")
    with pytest.raises(IndexExistsError, match=r"holds other files \(letter\.txt"):
        create_index(home, Generation(1, "f" * 64, Config(), DIMENSION, "dot"))
    assert [path.name for path in home.iterdir()] == ["letter.txt"]


def test_an_index_whose_making_failed_is_not_there_and_can_be_made(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "index"

    def fail(*args, **kwargs):
        raise RuntimeError("killed")

    generation = Generation(1, "f" * 64, Config(), DIMENSION, "dot")
    with monkeypatch.context() as patched:
        patched.setattr("search_engine.index.creation.insert_generation", fail)
        with pytest.raises(RuntimeError, match="killed"):
            create_index(folder, generation)
    with pytest.raises(IndexNotFoundError):
        IndexReader(folder)
    create_index(folder, generation)
    IndexReader(folder).close()


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


def test_damage_done_while_an_index_is_open_is_told_in_our_words(make_index) -> None:
    folder = make_index()
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
    (segment,) = (folder / "segments").iterdir()
    size = (segment / "dense.faiss").stat().st_size
    (segment / "dense.faiss").write_bytes(b"x" * size)
    with IndexReader(folder) as reader, pytest.raises(IndexCorruptError, match=segment.name):
        reader.snapshot.search_dense(np.ones(DIMENSION, np.float32), 1)
    with pytest.raises(IndexStoreError, match="was closed"):
        reader.document_count()


def test_an_index_opened_as_frozen_notices_that_it_was_changed(make_index, monkeypatch) -> None:
    folder = make_index()
    monkeypatch.setattr("search_engine.index.reader.is_writable", lambda _: False)
    with IndexReader(folder) as frozen:
        assert frozen.refresh().commit == 0
        with IndexWriter(folder) as writer:
            writer.add(encode("a", "alpha"))
        with pytest.raises(IndexReadOnlyError, match="open it again"):
            frozen.refresh()
    with IndexReader(folder) as frozen:
        assert _documents(frozen) == {"a": 5}


def test_commits_are_made_durable_before_they_are_announced(make_index, monkeypatch) -> None:
    """Files and folder are fsynced, then renamed, then named by a row, in this order."""
    folder = make_index()
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(descriptor: int) -> None:
        steps.append("fsync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real_fsync(descriptor)

    def rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return real_rename(path, target)

    def commit_rows(*args, **kwargs) -> None:
        steps.append("transaction")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(writer_module, "commit_rows", commit_rows)
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
    (segment,) = (folder / "segments").iterdir()
    before = steps[: steps.index("rename")]
    assert {f"fsync {path.name}" for path in segment.iterdir()} <= set(before)
    assert before[-1] == f"fsync .unfinished-{segment.name}"
    assert steps[len(before) :] == ["rename", "fsync segments", "transaction"]


def test_the_database_is_durable_and_logged_ahead(make_index) -> None:
    reader = database.Database(make_index(), writable=True)
    pragmas = {
        name: reader.here.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    }
    reader.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


@pytest.mark.parametrize(
    "change",
    [
        {"chunking": ChunkingConfig(max_tokens=100)},
        {"chunking": ChunkingConfig(strategy="none")},
        {"text_format": "other/1"},
        {"bm25": None},
        {"bm25": BM25Config(language="german")},
    ],
)
def test_what_changes_what_is_stored_changes_the_fingerprint(change) -> None:
    encoders = {"dense": "1234"}
    base = fingerprint_of(Config(), encoders)
    assert fingerprint_of(Config().model_copy(update=change), encoders) != base
    assert fingerprint_of(Config(), {"dense": "4321"}) != base
    asked_otherwise = Config(bm25=BM25Config(k1=2), fusion=FusionConfig(method="rrf"))
    assert fingerprint_of(asked_otherwise, encoders) == base

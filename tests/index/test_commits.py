"""Commits: whole or not there, durable, and made by themselves."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from search_engine.index import writer as writer_module
from search_engine.index.reader import IndexReader
from search_engine.index.store import database
from search_engine.index.writer import IndexWriter
from tests.index.documents import encode


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


def test_an_exception_in_the_block_commits_nothing(make_index) -> None:
    folder = make_index()
    with pytest.raises(RuntimeError, match="stop"), IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
        raise RuntimeError("stop")
    with IndexReader(folder) as reader:
        assert reader.snapshot.commit == 0
    assert list((folder / "segments").iterdir()) == []


@pytest.mark.parametrize("step", ["write_segment", "commit_documents"])
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


def test_root_ids_are_names_and_stay_the_same(make_index) -> None:
    folder = make_index()
    with IndexWriter(folder) as writer:
        assert writer.root(Path("/a/docs")).root_id == "docs"
        assert writer.root(Path("/b/docs")).root_id == "docs-2"
    with IndexWriter(folder) as writer:
        assert writer.root(Path("/b/docs")).root_id == "docs-2"
        assert writer.root(Path("/a/docs")).root_id == "docs"
        assert writer.root(Path("/")).root_id == "root"


def test_a_deleted_document_stays_deleted_whatever_waited(make_index) -> None:
    folder = make_index()
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
        writer.commit()
        writer.add(encode("a", "alpha changed"))
        assert writer.delete("a")
    with IndexReader(folder) as reader:
        assert _documents(reader) == {}


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

    def commit_documents(*args, **kwargs) -> None:
        steps.append("transaction")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(writer_module, "commit_documents", commit_documents)
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

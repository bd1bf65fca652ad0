"""Folders that hold no index, hold something else, or cannot be written to."""

from __future__ import annotations

import shutil
import sqlite3
import stat

import pytest

from search_engine.config import Config
from search_engine.errors import (
    IndexCorruptError,
    IndexExistsError,
    IndexFormatError,
    IndexNotFoundError,
    IndexReadOnlyError,
)
from search_engine.index.creation import create_index
from search_engine.index.generations.generation import Generation
from search_engine.index.reader import IndexReader
from search_engine.index.store import database
from search_engine.index.writer import IndexWriter
from tests.index.documents import DIMENSION, encode


def _documents(reader: IndexReader) -> dict[str, int]:
    return {each.doc_id: each.characters for each in reader.documents()}


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

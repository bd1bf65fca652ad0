"""Backups are one commit of the source, whole and sound, or not there."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from search_engine.errors import IndexCorruptError, IndexExistsError, SearchEngineError
from search_engine.index import reader as reader_module
from search_engine.index.reader import IndexReader
from search_engine.index.upkeep import backup as backup_module
from search_engine.index.upkeep.backup import back_up, restore
from search_engine.index.upkeep.compaction import compact
from search_engine.index.upkeep.verification import verify_database, verify_generations
from search_engine.index.writer import IndexWriter
from tests.index.documents import DIMENSION, encode, hash_of
from tests.index.generations import answers_now
from tests.index.rows import count_rows, folders, query

MakeIndex = Callable[..., Path]


def _documents(folder: Path) -> dict[str, int]:
    with IndexReader(folder) as reader:
        return {each.doc_id: each.characters for each in reader.documents()}


def _assert_sound(folder: Path) -> None:
    assert verify_database(folder) == []
    assert [each.findings for each in verify_generations(folder)] == [()]


def _fill(folder: Path) -> None:
    """Some commits, of which one deletes and one replaces."""
    for number in range(4):
        with IndexWriter(folder) as writer:
            for part in range(3):
                writer.add(encode(f"{number}-{part}", f"alpha {number} beta {part}"))
    with IndexWriter(folder) as writer:
        writer.delete("0-1")
        writer.add(encode("1-1", "gamma"))


def _write_without_pause(folder: Path, stop: threading.Event, failed: list[BaseException]) -> None:
    """Each commit replaces three documents of one length by three that are one longer."""
    try:
        number = 0
        while not stop.is_set():
            number += 1
            with IndexWriter(folder) as writer:
                for part in ("x", "y", "z"):
                    writer.add(encode(part, "a" * number, np.ones(DIMENSION).tolist()))
                writer.add(encode(f"only of {number}", "b"))
                writer.delete(f"only of {number - 1}")
            if number % 5 == 0:
                compact(folder)
    except BaseException as error:
        failed.append(error)


def test_backups_taken_while_another_writes_are_one_commit_each(make_index, tmp_path) -> None:
    folder = make_index()
    stop = threading.Event()
    failed: list[BaseException] = []
    writer = threading.Thread(target=_write_without_pause, args=(folder, stop, failed))
    writer.start()
    seen = []
    try:
        while len(_documents(folder)) < 4:
            assert not failed
        for number in range(10):
            copy = tmp_path / f"copy-{number}"
            back_up(folder, copy)
            found = _documents(copy)
            length = found["x"]
            assert found == {"x": length, "y": length, "z": length, f"only of {length}": 1}
            _assert_sound(copy)
            assert count_rows(copy, "readers") == 0
            assert count_rows(copy, "segments") == len(folders(copy))
            seen.append(length)
    finally:
        stop.set()
        writer.join()
    assert failed == []
    assert seen == sorted(seen) and len(set(seen)) > 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["index", *(f"copy-{n}" for n in range(10))]
    )


def test_what_was_restored_is_equal_and_goes_on(make_index, tmp_path) -> None:
    folder = make_index()
    _fill(folder)
    expected = answers_now(folder)
    back_up(folder, tmp_path / "backup")
    shutil.rmtree(folder)
    restore(tmp_path / "backup", folder)
    assert answers_now(folder) == expected
    for table in ("documents", "chunks", "segments", "terms", "config", "generations"):
        rows = f"SELECT * FROM {table}"  # noqa: S608
        assert query(folder, rows) == query(tmp_path / "backup", rows)
    _assert_sound(folder)
    with IndexWriter(folder) as writer:
        assert writer.content_hash("1-1") == hash_of("gamma")
        writer.add(encode("new", "alpha beta"))
        writer.delete("2-2")
    compact(folder)
    _assert_sound(folder)
    assert set(_documents(folder)) - set(_documents(tmp_path / "backup")) == {"new"}
    assert "2-2" in _documents(tmp_path / "backup"), "the backup is no part of it"


def test_a_backup_holds_only_what_is_seen(make_index, tmp_path) -> None:
    """What died, and is kept for a reader, stays behind."""
    folder = make_index()
    _fill(folder)
    with IndexReader(folder):
        compact(folder)
        assert len(folders(folder)) > 1
        back_up(folder, tmp_path / "backup")
    assert len(folders(tmp_path / "backup")) == 1
    assert answers_now(tmp_path / "backup") == answers_now(folder)


def test_a_place_that_is_taken_is_refused_and_left_alone(make_index, tmp_path) -> None:
    folder, other = make_index(), make_index("other")
    _fill(folder)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one").write_text("dear")
    for target in (other, tmp_path / "file", tmp_path / "letters", folder):
        with pytest.raises(IndexExistsError, match="choose another place"):
            back_up(folder, target)
        with pytest.raises(IndexExistsError, match="choose another place"):
            restore(folder, target)
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "letters" / "one").read_text() == "dear"
    assert _documents(other) == {}
    (tmp_path / "empty").mkdir()
    back_up(folder, tmp_path / "empty")
    assert answers_now(tmp_path / "empty") == answers_now(folder)
    back_up(folder, tmp_path / "new" / "folders" / "copy")
    assert answers_now(tmp_path / "new" / "folders" / "copy") == answers_now(folder)


def _damage(folder: Path) -> str:
    """Change a byte of a living segment; its name."""
    ((name,), *_) = query(folder, "SELECT segment_id FROM segments WHERE died IS NULL")
    path = folder / "segments" / name / "dense.faiss"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return str(name)


def test_damage_is_told_and_never_copied(make_index, tmp_path) -> None:
    folder = make_index()
    _fill(folder)
    back_up(folder, tmp_path / "backup")
    name = _damage(folder)
    with pytest.raises(IndexCorruptError, match=f"{name}.*dense.faiss"):
        back_up(folder, tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "index"]
    name = _damage(tmp_path / "backup")
    with pytest.raises(IndexCorruptError, match=f"was not restored: segment {name}"):
        restore(tmp_path / "backup", tmp_path / "restored")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "index"]


def test_damage_that_comes_while_it_is_copied_is_noticed(make_index, tmp_path, monkeypatch) -> None:
    folder = make_index()
    _fill(folder)
    copytree = shutil.copytree

    def copy_badly(source: Path, target: Path) -> Path:
        copytree(source, target)
        (target / "chunks.npy").write_bytes((target / "chunks.npy").read_bytes()[:-1] + b"?")
        return target

    monkeypatch.setattr(backup_module.shutil, "copytree", copy_badly)
    with pytest.raises(IndexCorruptError, match=r"chunks\.npy"):
        back_up(folder, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_copy_that_fails_leaves_nothing(make_index, tmp_path, monkeypatch, error) -> None:
    folder = make_index()
    _fill(folder)
    copytree, copied = shutil.copytree, []

    def fail_later(source: Path, target: Path) -> Path:
        copied.append(source)
        if len(copied) == 3:
            raise error
        return copytree(source, target)

    monkeypatch.setattr(backup_module.shutil, "copytree", fail_later)
    with pytest.raises(type(error)):
        back_up(folder, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert count_rows(folder, "readers") == 0
    monkeypatch.undo()
    back_up(folder, tmp_path / "copy")
    assert answers_now(tmp_path / "copy") == answers_now(folder)


def test_an_index_that_may_not_be_written_to_can_be_backed_up(
    make_index, tmp_path, monkeypatch
) -> None:
    folder = make_index()
    _fill(folder)
    expected = answers_now(folder)
    for module in (backup_module, reader_module):
        monkeypatch.setattr(module, "is_writable", lambda place: place != folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    back_up(folder, tmp_path / "copy")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert answers_now(tmp_path / "copy") == expected


def test_what_is_no_index_is_told(tmp_path) -> None:
    for call in (back_up, restore):
        with pytest.raises(SearchEngineError, match=r"there is no (index|backup) at"):
            call(tmp_path / "nothing", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []

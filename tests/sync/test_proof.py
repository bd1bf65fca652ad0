"""Runs that ended early, files that change meanwhile: nothing is lost, nothing stays for ever."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from search_engine.errors import ReadError
from search_engine.index.store.database import Database
from search_engine.ingest.reading import Record
from search_engine.search import SearchEngine
from search_engine.sync import intake
from search_engine.sync.comparison import Change, compare
from search_engine.sync.run import SyncReport, bring_into_step
from tests.sync.folders import OFFLINE, Followed, snapshot_of

NOTHING = (0, 0, 0, 0)


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path)


class Killed(Exception):  # noqa: N818
    """Ends a run as a kill does: what was committed stays, and nothing else."""


def _run(
    followed: Followed,
    *,
    paths: list[Path] | None = None,
    change: Change = lambda settings: settings,
    kill_after: int | None = None,
    meanwhile: Callable[[], object] = lambda: None,
    prune: bool = False,
) -> SyncReport | None:
    """A run that commits after each record; `meanwhile` comes between looking and reading."""
    comparison = compare(followed.index, paths or [followed.docs], change)
    meanwhile()
    count = 0

    def commit(record: Record) -> None:
        nonlocal count
        writer.commit()
        count += 1
        if count == kill_after:
            raise Killed

    with SearchEngine.open(followed.index, compute=OFFLINE) as engine:
        try:
            with engine.writer() as writer:
                return bring_into_step(writer, comparison, prune=prune, on_record=commit)
        except Killed:
            return None


def _records(followed: Followed, numbers: range) -> Path:
    lines = [json.dumps({"id": n, "text": f"word of record {n}"}) for n in numbers]
    return followed.write("all.jsonl", "\n".join(lines) + "\n")


def test_settings_count_only_once_the_files_were_read_by_them(followed) -> None:
    followed.write("a.jsonl", '{"id": 1, "text": "word text", "body": "word body"}\n')
    followed.write("b/b.jsonl", '{"id": 2, "text": "word text", "body": "word body"}\n')
    followed.sync()

    def change(settings):
        return settings.changed(fields={"text": "body"})

    # Only the folder below is read by them at first, and that run is killed.
    _run(followed, paths=[followed.docs / "b"], change=change, kill_after=1)
    followed.sync()
    assert followed.texts() == {"docs/a.jsonl#1": "word body", "docs/b/b.jsonl#2": "word body"}
    assert followed.sync().comparison.in_step


def test_documents_of_a_file_whose_reading_was_killed_go_with_the_file(followed) -> None:
    followed.write("stays.txt", "word that stays")
    path = _records(followed, range(10))
    _run(followed, kill_after=4)
    assert 0 < len(followed.stored() - {"docs/stays.txt"}) < 10
    path.unlink()
    followed.sync(prune=True)
    assert followed.stored() == {"docs/stays.txt"}
    assert followed.sync().comparison.in_step


def test_documents_of_a_file_that_changed_while_it_was_read_go_with_it(
    followed, monkeypatch
) -> None:
    followed.write("stays.txt", "word that stays")
    path = followed.write("log.txt", "word one")
    hash_file = intake.hash_file

    def grow(file: Path) -> str:
        if file.name == "log.txt":
            path.write_text("word one and two", encoding="utf-8")
        return hash_file(file)

    with monkeypatch.context() as patched:
        patched.setattr(intake, "hash_file", grow)
        followed.sync()
    path.unlink()
    followed.sync(prune=True)
    assert followed.stored() == {"docs/stays.txt"}


def test_documents_that_an_earlier_version_read_go_with_their_files(followed) -> None:
    for name in ("a.txt", "b/c#d.txt", "b/e.txt"):
        followed.write(name, f"word of {name}")
    _records(followed, range(5))
    followed.sync()
    with Database(followed.index, writable=True) as database:
        database.here.execute("DELETE FROM files")
        database.here.conn.commit()
    shutil.rmtree(followed.docs / "b")
    report = followed.sync()
    # They are two of eight: more than a fifth.
    assert [kept.documents for kept in report.kept] == [2]
    assert snapshot_of(followed.sync(prune=True)) == (0, 0, 2, 0)
    assert followed.stored() == {"docs/a.txt", *(f"docs/all.jsonl#{n}" for n in range(5))}
    assert followed.sync().comparison.in_step


def test_a_file_as_it_was_before_a_killed_run_is_read_again(followed) -> None:
    path = _records(followed, range(10))
    followed.sync()
    backup = followed.docs.with_name("backup")
    shutil.copy2(path, backup)
    lines = [json.dumps({"id": n, "text": f"word of new record {n}"}) for n in range(10)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _run(followed, kill_after=4)
    shutil.copy2(backup, path)
    followed.sync()
    assert followed.texts() == followed.expected()


def test_nothing_is_deleted_on_the_word_of_a_file_that_changed_while_it_was_read(
    followed, monkeypatch
) -> None:
    path = _records(followed, range(10))
    followed.sync()
    _records(followed, range(9))
    hash_file = intake.hash_file

    def write_on(file: Path) -> str:
        _records(followed, range(10))
        return hash_file(file)

    with monkeypatch.context() as patched:
        patched.setattr(intake, "hash_file", write_on)
        followed.sync(prune=True)
    assert path.exists()
    assert len(followed.stored()) == 10
    followed.sync()
    assert followed.texts() == followed.expected()


def test_what_is_there_again_when_it_is_to_be_deleted_stays(followed) -> None:
    for number in range(10):
        followed.write(f"{number}.txt", f"word number {number}")
    followed.sync()
    gone = followed.docs / "3.txt"
    text = gone.read_text(encoding="utf-8")
    gone.unlink()
    report = _run(followed, meanwhile=lambda: gone.write_text(text, encoding="utf-8"))
    assert snapshot_of(report) == NOTHING
    assert "docs/3.txt" in followed.stored()


@pytest.mark.parametrize("leave", [shutil.rmtree, lambda folder: folder.rename("away")])
def test_a_root_that_goes_away_before_the_deletion_loses_nothing(
    leave, followed, monkeypatch
) -> None:
    monkeypatch.chdir(followed.docs.parent)
    for number in range(10):
        followed.write(f"{number}.txt", f"word number {number}")
    followed.sync()
    (followed.docs / "3.txt").unlink()

    def empty() -> None:
        leave(followed.docs)
        followed.docs.mkdir()

    report = _run(followed, meanwhile=empty, prune=True)
    assert snapshot_of(report) == NOTHING
    assert len(followed.stored()) == 10


def test_a_moved_file_that_is_back_at_its_old_place_has_both_documents(followed) -> None:
    for number in range(10):
        followed.write(f"{number}.txt", f"word number {number}")
    followed.sync()
    old, new = followed.docs / "3.txt", followed.docs / "moved.txt"
    old.rename(new)
    _run(followed, meanwhile=lambda: shutil.copy2(new, old))
    assert {"docs/3.txt", "docs/moved.txt"} <= followed.stored()
    followed.sync()
    assert followed.texts() == followed.expected()


def test_an_odd_name_is_no_record_even_where_no_file_is_remembered(followed) -> None:
    followed.write("a.md", "word of a")
    followed.write("a.md#b.md", "word of b")
    followed.sync()
    with Database(followed.index, writable=True) as database:
        database.here.execute("DELETE FROM files")
        database.here.conn.commit()
    followed.sync(prune=True)
    assert followed.stored() == {"docs/a.md", "docs/a.md#b.md"}
    assert followed.sync().comparison.in_step


@pytest.mark.parametrize("order", [("sub", ""), ("", "sub")])
def test_a_file_below_two_roots_is_one_document_and_goes_with_its_file(order, followed) -> None:
    followed.write("a.txt", "word a")
    for number in range(10):
        followed.write(f"sub/{number}.txt", f"word number {number}")
    for place in order:
        followed.sync(followed.docs / place)
    for _ in range(2):
        followed.sync(followed.docs, followed.docs / "sub")
        followed.sync(followed.docs / "sub", followed.docs)
        assert len(followed.stored()) == 11
    (followed.docs / "sub" / "3.txt").unlink()
    followed.sync()
    assert len(followed.stored()) == 10
    assert followed.sync().comparison.in_step


def test_what_somebody_deleted_stays_out_until_it_changes_and_is_named(followed) -> None:
    for number in range(3):
        followed.write(f"{number}.txt", f"word number {number}")
    followed.sync()
    with SearchEngine.open(followed.index, compute=OFFLINE) as engine, engine.writer() as writer:
        assert writer.delete("docs/1.txt")
    report = followed.sync()
    assert (report.indexed, report.unread, report.counts.unchanged) == (2, 1, 2)
    assert [problem.path for problem in report.problems] == [str(followed.docs / "1.txt")]
    assert followed.stored() == {"docs/0.txt", "docs/2.txt"}
    followed.write("1.txt", "word of another text")
    assert snapshot_of(followed.sync()) == (1, 0, 0, 1)
    assert followed.sync().problems == []


def test_what_the_machine_is_to_blame_for_is_tried_again(followed, monkeypatch) -> None:
    path = followed.write("a.txt", "word of a")

    def kill(files, root_ids, *, settings):
        for file in files:
            problem = ReadError(file.given, "its reader was killed", passing=True)
            yield Record(file, None, problem, file.size)

    with monkeypatch.context() as patched:
        patched.setattr(intake, "read_files", kill)
        assert followed.sync().unread == 1
    report = followed.sync()
    assert (snapshot_of(report), report.problems) == ((1, 0, 0, 1), [])
    assert path.exists()

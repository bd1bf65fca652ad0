"""A folder changes, and the index agrees with it again; nothing goes without proof."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_engine.ingest.settings import RootSettings
from tests.sync.folders import Followed, snapshot_of

NOTHING = (0, 0, 0, 0)


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path)


def _fill(followed: Followed, count: int) -> None:
    for number in range(count):
        followed.write(f"{number}.txt", f"word number {number}")


_names = st.sampled_from(["a.txt", "b.md", "c.txt", "sub/a.txt", "sub/d.md", "sub/deep/e.txt"])
_folders = st.sampled_from(["sub", "sub/deep", "other", "other/place"])
_operations = st.one_of(
    st.tuples(st.just("write"), _names, st.integers(0, 3)),
    st.tuples(st.just("delete"), _names),
    st.tuples(st.just("touch"), _names),
    st.tuples(st.just("move"), _names, _names),
    st.tuples(st.just("move folder"), _folders, _folders),
    st.tuples(st.just("sync")),
)


def _operate(followed: Followed, operation: tuple[object, ...]) -> None:
    what, *where = operation
    paths = [followed.docs / str(each) for each in where]
    if what == "sync":
        followed.sync(prune=True)
    elif what == "write":
        if all(not parent.is_file() for parent in paths[0].parents):
            followed.write(str(where[0]), f"word of content {where[1]} in {where[0]}")
    elif what == "delete":
        paths[0].unlink(missing_ok=True)
    elif what == "touch":
        if paths[0].exists():
            os.utime(paths[0])
    elif paths[0].exists() and not paths[1].exists() and paths[0] not in paths[1].parents:
        paths[1].parent.mkdir(parents=True, exist_ok=True)
        paths[0].rename(paths[1])


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(operations=st.lists(_operations, max_size=12))
def test_after_any_changes_the_index_holds_what_a_new_one_would(operations, tmp_path) -> None:
    folder = tmp_path / "case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    followed = Followed(folder)
    # A root that is empty is taken for one that is not there.
    followed.write("always.txt", "word of a file that stays")
    for operation in operations:
        _operate(followed, operation)
    followed.sync(prune=True)
    assert followed.texts() == followed.expected()
    report = followed.sync(prune=True)
    assert (snapshot_of(report), report.comparison.in_step) == (NOTHING, True)


def test_an_unchanged_folder_is_not_read(followed) -> None:
    _fill(followed, 3)
    assert snapshot_of(followed.sync()) == (3, 0, 0, 3)
    report = followed.sync()
    assert snapshot_of(report) == NOTHING
    assert (report.indexed, report.counts.unchanged) == (3, 3)
    assert report.comparison.plan.to_read == []


def test_a_change_within_the_same_size_and_time_is_seen_right_after_reading(followed) -> None:
    path = followed.write("a.txt", "word one")
    followed.sync()
    before = path.stat()
    path.write_text("word two", encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert snapshot_of(followed.sync()) == (0, 1, 0, 1)
    assert followed.texts() == {"docs/a.txt": "word two"}


def test_a_file_that_was_old_when_it_was_read_is_known_by_size_and_time(followed) -> None:
    path = followed.write("a.txt", "word one")
    long_ago = time.time_ns() - 10**10
    os.utime(path, ns=(long_ago, long_ago))
    followed.sync()
    path.write_text("word two", encoding="utf-8")
    os.utime(path, ns=(long_ago, long_ago))
    assert followed.sync().comparison.in_step
    os.utime(path)
    assert snapshot_of(followed.sync()) == (0, 1, 0, 1)


def test_a_renamed_folder_encodes_nothing_and_is_no_deletion(followed) -> None:
    for number in range(10):
        followed.write(f"old/{number}.txt", f"word number {number}")
    followed.sync()
    (followed.docs / "old").rename(followed.docs / "new")
    report = followed.sync()
    assert snapshot_of(report) == (10, 0, 10, 0)
    assert report.counts.reused == 10
    assert len(report.comparison.plan.renamed) == 10
    assert followed.stored() == {f"docs/new/{number}.txt" for number in range(10)}


def test_of_copies_the_one_of_the_same_name_is_the_renamed_one(followed) -> None:
    for name in ("a", "b"):
        followed.write(f"old/{name}.txt", "word and the same text")
    followed.sync()
    (followed.docs / "old").rename(followed.docs / "new")
    renamed = followed.sync().comparison.plan.renamed
    assert {(known.relative, file.relative) for known, file in renamed} == {
        ("old/a.txt", "new/a.txt"),
        ("old/b.txt", "new/b.txt"),
    }


@pytest.mark.parametrize("gone, deleted", [(2, True), (3, False)])
def test_more_than_a_fifth_goes_only_where_somebody_says_so(gone, deleted, followed) -> None:
    _fill(followed, 10)
    followed.sync()
    for number in range(gone):
        (followed.docs / f"{number}.txt").unlink()
    report = followed.sync()
    assert snapshot_of(report) == (0, 0, gone if deleted else 0, 0)
    if deleted:
        assert report.kept == []
        return
    (kept,) = report.kept
    assert (kept.root, kept.documents) == (followed.docs.resolve(), gone)
    assert "a fifth of its 10" in kept.reason and "--prune" in kept.reason
    # It stays so, and is said again, until somebody prunes.
    assert len(followed.sync().kept) == 1
    assert snapshot_of(followed.sync(prune=True)) == (0, 0, gone, 0)
    assert len(followed.stored()) == 10 - gone
    assert followed.sync().comparison.in_step


def test_new_documents_do_not_make_room_for_more_deletions(followed) -> None:
    _fill(followed, 10)
    followed.sync()
    for number in range(3):
        (followed.docs / f"{number}.txt").unlink()
    for number in range(20, 60):
        followed.write(f"{number}.txt", f"word number {number}")
    report = followed.sync()
    assert snapshot_of(report) == (40, 0, 0, 40)
    assert [kept.documents for kept in report.kept] == [3]


@pytest.mark.parametrize("prune", [False, True])
def test_a_root_that_is_missing_or_empty_loses_nothing(prune, followed) -> None:
    _fill(followed, 3)
    followed.sync()
    away = followed.docs.rename(followed.docs.with_name("away"))
    report = followed.sync(prune=prune)
    assert [problem.reason for problem in report.problems] == ["does not exist; check the spelling"]
    followed.docs.mkdir()
    report = followed.sync(prune=prune)
    assert snapshot_of(report) == NOTHING
    assert [kept.documents for kept in report.kept] == [3]
    (followed.docs / "a folder").mkdir()
    assert snapshot_of(followed.sync(prune=prune)) == NOTHING
    assert len(followed.stored()) == 3
    shutil.rmtree(followed.docs)
    away.rename(followed.docs)
    assert followed.sync().comparison.in_step


def test_a_folder_that_cannot_be_listed_loses_nothing(followed, monkeypatch) -> None:
    followed.write("open/a.txt", "word a")
    followed.write("shut/b.txt", "word b")
    followed.sync()
    (followed.docs / "open" / "a.txt").unlink()
    followed.write("open/c.txt", "word c")
    listed = os.scandir

    def refuse(path: Path) -> object:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    from search_engine.ingest import files

    monkeypatch.setattr(files.os, "scandir", refuse)
    report = followed.sync(prune=True)
    assert snapshot_of(report) == (1, 0, 1, 1)
    assert [kept.documents for kept in report.kept] == [1]
    assert followed.stored() == {"docs/open/c.txt", "docs/shut/b.txt"}


def test_what_lay_behind_a_link_stays_while_the_link_leads_nowhere(followed, tmp_path) -> None:
    _fill(followed, 8)
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "far.txt").write_text("word far away", encoding="utf-8")
    (followed.docs / "mounted").symlink_to(disk)
    followed.sync()
    assert "docs/mounted/far.txt" in followed.stored()
    gone = disk.rename(tmp_path / "unmounted")
    assert snapshot_of(followed.sync(prune=True)) == NOTHING
    gone.rename(disk)
    (disk / "far.txt").unlink()
    (disk / "near.txt").write_text("word", encoding="utf-8")
    assert snapshot_of(followed.sync()) == (1, 0, 1, 1)


def test_a_file_that_cannot_be_read_any_more_keeps_its_document(followed) -> None:
    path = followed.write("a.txt", "word as it was")
    followed.sync()
    path.write_bytes(b"\x7fELF" + bytes(100))
    for _ in range(2):
        # Named each time, and read once.
        report = followed.sync(prune=True)
        assert [problem.path for problem in report.problems] == [str(path)]
        assert (report.indexed, report.unread) == (1, 0)
        assert followed.texts() == {"docs/a.txt": "word as it was"}
    assert report.comparison.in_step
    path.write_text("word as it is", encoding="utf-8")
    assert snapshot_of(followed.sync()) == (0, 1, 0, 1)


def _records(followed: Followed, numbers: range, *extra: str) -> None:
    lines = [json.dumps({"id": n, "text": f"word of record {n}"}) for n in numbers]
    followed.write("all.jsonl", "\n".join([*lines, *extra]) + "\n")


def test_records_that_left_their_file_are_deleted(followed) -> None:
    _records(followed, range(10))
    followed.sync()
    _records(followed, range(2, 11))
    # The others stand on other lines now.
    assert snapshot_of(followed.sync()) == (1, 8, 2, 1)
    assert followed.stored() == {f"docs/all.jsonl#{n}" for n in range(2, 11)}
    assert followed.sync().comparison.in_step


def test_records_stay_where_too_many_left_or_the_file_has_a_fault(followed) -> None:
    _records(followed, range(10))
    followed.sync()
    _records(followed, range(5))
    report = followed.sync()
    assert (snapshot_of(report), [kept.documents for kept in report.kept]) == (NOTHING, [5])
    _records(followed, range(9), "{broken")
    report = followed.sync(prune=True)
    # The broken line may be the record that is missing.
    assert snapshot_of(report) == NOTHING
    assert [problem.line for problem in report.problems] == [10]
    assert len(followed.stored()) == 10
    _records(followed, range(9))
    assert snapshot_of(followed.sync()) == (0, 0, 1, 0)


def test_a_file_whose_name_looks_like_a_record_of_another_is_not_taken_for_one(followed) -> None:
    followed.write("notes", "")
    followed.write("all.jsonl", '{"id": 1, "text": "word one"}\n')
    followed.write("all.jsonl#2.txt", "word of a file of its own")
    followed.sync()
    expected = {"docs/all.jsonl#1", "docs/all.jsonl#2.txt"}
    assert followed.stored() == expected
    followed.write("all.jsonl", '{"id": 1, "text": "word one, and more"}\n')
    assert snapshot_of(followed.sync(prune=True)) == (0, 1, 0, 1)
    assert followed.stored() == expected


def test_a_folder_below_a_root_belongs_to_it_and_nothing_else_is_touched(followed) -> None:
    for name in ("a/1.txt", "a/2.txt", "b/3.txt", "b/4.txt"):
        followed.write(name, f"word {name}")
    followed.sync()
    for name in ("a/1.txt", "b/3.txt"):
        (followed.docs / name).unlink()
    assert snapshot_of(followed.sync(followed.docs / "a", prune=True)) == (0, 0, 1, 0)
    assert followed.stored() == {"docs/a/2.txt", "docs/b/3.txt", "docs/b/4.txt"}
    followed.write("a/2.txt", "word changed")
    assert snapshot_of(followed.sync(followed.docs / "a" / "2.txt", prune=True)) == (0, 1, 0, 1)
    assert followed.stored() == {"docs/a/2.txt", "docs/b/3.txt", "docs/b/4.txt"}


def test_the_same_folder_by_another_path_is_the_same_root(followed, monkeypatch) -> None:
    _fill(followed, 2)
    followed.sync()
    monkeypatch.chdir(followed.docs)
    assert followed.sync(Path()).comparison.in_step
    link = followed.docs.with_name("link")
    link.symlink_to(followed.docs)
    assert followed.sync(link).comparison.in_step


def test_what_a_rule_leaves_out_from_now_on_is_deleted(followed) -> None:
    _fill(followed, 10)
    followed.sync()
    followed.write(".searchignore", "1.txt\n")
    assert snapshot_of(followed.sync()) == (0, 0, 1, 0)
    followed.write(".searchignore", "*.txt\n")
    report = followed.sync()
    assert (snapshot_of(report), [kept.documents for kept in report.kept]) == (NOTHING, [9])


def test_how_a_root_is_read_is_remembered_and_a_change_reads_it_again(followed) -> None:
    followed.write(".hidden.txt", "word hidden")
    followed.write("r.jsonl", '{"id": 1, "text": "word text", "body": "word body"}\n')

    def sync(**changes: object):
        from search_engine.search import SearchEngine
        from search_engine.sync.run import sync as run
        from tests.sync.folders import OFFLINE

        with SearchEngine.open(followed.index, compute=OFFLINE) as engine:
            return run(engine, [followed.docs], change=lambda was: was.changed(**changes))

    sync(hidden=True)
    assert followed.texts() == {"docs/.hidden.txt": "word hidden", "docs/r.jsonl#1": "word text"}
    assert followed.sync().comparison.in_step
    report = sync(fields={"text": "body"})
    assert snapshot_of(report) == (0, 1, 0, 1)
    assert followed.texts()["docs/r.jsonl#1"] == "word body"
    (setting,) = followed.sync().comparison.settings.values()
    assert setting == RootSettings({"text": "body"}, hidden=True)


def test_an_index_inside_the_folder_is_not_read(followed) -> None:
    _fill(followed, 1)
    inner = followed.docs / "indexes" / "mine"
    shutil.copytree(followed.index, inner)
    followed.sync()
    assert followed.stored() == {"docs/0.txt"}
    assert not any("mine" in name for name in followed.sync().comparison.found.skipped)


def test_files_that_were_indexed_and_never_synced_are_known(followed) -> None:
    """`search-cli index` remembers what it read, so that the first sync reads nothing."""
    from search_engine.ingest.files import find_files
    from search_engine.search import SearchEngine
    from search_engine.sync.intake import read_into
    from tests.sync.folders import OFFLINE

    _fill(followed, 3)
    found = find_files([followed.docs])
    with SearchEngine.open(followed.index, compute=OFFLINE) as engine, engine.writer() as writer:
        root = writer.root(followed.docs.resolve())
        read_into(writer, found.files, {root.path: root}, found=found.files)
    assert followed.sync().comparison.in_step


def test_a_file_that_changes_while_it_is_read_is_read_again(followed, monkeypatch) -> None:
    from search_engine.sync import intake

    path = followed.write("a.txt", "word one")
    hash_file = intake.hash_file

    def change_then_hash(file: Path) -> str:
        path.write_text("word one and two", encoding="utf-8")
        return hash_file(file)

    with monkeypatch.context() as patched:
        patched.setattr(intake, "hash_file", change_then_hash)
        followed.sync()
    assert snapshot_of(followed.sync()) == (0, 1, 0, 1)
    assert followed.texts() == {"docs/a.txt": "word one and two"}

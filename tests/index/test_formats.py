"""Indexes of every format version open, are upgraded, and answer as they did."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from search_engine.config import Compute
from search_engine.doctor import examine
from search_engine.errors import IndexFormatError, IndexReadOnlyError
from search_engine.index import reader as reader_module
from search_engine.index.creation import create_index
from search_engine.index.reader import IndexReader
from search_engine.index.store.database import Database
from search_engine.index.store.schema import FORMAT_VERSION
from search_engine.index.upkeep.backup import back_up
from search_engine.index.upkeep.compaction import compact
from search_engine.index.writer import IndexWriter
from search_engine.rebuild import catch_up, generations, rollback
from search_engine.search import SearchEngine
from search_engine.sync.comparison import compare
from search_engine.types import Document
from tests.index.rows import count_rows, query

FORMATS = Path(__file__).parent / "formats"
OFFLINE = Compute(offline=True)
ANSWERS = {
    version: json.loads((FORMATS / f"version-{version}.json").read_text(encoding="utf-8"))
    for version in (1, 2)
}
TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of an index of version 1."""
    return shutil.copytree(FORMATS / "version-1", tmp_path / "index")


@pytest.fixture
def folder_2(tmp_path: Path) -> Path:
    """A copy of an index of version 2: two generations, the live one with 8-bit codes to come."""
    return shutil.copytree(FORMATS / "version-2", tmp_path / "index-2")


def _assert_answers(engine: SearchEngine, version: int = 1) -> None:
    for each in ANSWERS[version]:
        response = engine.search(each["query"], where=each.get("where"))
        expected = each["results"]
        assert [result.doc_id for result in response.results] == [
            result["doc_id"] for result in expected
        ]
        for result, then in zip(response.results, expected, strict=True):
            # Backends round otherwise, each in its own way.
            assert dict(result.scores) == pytest.approx(then["scores"], abs=1e-3)


def _contents(folder: Path) -> dict[str, bytes | None]:
    """Every file's bytes, and the names of folders, by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def _version(folder: Path) -> int:
    ((version,),) = query(folder, "SELECT value FROM config WHERE key = 'format_version'")
    return int(version)


def test_version_1_is_upgraded_where_it_may_be_and_answers_as_then(folder) -> None:
    assert _version(folder) == 1
    with SearchEngine.open(folder, compute=OFFLINE) as engine:
        assert _version(folder) == FORMAT_VERSION
        _assert_answers(engine)
        assert [state for _, state in generations(folder)] == ["live"]
        assert examine(folder) == []
        german = engine.search("mountain", where={"lang": "de"})
        assert [result.doc_id for result in german.results] == ["alps/eiger"]

        with engine.writer() as writer:
            assert writer.delete("alps/eiger")
            writer.add(Document("alps/monch", "The Monch was climbed in 1857.", metadata={"n": 1}))
        compact(folder)
        first = engine.search("which mountain was climbed in 1857").results[0]
        assert (first.doc_id, first.metadata) == ("alps/monch", {"n": 1, "language": "en"})
        assert engine.search("mountain", where={"lang": "de"}).results == ()
        assert {each.doc_id for each in engine.documents()} == {
            *("alps/matterhorn", "alps/monch", "bread", "sea/tides")
        }
        # In one segment with columns now, the old documents are filtered as before.
        found = engine.search("mountain", where={"year": {"$lt": 1900}}).results
        assert {result.doc_id for result in found} == {"alps/matterhorn", "sea/tides"}
    assert examine(folder) == []


def test_version_1_is_read_as_it_is_where_it_may_not_be_written_to(folder, monkeypatch) -> None:
    _forbid_writing(monkeypatch)
    before = _contents(folder)
    with SearchEngine.open(folder, compute=OFFLINE) as engine:
        _assert_answers(engine)
        assert engine.document_count == 4
        found = engine.search("mountain", where={"year": {"$gte": 1900}}).results
        assert [result.doc_id for result in found] == ["alps/eiger"]
        answers: list[int] = []
        # A thread of its own has a connection of its own, to which the format is told as well.
        thread = threading.Thread(target=lambda: answers.append(len(engine.search("sea").results)))
        thread.start()
        thread.join()
        assert answers == [4]
        with pytest.raises(IndexReadOnlyError, match="cannot be written"):
            engine.writer()
    ((live, state),) = generations(folder)
    assert (live.generation_id, state, live.ranges) == (1, "live", None)
    assert _contents(folder) == before


def test_version_1_is_examined_and_backed_up_where_it_may_not_be_written_to(
    folder, tmp_path, monkeypatch
) -> None:
    before = _contents(folder)
    with monkeypatch.context() as patched:
        _forbid_writing(patched, only=folder)
        assert examine(folder) == []
        back_up(folder, tmp_path / "copy")
        assert _contents(folder) == before
    with SearchEngine.open(tmp_path / "copy", compute=OFFLINE) as engine:
        _assert_answers(engine)
    assert _version(tmp_path / "copy") == FORMAT_VERSION


def _forbid_writing(monkeypatch: pytest.MonkeyPatch, *, only: Path | None = None) -> None:
    """Permissions do not bind root, so the check for them is what a test replaces."""
    from search_engine import rebuild
    from search_engine.index.store import database
    from search_engine.index.upkeep import backup, verification
    from search_engine.sync import comparison

    for module in (backup, comparison, database, reader_module, rebuild, verification):
        monkeypatch.setattr(module, "is_writable", lambda place: only not in (None, place))


def _schema(folder: Path) -> dict[str, Any]:
    """Every table's columns and foreign keys by name, and every index's columns."""
    found: dict[str, Any] = {}
    with closing(sqlite3.connect(folder / "index.db")) as connection:

        def rows(sql: str) -> list[Any]:
            return connection.execute(sql).fetchall()

        for (table,) in rows(TABLES):
            # The place of a column is left out: one that was added stands last.
            columns = sorted(row[1:] for row in rows(f"PRAGMA table_info({table})"))
            indexes = {}
            for _, name, unique, origin, partial in rows(f"PRAGMA index_list({table})"):
                if origin == "pk":
                    continue
                keys = [row[2] for row in rows(f"PRAGMA index_info({name})")]
                where = rows(f"SELECT sql FROM sqlite_schema WHERE name = '{name}'")[0][0]  # noqa: S608
                condition = None if where is None else where.partition("WHERE")[2].strip()
                indexes[name] = (unique, origin, partial, keys, condition)
            strict = [row[5] for row in rows(f"PRAGMA table_list({table})")]
            foreign = sorted(row[2:] for row in rows(f"PRAGMA foreign_key_list({table})"))
            found[table] = (columns, indexes, strict, foreign)
    return found


def test_version_2_is_upgraded_and_goes_on(folder_2) -> None:
    assert _version(folder_2) == 2
    with SearchEngine.open(folder_2, compute=OFFLINE) as engine:
        assert _version(folder_2) == FORMAT_VERSION
        _assert_answers(engine, 2)
        assert [state for _, state in generations(folder_2)] == ["previous", "live"]
        assert examine(folder_2) == []
        # What was encoded before is not known by its text, and what is from now on is.
        with engine.writer() as writer:
            writer.add(Document("sea/copy", "The tide rises and falls.", title="Tide"))
            writer.commit()
            writer.add(Document("sea/copy-2", "The tide rises and falls.", title="Tide"))
        assert (writer.counts.encoded, writer.counts.reused) == (1, 1)
    assert rollback(folder_2) == 3
    catch_up(folder_2, compute=OFFLINE)
    assert examine(folder_2) == []


def test_version_2_is_read_as_it_is_where_it_may_not_be_written_to(folder_2, monkeypatch) -> None:
    _forbid_writing(monkeypatch)
    before = _contents(folder_2)
    with SearchEngine.open(folder_2, compute=OFFLINE) as engine:
        _assert_answers(engine, 2)
        assert compare(folder_2, [FORMATS], lambda settings: settings).plan.unchanged == ()
    assert _contents(folder_2) == before


@pytest.mark.parametrize("version", [1, 2])
def test_the_upgraded_schema_is_that_of_a_new_index(version, tmp_path) -> None:
    folder = shutil.copytree(FORMATS / f"version-{version}", tmp_path / "index")
    with IndexReader(folder) as reader:
        generation = reader.generation
    new = tmp_path / "new"
    create_index(new, generation)
    upgraded, expected = _schema(folder), _schema(new)
    if version == 1:
        # SQLite wants a default for a column that is added and may not be NULL; a new table has
        # none.
        (state,) = (column for column in upgraded["generations"][0] if column[0] == "state")
        assert state == ("state", "TEXT", 1, "'live'", 0)
        upgraded["generations"][0][upgraded["generations"][0].index(state)] = (
            *("state", "TEXT", 1, None, 0),
        )
    assert upgraded == expected
    keys = "SELECT key FROM config ORDER BY key"
    assert query(folder, keys) == query(new, keys)
    config = dict(query(folder, "SELECT key, value FROM config"))
    assert query(folder, "SELECT max(document_id) FROM documents") == [
        (int(config["next_document_id"]) - 1,)
    ]
    assert config["next_generation_id"] == {1: "2", 2: "3"}[version]
    for bad in ("'unheard of'", "NULL"):
        with (
            closing(sqlite3.connect(folder / "index.db")) as connection,
            pytest.raises(sqlite3.IntegrityError),
        ):
            connection.execute(f"UPDATE generations SET state = {bad}")  # noqa: S608


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 0, -1])
def test_a_version_that_is_not_known_is_refused_with_both_numbers(folder, version) -> None:
    with closing(sqlite3.connect(folder / "index.db")) as connection:
        connection.execute(
            "UPDATE config SET value = ? WHERE key = 'format_version'", [str(version)]
        )
        connection.commit()
    before = _contents(folder)
    for open_it in (IndexReader, IndexWriter, generations):
        with pytest.raises(
            IndexFormatError, match=f"index format {version}; .* reads 1 to {FORMAT_VERSION}"
        ):
            open_it(folder)
    assert _contents(folder) == before


def test_an_upgrade_that_fails_changes_nothing(folder, monkeypatch) -> None:
    from search_engine.index.store import upgrade

    def fail_at_the_end(db: Any) -> None:
        upgrade._to_version_2(db)
        raise RuntimeError("killed")

    dump = _dump(folder)
    monkeypatch.setitem(upgrade._UPGRADES, 1, fail_at_the_end)
    with pytest.raises(RuntimeError, match="killed"):
        Database(folder, writable=True)
    assert _dump(folder) == dump
    monkeypatch.undo()
    with SearchEngine.open(folder, compute=OFFLINE) as engine:
        _assert_answers(engine)


def _dump(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "index.db")) as connection:
        return list(connection.iterdump())


def test_threads_that_upgrade_at_once_do_it_once(folder) -> None:
    barrier = threading.Barrier(6)
    failed: list[BaseException] = []

    def open_it() -> None:
        barrier.wait()
        try:
            Database(folder, writable=True).close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert _version(folder) == FORMAT_VERSION
    assert count_rows(folder, "generations") == 1
    assert examine(folder) == []


def test_processes_that_upgrade_at_once_do_it_once(folder) -> None:
    script = (
        "import sys; from pathlib import Path; "
        "from search_engine.index.store.database import Database; "
        "print('ready', flush=True); sys.stdin.readline(); "
        "Database(Path(sys.argv[1]), writable=True).close()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert _version(folder) == FORMAT_VERSION
    assert examine(folder) == []

"""An error at every step of what changes an index: it is as before, or as after, and goes on."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar
from unittest.mock import patch

import faiss
import numpy as np
import pytest

from search_engine.config import Config, DenseConfig
from search_engine.errors import IndexStoreError
from search_engine.index.generations.promotion import (
    begin_generation,
    give_up_generation,
    roll_back,
)
from search_engine.index.generations.promotion import promote_generation as promote
from search_engine.index.reader import IndexReader
from search_engine.index.segments import merger, merging
from search_engine.index.store.database import Database
from search_engine.index.upkeep.backup import back_up
from search_engine.index.upkeep.compaction import compact
from search_engine.index.writer import IndexWriter
from tests.faults.workload import (
    FIRST_GENERATION,
    SECOND_GENERATION,
    answers,
    build,
    findings,
    make_index,
    memory_folder,
    remains,
    state_of,
    vector,
)
from tests.index.documents import encode
from tests.index.rows import query

T = TypeVar("T")
# The disk is full for a moment, or stays full; or somebody presses Ctrl-C after a step was done.
Kind = Literal["once", "full", "interrupted"]
_WRITING = ("BEGIN", "COMMIT", "INSERT", "UPDATE", "DELETE", "VACUUM", "SAVEPOINT", "RELEASE")
_STEPS: dict[Any, list[str]] = {
    os: ["fsync", "unlink", "rmdir"],
    Path: ["rename", "mkdir", "write_text", "write_bytes"],
    np: ["save"],
    faiss: ["write_index"],
    shutil: ["copytree"],
}
# Steps of a kind that are tried in the default run; all are in the slow one.
_TRIED = 7


class _Faults:
    """Counts the steps that touch the disk, and lets those fail that it is told to."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.seen_before: list[Any] = []
        self.raised: list[BaseException] = []
        self._armed = False

    def arm(self, look: Callable[[], Any], *, failing: int | None, kind: Kind) -> None:
        """Count from now on; the step of a number, from 0, fails."""
        self.steps, self.seen_before, self.raised = [], [], []
        self._look, self._failing, self._kind, self._armed = look, failing, kind, True

    def disarm(self) -> None:
        self._armed = False

    def step(self, name: str, do: Callable[[], T], error: Exception) -> T:
        if not self._armed:
            return do()
        number = len(self.steps)
        self.steps.append(name)
        if self._failing is None:
            self.seen_before.append(self._look())
            return do()
        # A full disk still lets files be removed.
        stays = self._kind == "full" and name not in ("unlink", "rmdir", "COMMIT")
        if number != self._failing and not (stays and number > self._failing):
            return do()
        if self._kind == "interrupted":
            do()
        self.raised.append(KeyboardInterrupt() if self._kind == "interrupted" else error)
        raise self.raised[-1]


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> _Faults:
    faults = _Faults()

    def watched(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **settings: Any) -> Any:
            error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return faults.step(name, lambda: original(*args, **settings), error)

        return call

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
            return self._step(sql, lambda: super(Connection, self).execute(sql, parameters))

        def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
            return self._step(sql, lambda: super(Connection, self).executemany(sql, parameters))

        def backup(self, target: sqlite3.Connection) -> None:  # type: ignore[override]
            self._step("BEGIN backup", lambda: super(Connection, self).backup(target))

        @staticmethod
        def _step(sql: str, do: Callable[[], T]) -> T:
            if not sql.lstrip().startswith(_WRITING):
                return do()
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            return faults.step(sql.split()[0].strip(";"), do, error)

    for owner, names in _STEPS.items():
        for name in names:
            monkeypatch.setattr(owner, name, watched(name, getattr(owner, name)))
    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Connection))
    return faults


def _fill(folder: Path) -> None:
    with IndexWriter(folder) as writer:
        for batch in (range(12), range(12, 15), range(15, 18)):
            for number in batch:
                text = f"alpha{' gamma' * (number % 3)} {number}"
                writer.add(encode(f"d{number}", text, vector(1, text)))
            writer.commit()


def _change(folder: Path) -> None:
    with IndexWriter(folder) as writer:
        writer.delete("d2")
        for doc_id, text in (("d1", "gamma"), ("new", "alpha new"), ("newer", "alpha")):
            writer.add(encode(doc_id, text, vector(1, text)))


def _leave_remains(folder: Path) -> None:
    _fill(folder)
    with IndexReader(folder):
        _change(folder)
        compact(folder)
    for name in ("00000009-0123abcd", ".unfinished-00000010-0123abcd"):
        (folder / "segments" / name).mkdir()
        (folder / "segments" / name / "chunks.npy").write_bytes(b"half")


def _begin(folder: Path) -> None:
    begin_generation(folder, SECOND_GENERATION)


def _begun(folder: Path) -> None:
    _fill(folder)
    _begin(folder)


def _three_generations(folder: Path) -> None:
    _begun(folder)
    build(folder, 2)
    promote(folder, 2)
    begin_generation(folder, replace(SECOND_GENERATION, fingerprint="3" * 64))
    build(folder, 3)


def _merge(folder: Path) -> None:
    database = Database(folder, writable=True)
    try:
        merger.SegmentMerger(folder, database, lock_timeout=1).merge_as_needed(1)
    finally:
        database.close()


def _merge_early(folder: Path) -> None:
    with patch.object(merging, "SMALLEST_TIER_SEGMENTS", 3):
        _merge(folder)


def _calibrate(folder: Path) -> None:
    with patch.object(merger, "CALIBRATION_VECTORS", 10):
        _merge(folder)


class _Operation(NamedTuple):
    """Something that changes an index in one transaction; a reader may be there beside it."""

    name: str
    prepare: Callable[[Path], None]
    act: Callable[[Path], Any]
    reader: bool = True
    precision: Literal["float32", "int8"] = "float32"


_OPERATIONS = [
    _Operation("commit", _fill, _change),
    _Operation("merge", _fill, _merge_early),
    _Operation("compact", _fill, compact),
    _Operation("compact alone", _leave_remains, compact, reader=False),
    _Operation("calibrate", _fill, _calibrate, precision="int8"),
    _Operation("begin", _fill, _begin),
    _Operation("build", _begun, lambda f: build(f, 2)),
    _Operation("promote", _three_generations, lambda f: promote(f, 3)),
    _Operation("promote alone", _three_generations, lambda f: promote(f, 3), reader=False),
    _Operation("roll back", _three_generations, roll_back),
    _Operation("give up", _three_generations, lambda f: give_up_generation(f, 3)),
    _Operation("remove", _leave_remains, lambda f: IndexWriter(f).close()),
    _Operation("back up", _fill, lambda f: back_up(f, f.with_name("copy"))),
]


def _tried(steps: int, kind: Kind, thinned: bool) -> list[int]:
    if not thinned or steps <= _TRIED:
        return list(range(steps))
    first = ("once", "full", "interrupted").index(kind)
    return sorted({(first + number * steps // _TRIED) % steps for number in range(_TRIED)})


@pytest.mark.parametrize("thinned", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["once", "full", "interrupted"])
@pytest.mark.parametrize("operation", _OPERATIONS, ids=lambda operation: operation.name)
def test_an_error_at_any_step_leaves_the_state_before_or_the_one_after(
    faults: _Faults, operation: _Operation, kind: Kind, thinned: bool
) -> None:
    dense = DenseConfig(precision=operation.precision)
    generation = replace(FIRST_GENERATION, config=Config(dense=dense))
    with memory_folder() as place:
        template = make_index(place / "template", generation)
        operation.prepare(template)
        old = state_of(template)
        clean = shutil.copytree(template, place / "clean")
        with IndexReader(clean) if operation.reader else nullcontext():
            faults.arm(lambda: query(clean, "SELECT * FROM config"), failing=None, kind=kind)
            operation.act(clean)
            faults.disarm()
        new = state_of(clean)
        # What the database says before each step, and after the last: whether it is decided.
        looks = [*faults.seen_before, query(clean, "SELECT * FROM config")]
        for number in _tried(len(faults.steps), kind, thinned):
            decided = looks[number + (kind == "interrupted")] != looks[0]
            folder = shutil.copytree(template, place / f"{number}" / "index")
            _fail_at(faults, operation, folder, number, kind)
            seen = state_of(folder)
            assert seen == (new if decided else old), faults.steps[number]
            assert findings(folder) == []
            copy = folder.with_name("copy")
            if copy.exists():
                assert state_of(copy).answers == old.answers and findings(copy) == []
            elif seen == old:
                operation.act(folder)
                assert state_of(folder) == new
                assert findings(folder) == []
            assert remains(folder) == set()
            shutil.rmtree(folder.parent)


def _fail_at(faults: _Faults, operation: _Operation, folder: Path, number: int, kind: Kind) -> None:
    """Do it with one step failing, and see that this comes out and that a reader does not mind."""
    reader = IndexReader(folder) if operation.reader else None
    before = None if reader is None else answers(reader)
    faults.arm(list, failing=number, kind=kind)
    came_out: BaseException | None = None
    try:
        operation.act(folder)
    except (Exception, KeyboardInterrupt) as error:
        came_out = error
    faults.disarm()
    assert faults.raised, "the step was not reached"
    if came_out is None:
        # What cannot be removed now is removed by the next writer, and reading needs no space.
        pinning = faults.steps[number] in _WRITING and folder.with_name("copy").exists()
        assert kind != "interrupted" and (pinning or faults.steps[number] in ("unlink", "rmdir"))
    else:
        assert any(each in faults.raised for each in _chain(came_out)), repr(came_out)
        assert isinstance(came_out, (OSError, IndexStoreError, KeyboardInterrupt))
    if reader is None:
        return
    with reader:
        assert answers(reader) == before
        reader.refresh()
        assert answers(reader) == state_of(folder).answers


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

"""What happens between two steps of one thread while another one changes the index."""

from __future__ import annotations

import gc
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_engine import doctor
from search_engine.errors import IndexReadOnlyError
from search_engine.index import reader as reader_module
from search_engine.index.commit import commit_merge
from search_engine.index.generations.builder import GenerationBuilder
from search_engine.index.generations.promotion import begin_generation, promote_generation
from search_engine.index.reader import IndexReader
from search_engine.index.segments import merger as merger_module
from search_engine.index.segments import merging
from search_engine.index.segments.merger import SegmentMerger
from search_engine.index.store.database import Database
from search_engine.index.upkeep import verification
from search_engine.index.upkeep.compaction import compact
from search_engine.index.upkeep.verification import verify_generations
from search_engine.index.writer import IndexWriter
from search_engine.types import Chunk
from tests.faults.workload import (
    FIRST_GENERATION,
    answers,
    commit_version,
    findings,
    make_index,
    memory_folder,
    oracle,
    remains,
    vector,
)
from tests.index.documents import DIMENSION, encode
from tests.index.rows import folders, query

_VERSION_1 = Path(__file__).parents[1] / "index" / "formats" / "version-1"
_LARGE, _COUNT = 100_000, 600
_MAPS = Path("/proc/self/maps")


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as place:
        yield make_index(place / "index")


def _fill(folder: Path, count: int) -> dict[str, str]:
    """One commit for each document; the texts."""
    texts = {f"d{n}": f"alpha text {n}" for n in range(count)}
    with IndexWriter(folder) as writer:
        for doc_id, text in texts.items():
            writer.add(encode(doc_id, text, vector(1, text)))
            writer.commit()
    return texts


def _everything(folder: Path) -> list[list[tuple[Any, ...]]]:
    tables = ("config", "chunks", "segments")
    return [query(folder, f"SELECT * FROM {table} ORDER BY 1") for table in tables]  # noqa: S608


def _chunk_counts(folder: Path) -> list[int]:
    return [count for (count,) in query(folder, "SELECT chunk_count FROM segments ORDER BY born")]


def _first(do: Callable[[], object], real: Callable[..., Any]) -> Callable[..., Any]:
    """A function before whose first call something else happens."""
    done: list[object] = []

    def call(*args: Any, **settings: Any) -> Any:
        if not done:
            done.append(True)
            do()
        return real(*args, **settings)

    return call


@contextmanager
def _meanwhile(do: Callable[[int], object]) -> Iterator[None]:
    """A thread that does something again and again, numbered; what it throws is thrown here."""
    stop, errors = threading.Event(), []

    def go_on() -> None:
        number = 0
        try:
            while not stop.is_set():
                do(number)
                number += 1
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert errors == []


def test_a_sound_index_has_no_findings_beside_a_writer(folder, monkeypatch) -> None:
    monkeypatch.setattr(merging, "SMALLEST_TIER_SEGMENTS", 3)
    mended: list[object] = []
    monkeypatch.setattr(doctor, "_mend", lambda *args: mended.append(args))
    commit_version(folder, 0)
    last = 0

    def write(number: int) -> None:
        nonlocal last
        last = number + 1
        commit_version(folder, last)

    with _meanwhile(write):
        while last < 60:
            assert [found.findings for found in verify_generations(folder)] == [()]
            doctor.repair(folder)
    assert mended == []
    with IndexReader(folder) as reader:
        assert answers(reader).texts == {name: f"alpha {name} v{last}" for name in "abcd"}


@pytest.mark.parametrize("step", ["dead_chunks", "segments_at"])
def test_a_commit_while_rows_are_read_is_no_finding(folder, monkeypatch, step) -> None:
    commit_version(folder, 1)

    def change() -> None:
        commit_version(folder, 2)
        compact(folder)

    monkeypatch.setattr(verification, step, _first(change, getattr(verification, step)))
    assert [found.findings for found in verify_generations(folder)] == [()]
    assert query(folder, "SELECT value FROM config WHERE key = 'commit'") != [("1",)]


def _promote_another(folder: Path, fingerprint: str) -> None:
    with IndexReader(folder) as reader:
        live = reader.generation
    new = begin_generation(folder, replace(live, fingerprint=fingerprint * 64))
    with GenerationBuilder(folder, new.generation_id) as builder:
        for document_id, document, _ in builder.documents(builder.lacking()):
            text = document.text
            builder.add(
                document_id,
                replace(
                    encode(document.doc_id, text),
                    chunks=[Chunk(text, 0, len(text))],
                    vectors=np.ones((1, live.dimension or 0), np.float32),
                ),
            )
    promote_generation(folder, new.generation_id)


def test_who_may_only_read_version_1_is_told_that_it_was_upgraded(tmp_path, monkeypatch) -> None:
    folder = Path(shutil.copytree(_VERSION_1, tmp_path / "index"))
    # As long as somebody has it open, there is a log that others read.
    owner = sqlite3.connect(folder / "index.db")
    owner.execute("INSERT INTO roots VALUES ('more', '/more')")
    owner.commit()
    with monkeypatch.context() as patch:
        patch.setattr(reader_module, "is_writable", lambda folder: False)
        reader = IndexReader(folder)
    with closing(owner), reader:
        before = reader.snapshot
        # Twice, so that what the reader saw is removed.
        _promote_another(folder, "2")
        _promote_another(folder, "3")
        for _ in range(2):
            with pytest.raises(IndexReadOnlyError, match=r"was upgraded by .*; open it again"):
                reader.refresh()
        assert reader.snapshot is before


def test_a_merge_of_what_died_meanwhile_changes_nothing(folder) -> None:
    _fill(folder, 3)
    sources = sorted(folders(folder))
    with IndexReader(folder):
        compact(folder)
        before = _everything(folder)
        with Database(folder, writable=True) as database:
            for gone in (sources, sources[:1]):
                assert not commit_merge(database.here, FIRST_GENERATION, sources=gone, merged=None)
        assert _everything(folder) == before


def test_of_two_that_merge_the_same_segments_one_wins(folder, monkeypatch) -> None:
    texts = _fill(folder, 4)
    monkeypatch.setattr(merger_module, "merge_lock", lambda *args, **settings: nullcontext())
    with Database(folder, writable=True) as database, Database(folder, writable=True) as other:
        late = SegmentMerger(folder, database, lock_timeout=10)
        early = SegmentMerger(folder, other, lock_timeout=10)
        write = merger_module.write_segment
        monkeypatch.setattr(
            merger_module, "write_segment", _first(lambda: early.compact(1, timeout=10), write)
        )
        late.compact(1, timeout=10)
    assert findings(folder) == [] and remains(folder) == set()
    assert _chunk_counts(folder) == [4]
    with IndexReader(folder) as reader:
        found, expected = answers(reader), oracle(texts, 1)
    assert found.texts == expected.texts
    assert found.bm25 == pytest.approx(expected.bm25)


@pytest.mark.skipif(not _MAPS.exists(), reason="only Linux tells what is mapped")
def test_a_writer_lets_go_of_segments_that_others_merged(folder) -> None:
    _fill(folder, 5)
    with IndexWriter(folder) as writer:
        # Dead chunks make the writer look into every segment.
        for number in range(8):
            writer.add(encode(f"e{number}", f"alpha e{number}"))
        writer.commit()
        writer.delete("e0")
        writer.commit()
        assert "chunks.npy" in _MAPS.read_text() and str(folder) in _MAPS.read_text()
        compact(folder)
        writer.add(encode("last", "alpha last"))
        writer.commit()
        gc.collect()
        mapped = [line for line in _MAPS.read_text().splitlines() if str(folder) in line]
        assert [line for line in mapped if line.endswith("(deleted)")] == []


def test_a_reader_that_cannot_pin_never_shows_a_dead_chunk(folder, monkeypatch) -> None:
    with IndexWriter(folder) as writer:
        for number in range(8):
            writer.add(encode(f"d{number}", f"alpha {number}"))
        writer.commit()
        writer.delete("d3")
        writer.commit()
        monkeypatch.setattr(reader_module, "is_writable", lambda folder: False)
        monkeypatch.setattr(
            reader_module,
            "dead_chunks",
            _first(lambda: compact(folder), reader_module.dead_chunks),
        )
        with IndexReader(folder) as reader:
            assert query(folder, "SELECT * FROM readers") == []
            there = reader.snapshot.search_dense(np.ones(DIMENSION, np.float32), 100)
            assert sorted(reader.doc_ids(there.chunk_ids)) == [
                f"d{number}" for number in range(8) if number != 3
            ]


def test_compacting_makes_the_file_smaller_with_a_small_log(folder) -> None:
    names = [f"d{number:03}" for number in range(_COUNT)]
    with IndexWriter(folder) as writer:
        for name in names:
            text = f"alpha {name} ".ljust(_LARGE, "x")
            writer.add(encode(name, text, np.ones(DIMENSION).tolist()))
    with IndexWriter(folder) as writer:
        for name in names[::2]:
            writer.delete(name)
    path, log = folder / "index.db", folder / "index.db-wal"
    before, largest = path.stat().st_size, 0
    assert before > _COUNT * _LARGE

    def watch(_: int) -> None:
        nonlocal largest
        with suppress(FileNotFoundError):
            largest = max(largest, log.stat().st_size)
        time.sleep(0.001)

    with _meanwhile(watch):
        compact(folder)
    assert path.stat().st_size < 0.55 * before
    # Steps of 8 MB; all pages at once are 27 MB.
    assert 0 < largest < 12 << 20, f"{largest >> 20} MB"
    assert findings(folder) == []

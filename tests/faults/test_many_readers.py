"""Readers in other processes that never stop searching while an index is changed all the time."""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from search_engine.config import BM25Config
from search_engine.index.reader import IndexReader
from search_engine.index.segments.encoded import EncodedDocument
from search_engine.index.snapshot import Snapshot
from search_engine.index.upkeep.compaction import compact
from search_engine.index.writer import IndexWriter
from search_engine.types import Chunk, Document
from tests.faults.workload import findings, make_index, memory_folder, processes, remains
from tests.index.documents import DIMENSION

_log = logging.getLogger(__name__)
_DOCUMENTS = 6
# How many questions a reader asks before it looks again at a snapshot that it kept.
_KEPT_FOR = 20
_LARGEST_LOG = 64 << 20
_QUERY = np.eye(1, DIMENSION, dtype=np.float32)[0]


def _document(version: int, place: int) -> EncodedDocument:
    """A document whose text, title, terms and vector all say its version."""
    text = f"common version{version} place{place}"
    vector = np.zeros((1, DIMENSION), np.float32)
    vector[0, :2] = version, place
    return EncodedDocument(
        Document(f"d{place}", text, title=str(version)),
        content_hash=text,
        chunks=[Chunk(text, 0, len(text))],
        vectors=vector,
        terms=[Counter(text.split())],
        impacts=None,
    )


def _documents_of(version: int) -> list[str]:
    """Of every third version one document is deleted."""
    there = range(_DOCUMENTS - (version % 3 == 2))
    return [f"d{place}" for place in there]


class _Seen(NamedTuple):
    """What a snapshot answers: of one version, or the state is a mixed one."""

    version: int
    chunk_ids: list[int]


def _ask(reader: IndexReader, snapshot: Snapshot) -> _Seen:
    """Ask everything, and see that every answer is of the same version, and whole."""
    dense = snapshot.search_dense(_QUERY, 100)
    bm25 = snapshot.search_bm25(
        dict.fromkeys(reader.term_ids(["common"]).values(), 1), 100, BM25Config()
    )
    versions = set(dense.scores.tolist())
    assert len(versions) == 1, f"vectors of several versions: {versions}"
    version = int(versions.pop())
    expected = _documents_of(version)
    for chunk_ids in (dense.chunk_ids, bm25.chunk_ids):
        chunks = reader.chunks(chunk_ids.tolist())
        assert sorted(each.doc_id for each in chunks) == expected
        assert sorted(reader.doc_ids(chunk_ids)) == expected
        assert {each.title for each in chunks} == {str(version)}
        assert {each.text.split()[1] for each in chunks} == {f"version{version}"}
    assert len(set(bm25.scores.tolist())) == 1, "of texts of one length"
    return _Seen(version, dense.chunk_ids.tolist())


def _ask_on(folder: Path, number: int, ready: Event, stop: Event, told: Queue) -> None:
    """Search without pause until told to stop; tell how often, or what went wrong."""
    try:
        told.put((number, _search(folder, number, ready, stop), ""))
    except BaseException:
        told.put((number, 0, traceback.format_exc()))
        raise


def _search(folder: Path, number: int, ready: Event, stop: Event) -> int:
    newest, count = -1, 0
    with IndexReader(folder) as reader:
        kept, kept_seen = reader.snapshot, _ask(reader, reader.snapshot)
        while not stop.is_set():
            count += 1
            snapshot = reader.refresh()
            seen = _ask(reader, snapshot)
            assert seen.version >= newest, "an index does not go back"
            newest = seen.version
            # `documents` is of the current snapshot, which nobody else moves on.
            titles = {each.doc_id: each.title for each in reader.documents()}
            assert titles == dict.fromkeys(_documents_of(newest), str(newest))
            assert all(each.chunk_count == 1 for each in reader.documents())
            assert reader.document_count() == len(titles)
            if number % 2 and count % _KEPT_FOR == 0:
                assert _ask(reader, kept) == kept_seen, "a snapshot does not change"
                kept, kept_seen = snapshot, seen
            ready.set()
    return count


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as place:
        yield make_index(place / "index")


def _commit(writer: IndexWriter, version: int) -> None:
    there = set(_documents_of(version))
    for place in range(_DOCUMENTS):
        if f"d{place}" in there:
            writer.add(_document(version, place))
        else:
            writer.delete(f"d{place}")
    writer.commit()


@pytest.mark.parametrize(
    ("readers", "commits"), [(3, 60), pytest.param(8, 1_000, marks=pytest.mark.slow)]
)
def test_readers_see_one_commit_at_a_time_and_the_log_stays_small(
    folder: Path, readers: int, commits: int
) -> None:
    context = processes()
    stop, told = context.Event(), context.Queue()
    largest = 0
    with IndexWriter(folder) as writer:
        _commit(writer, 0)
        running = []
        for number in range(readers):
            ready = context.Event()
            process = context.Process(target=_ask_on, args=(folder, number, ready, stop, told))
            process.start()
            running.append((process, ready))
        assert all(ready.wait(60) for _, ready in running)
        begun = time.monotonic()
        for version in range(1, commits + 1):
            _commit(writer, version)
            if version % 50 == 0:
                compact(folder)
            largest = max(largest, (folder / "index.db-wal").stat().st_size)
            if not all(process.is_alive() for process, _ in running):
                break
        seconds = time.monotonic() - begun
    stop.set()
    ended = [told.get(timeout=60) for _ in running]
    for process, _ in running:
        process.join()
    assert [error for _, _, error in ended if error] == []
    assert [process.exitcode for process, _ in running] == [0] * readers
    assert largest < _LARGEST_LOG
    questions = sum(count for _, count, _ in ended)
    assert questions > commits, "they asked all the time"
    assert findings(folder) == [] and remains(folder) == set()
    with IndexReader(folder) as reader:
        assert _ask(reader, reader.snapshot).version == commits
    _log.info("%d questions in %.0f s, log of %d KB at most", questions, seconds, largest >> 10)

"""Disks that fill up, folders of somebody else, damaged files."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest

from search_engine.config import DenseConfig
from search_engine.errors import (
    IndexCorruptError,
    IndexReadOnlyError,
    IndexStoreError,
    SnapshotGoneError,
)
from search_engine.index.dense import dense_kinds
from search_engine.index.dense.vector_storage import encode_vectors
from search_engine.index.reader import IndexReader
from search_engine.index.segments.encoded import EncodedDocument
from search_engine.index.upkeep.backup import back_up
from search_engine.index.upkeep.compaction import compact
from search_engine.index.writer import IndexWriter
from search_engine.types import Chunk, Document
from tests.faults.workload import (
    FIRST_GENERATION,
    answers,
    commit_version,
    findings,
    largest_file,
    make_index,
    memory_folder,
    oracle,
    processes,
    remains,
    state_of,
)
from tests.index.documents import DIMENSION
from tests.index.rows import count_rows, folders

_NOBODY = 65534
_DIMENSIONS = {"index.db": DIMENSION, "columns": DIMENSION, "dense": 1024}
_NO_SPACE = "No space left|File too large|disk is full|disk I/O error"


@pytest.fixture
def place() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    if os.getuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(tmp_path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def _large(number: int, what: str) -> EncodedDocument:
    """A document of which one file takes most of the space, and more with every fifth."""
    doc_id, size = f"d{number}", 1 + number // 5 * 10
    text = f"alpha {number} " + "x" * (size * 100 if what == "index.db" else 0)
    chunks = [Chunk(text, 0, len(text))] * (size if what == "dense" else 1)
    metadata = {f"key{number} {n}": n for n in range(size * 5 if what == "columns" else 0)}
    return EncodedDocument(
        Document(doc_id, text, metadata=metadata),
        text,
        chunks,
        np.full((len(chunks), _DIMENSIONS[what]), number + 1, np.float32),
        [Counter(text.split())] * len(chunks),
        None,
    )


def _fill(folder: Path, what: str, make_space: Callable[[], None]) -> None:
    """Index until there is no more space, look at what is there, make space, and go on."""
    there = 0
    with IndexWriter(folder) as writer:
        with pytest.raises((OSError, IndexStoreError), match=_NO_SPACE):
            while there < 5_000:
                # So large that merging fails too, and not only the commit.
                for number in range(there, there + 5):
                    writer.add(_large(number, what))
                writer.commit()
                there += 5
        assert there > 0
        with IndexReader(folder) as reader:
            # Where merging failed, the commit before it was made.
            count = reader.document_count()
            assert count in (there, there + 5)
            query_vector = np.ones(_DIMENSIONS[what], np.float32)
            hits = reader.snapshot.search_dense(query_vector, count)
            assert reader.doc_ids(hits.chunk_ids)[0] == f"d{count - 1}"
            assert hits.scores[0] == count * _DIMENSIONS[what]
        assert findings(folder) == []
        make_space()
        # What waited for the commit still waits.
        writer.commit()
        writer.add(dataclasses.replace(_large(0, what), document=Document("after", "text")))
    with IndexReader(folder) as reader:
        assert reader.document_count() == there + 6
    compact(folder)
    assert findings(folder) == [] and remains(folder) == set()


def test_a_full_disk_leaves_what_was_committed(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(3 << 19))
    _fill(make_index(small_disk / "index"), "index.db", ballast.unlink)


def _fill_limited(folder: Path, what: str, limit: int, told: Queue[str]) -> None:
    try:
        limited = ExitStack()
        limited.enter_context(largest_file(limit))
        _fill(folder, what, limited.close)
        told.put("")
    except BaseException:
        told.put(traceback.format_exc())


@pytest.mark.parametrize(
    ("what", "limit"), [("index.db", 500_000), ("dense", 500_000), ("columns", 300_000)]
)
def test_a_full_file_leaves_what_was_committed(place: Path, what: str, limit: int) -> None:
    told = processes().Queue()
    generation = dataclasses.replace(FIRST_GENERATION, dimension=_DIMENSIONS[what])
    folder = make_index(place / "index", generation)
    process = processes().Process(target=_fill_limited, args=(folder, what, limit, told))
    process.start()
    assert told.get(timeout=60) == ""
    process.join()


@pytest.mark.parametrize("kind", ["flat", "hnsw", "hnswlib"])
@pytest.mark.parametrize("missing", [1, 1_000, 30_000])
def test_no_dense_kind_takes_half_a_file_for_a_whole_one(
    place: Path, monkeypatch: pytest.MonkeyPatch, kind: str, missing: int
) -> None:
    monkeypatch.setattr(dense_kinds, "GRAPH_MINIMUM", 100)
    vectors = np.random.default_rng(1).standard_normal((2_000, DIMENSION)).astype(np.float32)
    stored = encode_vectors(vectors, precision="float32", metric="ip", ranges=None)
    write = dense_kinds.dense_kinds.get(kind).write
    write(place, stored, DenseConfig(kind=kind))
    largest = max(path.stat().st_size for path in place.iterdir())
    with largest_file(largest - missing), pytest.raises(OSError, match=_NO_SPACE):
        write(place, stored, DenseConfig(kind=kind))


def test_reading_needs_no_space(place: Path) -> None:
    folder = make_index(place / "index")
    commit_version(folder, 0)
    with IndexReader(folder) as reader:
        commit_version(folder, 1)
        with largest_file(0), IndexReader(folder) as other:
            assert answers(other).texts["a"] == "alpha a v1"
            reader.refresh()
            assert answers(reader) == answers(other)
            # Closing takes a row back, and cannot now.
            reader.close()
    compact(folder)
    assert findings(folder) == []


def _read_as_nobody(folder: Path, ready: Event, stop: Event, told: Queue[tuple[int, str]]) -> None:
    """Search until told to stop, as somebody who may only read; tell how often."""
    count = 0
    try:
        with IndexReader(folder) as reader:
            answers(reader)  # what is imported on use may be closed to others
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
        while not stop.is_set():
            with pytest.raises(IndexReadOnlyError, match="cannot be written to"):
                IndexWriter(folder)
            with suppress(IndexReadOnlyError, SnapshotGoneError), IndexReader(folder) as reader:
                for _ in range(10):
                    reader.refresh()
                    held = answers(reader)
                    assert sorted(held.texts) == sorted(held.bm25) == list("abcd")
                    assert held.bm25 == pytest.approx(oracle(held.texts, 1).bm25, abs=1e-5)
                    assert held.dense == pytest.approx(oracle(held.texts, 1).dense, abs=1e-5)
                    assert len({text.split()[2] for text in held.texts.values()}) == 1
                    count += 1
                    ready.set()
        told.put((count, ""))
    except BaseException:
        told.put((count, traceback.format_exc()))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_somebody_who_may_only_read_gets_answers_while_the_owner_writes(place: Path) -> None:
    context = processes()
    ready, stop, told = context.Event(), context.Event(), context.Queue()
    place.chmod(0o755)
    folder = make_index(place / "index")
    commit_version(folder, 0)
    process = context.Process(target=_read_as_nobody, args=(folder, ready, stop, told))
    process.start()
    assert ready.wait(60)
    for version in range(1, 60):
        commit_version(folder, version)
        if version % 15 == 0:
            compact(folder)
            time.sleep(0.1)
    stop.set()
    count, error = told.get(timeout=60)
    process.join()
    assert error == ""
    assert count > 10
    assert count_rows(folder, "readers") == 0


def _damaged(data: bytes) -> Iterator[bytes]:
    for position in {0, len(data) // 3, len(data) // 2, len(data) - 1}:
        yield data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        yield data[:position]


def test_every_damaged_file_of_a_segment_is_named_wherever_it_is_read(place: Path) -> None:
    folder = make_index(place / "index")
    for number in range(2):
        with IndexWriter(folder) as writer:
            writer.add(_large(number, "columns"))
    before = state_of(folder)
    segment = folder / "segments" / min(folders(folder))
    for path in segment.iterdir():
        data = path.read_bytes()
        for damaged in _damaged(data):
            path.write_bytes(damaged)
            for act in (IndexReader, compact, lambda folder: back_up(folder, place / "copy")):
                with pytest.raises(IndexCorruptError, match=segment.name) as caught:
                    act(folder)
                assert path.name in str(caught.value)
            assert any(segment.name in each and path.name in each for each in findings(folder))
            assert not (place / "copy").exists()
        path.write_bytes(data)
    assert state_of(folder) == before
    compact(folder)
    assert state_of(folder).answers == before.answers


def _read(folder: Path) -> None:
    with IndexReader(folder) as reader:
        answers(reader)
        list(reader.documents())


def _use(folder: Path) -> None:
    """Everything that reads `index.db`."""
    acts: list[Callable[[Path], object]] = [findings, _read, compact]
    acts += [lambda f: commit_version(f, 1), lambda f: back_up(f, f.with_name("copy"))]
    for act in acts:
        with suppress(IndexStoreError):
            act(folder)


@pytest.mark.parametrize("damage", ["page", "bit"])
def test_a_damaged_database_never_ends_in_an_error_that_is_not_ours(
    place: Path, damage: str
) -> None:
    template = make_index(place / "template")
    for version in range(3):
        commit_version(template, version)
    data = (template / "index.db").read_bytes()
    random = np.random.default_rng(5)
    found = 0
    for number in range(len(data) // 4096 if damage == "page" else 60):
        folder = place / str(number) / "index"
        shutil.copytree(template, folder)
        damaged = np.frombuffer(data, np.uint8).copy()
        if damage == "page":
            damaged[number * 4096 : (number + 1) * 4096] = random.integers(0, 256, 4096)
        else:
            damaged[random.integers(len(data))] ^= 1 << random.integers(8)
        (folder / "index.db").write_bytes(damaged.tobytes())
        try:
            found += bool(findings(folder))
        except IndexStoreError:
            found += 1
        _use(folder)
    assert damage == "bit" or found > number // 2

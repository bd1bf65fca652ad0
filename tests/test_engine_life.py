"""An engine over time: its pin, its models, its batches, and its end."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
import pytest

from search_engine import search as search_module
from search_engine.config import ChunkingConfig, Compute, Config
from search_engine.errors import GenerationChangedError, IndexStoreError, SnapshotGoneError
from search_engine.index import reader as reader_module
from search_engine.index import writer as writer_module
from search_engine.index.generations import builder as generation_builder
from search_engine.index.generations.builder import GenerationBuilder
from search_engine.index.generations.promotion import begin_generation
from search_engine.index.reader import IndexReader
from search_engine.index.segments.encoded import EncodedDocument
from search_engine.index.store.stored import StoredChunk
from search_engine.index.writer import IndexWriter
from search_engine.legs import Legs, load_legs
from search_engine.rebuild import generations, promote, rebuild, rollback
from search_engine.search import SearchEngine
from search_engine.types import Document
from tests.faults.workload import SECOND_GENERATION, processes
from tests.index.documents import DIMENSION, encode
from tests.index.rows import count_rows, query

LONG = Config(dense=None)
SHORT = Config(dense=None, chunking=ChunkingConfig(max_tokens=16))
SHORTER = Config(dense=None, chunking=ChunkingConfig(max_tokens=20))
CHUNK_COUNTS = "SELECT chunk_count FROM segments ORDER BY born"
_CLOSED = 24


def _make(folder: Path) -> Path:
    with SearchEngine.create(folder, config=LONG) as engine:
        _add(engine, "a")
    return folder


def _add(engine: SearchEngine, doc_id: str) -> None:
    with engine.writer() as writer:
        writer.add(Document(doc_id, f"alpha {doc_id}"))


def _wait_until(true: Callable[[], bool], *, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while not (held := true()) and time.monotonic() < until:
        time.sleep(0.02)
    return held


def _refreshing() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "refresh"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return _make(tmp_path / "index")


def test_an_engine_that_nobody_asks_moves_its_pin_on(folder, monkeypatch) -> None:
    for module in (search_module, reader_module):
        monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.05)
    with SearchEngine.open(folder):
        assert query(folder, "SELECT pinned FROM readers") == [(1,)]
        with IndexWriter(folder) as writer:
            writer.delete("a")
        ((newest,),) = query(folder, "SELECT CAST(value AS INTEGER) FROM config WHERE key='commit'")
        assert newest > 1
        assert _wait_until(lambda: query(folder, "SELECT pinned FROM readers") == [(newest,)])


def test_an_engine_that_was_dropped_is_let_go_of(folder) -> None:
    before = _refreshing()
    engine = SearchEngine.open(folder)
    assert len(engine.search("alpha").results) == 1
    assert count_rows(folder, "readers") == len(_refreshing() - before) == 1
    del engine
    gc.collect()
    assert _refreshing() - before == set()
    assert count_rows(folder, "readers") == 0


def test_closing_twice_is_closing_once(folder) -> None:
    engine = SearchEngine.open(folder)
    reader = IndexReader(folder)
    assert count_rows(folder, "readers") == 2
    for closable in (engine, reader):
        closable.close()
        closable.close()
    assert count_rows(folder, "readers") == 0
    with pytest.raises(IndexStoreError, match="was closed; open it again"):
        engine.search("alpha")


def test_a_snapshot_of_a_closed_reader_says_so(make_index) -> None:
    folder = make_index()
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
    with IndexReader(folder) as reader:
        snapshot = reader.snapshot
    with pytest.raises(IndexStoreError, match="was closed; open it again"):
        snapshot.search_dense(np.ones(DIMENSION, np.float32), 5)


def test_models_of_two_generations_stay_loaded(folder, monkeypatch) -> None:
    loaded: list[Config] = []

    def load(config: Config, compute: Compute) -> Legs:
        loaded.append(config)
        return load_legs(config, compute)

    monkeypatch.setattr(search_module, "load_legs", load)
    with SearchEngine.open(folder) as engine:
        rebuild(folder, SHORT)
        for change in (promote, rollback, promote, rollback):
            change(folder)
            assert len(engine.search("alpha").results) == 1
        assert loaded == [LONG, SHORT]
        rebuild(folder, SHORTER)
        for change in (promote, rollback, promote):
            change(folder)
            assert len(engine.search("alpha").results) == 1
        assert loaded == [LONG, SHORT, SHORTER]
        assert len(engine._legs) == 2


def test_a_promotion_while_a_writer_is_opened_is_noticed(folder, monkeypatch) -> None:
    """The encoders are of one generation, and another is live when the index is opened."""
    rebuild(folder, SHORT)

    def open_late(folder: Path, *, generation_id: int | None = None) -> IndexWriter:
        promote(folder)
        return IndexWriter(folder, generation_id=generation_id)

    monkeypatch.setattr("search_engine.index.writer.IndexWriter", open_late)
    with SearchEngine.open(folder) as engine:
        with (
            pytest.raises(GenerationChangedError, match="run the same command again"),
            engine.writer() as writer,
        ):
            writer.add(Document("new", "alpha new"))
        assert [state for _, state in generations(folder)] == ["previous", "live"]
        assert [result.doc_id for result in engine.search("alpha").results] == ["a"]
    assert query(folder, "SELECT doc_id FROM documents") == [("a",)]


def _gone(times: int, chunks: Callable[[list[int]], list[StoredChunk]]):
    """Stored chunks of which some are gone so many times."""
    asked: list[list[int]] = []

    def ask(chunk_ids: list[int]) -> list[StoredChunk]:
        asked.append(chunk_ids)
        if len(asked) <= times:
            raise SnapshotGoneError("gone")
        return chunks(chunk_ids)

    return asked, ask


def test_what_is_gone_while_it_is_read_is_asked_for_once_more(folder, monkeypatch) -> None:
    with SearchEngine.open(folder) as engine:
        real = engine._reader.chunks
        asked, chunks = _gone(1, real)
        monkeypatch.setattr(engine._reader, "chunks", chunks)
        assert [result.doc_id for result in engine.search("alpha").results] == ["a"]
        assert len(asked) == 2
        asked, chunks = _gone(2, real)
        monkeypatch.setattr(engine._reader, "chunks", chunks)
        with pytest.raises(SnapshotGoneError, match="gone"):
            engine.search("alpha")
        assert len(asked) == 2


def _close_while_asked(folder: Path, told: Queue) -> None:
    """Open, ask from four threads, and close under them; tell of what they met."""
    met: list[str] = []
    for number in range(_CLOSED):
        engine = SearchEngine.open(folder)
        asking = threading.Barrier(5)

        def ask(engine: SearchEngine = engine, asking: threading.Barrier = asking) -> None:
            asking.wait()
            try:
                while True:
                    engine.search("alpha", 20)
                    list(engine.documents())
            except BaseException as error:
                met.append("closed" if isinstance(error, IndexStoreError) else repr(error))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        asking.wait()
        threading.Event().wait(0.002 * (number % 8))
        if number % 2:
            engine.close()
        else:
            engine._reader.close()
        for thread in threads:
            thread.join()
        engine.close()
    told.put(met)


def test_closing_an_engine_that_is_asked_is_an_error_of_ours(tmp_path) -> None:
    folder = tmp_path / "index"
    with (
        SearchEngine.create(folder, config=LONG) as engine,
        engine.writer() as writer,
    ):
        for number in range(300):
            writer.add(Document(f"d{number}", f"alpha {number}"))
    context = processes()
    told = context.Queue()
    process = context.Process(target=_close_while_asked, args=(folder, told))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert told.get(timeout=10) == ["closed"] * (_CLOSED * 4)


def _batch() -> list[EncodedDocument]:
    return [encode(f"d{number}", f"alpha {number}") for number in range(5)]


def test_a_batch_that_took_long_is_committed_whole(make_index, monkeypatch) -> None:
    monkeypatch.setattr(writer_module, "COMMIT_SECONDS", -1.0)
    monkeypatch.setattr(generation_builder, "COMMIT_SECONDS", -1.0)
    with IndexWriter(make_index()) as writer:
        folder = writer.folder
        writer.add_all(iter(_batch()))
        assert query(folder, CHUNK_COUNTS) == [(5,)]
    begin_generation(folder, SECOND_GENERATION)
    with GenerationBuilder(folder, 2) as builder:
        builder.add_all(zip(builder.lacking(), _batch(), strict=True))
        assert query(folder, CHUNK_COUNTS) == [(5,), (5,)]


def test_documents_that_took_long_to_encode_are_committed_together(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(writer_module, "COMMIT_SECONDS", -1.0)
    folder = tmp_path / "index"
    with (
        SearchEngine.create(folder, config=LONG) as engine,
        engine.writer() as writer,
    ):
        for each in _batch():
            writer.add(each.document)
    assert query(folder, CHUNK_COUNTS) == [(5,)]

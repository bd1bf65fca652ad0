"""SearchEngine: an index and its encoders, open for asking and for adding."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search_engine.config import Compute, Config
from search_engine.errors import ConfigError, IndexStoreError, SnapshotGoneError
from search_engine.filters import parse_filter
from search_engine.index.creation import create_index
from search_engine.index.generations.generation import Generation, check_encoders
from search_engine.index.reader import HEARTBEAT_SECONDS, IndexReader
from search_engine.index.snapshot import Snapshot
from search_engine.index.store.stored import StoredDocument
from search_engine.legs import Legs, load_legs
from search_engine.query_path import Asked, Clock, StageHits, make_results, retrieve
from search_engine.query_syntax import parse_query
from search_engine.types import SearchResponse

if TYPE_CHECKING:
    from search_engine.document_writer import DocumentWriter, WriterCounts

NO_RERANKER = (
    "Reranking is off: this index was made without a cross-encoder "
    "(--reranker MODEL names one when an index is made)."
)
# Generations whose models stay loaded: the live one, and the one to go back to.
_GENERATIONS = 2


class SearchEngine:
    """An index that is open for asking and, through `writer`, for adding. Threads may share it.

    Make one by `SearchEngine.create` or `SearchEngine.open`.
    """

    def __init__(self, reader: IndexReader, compute: Compute, *, legs: Legs | None) -> None:
        self._reader = reader
        self._compute = compute
        # Of the settings that were live lately, the newest last.
        self._legs: dict[str, Legs] = {_key(reader.generation): legs} if legs else {}
        self._loading = threading.Lock()
        closed = threading.Event()
        staying = threading.Thread(
            target=_stay_current, args=(reader, closed), name="refresh", daemon=True
        )
        staying.start()
        # Also where nobody closes the engine.
        self._end = weakref.finalize(self, _end, reader, closed, staying)

    @classmethod
    def create(
        cls, folder: str | Path, *, config: Config | None = None, compute: Compute | None = None
    ) -> SearchEngine:
        """Make an empty index in a folder and open it.

        Raises:
            IndexExistsError: there already is one.
            IndexReadOnlyError: the folder cannot be written to, or lies on a network.
            ModelNotFoundError, CheckpointError, ConfigError: a model or a setting is wrong.
        """
        config = config or Config()
        compute = compute or Compute()
        legs = load_legs(config, compute)
        from search_engine.rebuild import new_generation

        generation = new_generation(config, legs, generation_id=1)
        create_index(Path(folder), generation)
        return cls(IndexReader(Path(folder)), compute, legs=legs)

    @classmethod
    def open(cls, folder: str | Path, *, compute: Compute | None = None) -> SearchEngine:
        """Open an index with the encoders that it names.

        Raises:
            IndexNotFoundError, IndexCorruptError, IndexFormatError: there is no index to read.
            EncoderMismatchError: a model is no longer the one that the index was built with.
            ModelNotFoundError, CheckpointError: a model cannot be loaded.
        """
        engine = cls(IndexReader(Path(folder)), compute or Compute(), legs=None)
        try:
            engine._newest()
        except BaseException:
            engine.close()
            raise
        return engine

    def __enter__(self) -> SearchEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index; may be called twice."""
        self._end()

    def _newest(self) -> tuple[Snapshot, Legs]:
        """The newest commit, and the models of its generation, loaded when it is first seen."""
        snapshot = self._reader.refresh()
        generation = snapshot.generation
        key = _key(generation)
        with self._loading:
            legs = self._legs.pop(key, None)
            if legs is None:
                legs = load_legs(generation.config, self._compute)
                check_encoders(generation, legs.fingerprints, str(self._reader.folder))
            self._legs[key] = legs
            if len(self._legs) > _GENERATIONS:
                del self._legs[next(iter(self._legs))]
        return snapshot, legs

    @property
    def config(self) -> Config:
        """The settings of the index."""
        return self._reader.generation.config

    @property
    def folder(self) -> Path:
        """Where the index is."""
        return self._reader.folder

    @property
    def document_count(self) -> int:
        """How many documents the index holds."""
        self._reader.refresh()
        return self._reader.document_count()

    @property
    def chunk_count(self) -> int:
        """How many chunks the index holds."""
        return self._reader.refresh().chunk_count

    def documents(self) -> Iterator[StoredDocument]:
        """Every document of the index, by id."""
        self._reader.refresh()
        return self._reader.documents()

    def writer(
        self, *, on_progress: Callable[[WriterCounts], None] | None = None
    ) -> DocumentWriter:
        """A writer for this index; use it in a `with` block, whose end commits.

        Args:
            on_progress: called after each batch that was encoded.

        Raises:
            IndexReadOnlyError, IndexLockedError: see IndexWriter.
        """
        # Imported here, since whoever only asks needs nothing of what reads and cuts documents.
        from search_engine.document_writer import DocumentWriter
        from search_engine.index.writer import IndexWriter

        snapshot, legs = self._newest()
        return DocumentWriter(
            IndexWriter(self._reader.folder, generation_id=snapshot.generation.generation_id),
            snapshot.generation.config,
            legs=legs,
            on_progress=on_progress,
        )

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        where: Mapping[str, object] | None = None,
        rerank: bool = True,
        collapse: bool = False,
    ) -> SearchResponse:
        """The k best chunks for a question, from the newest commit.

        Args:
            query: what a person typed; an empty one has no results. `"quoted words"` must stand in
                a chunk as they are, and `-word` must not; see query_syntax.
            k: how many results; fewer come back where fewer match.
            where: conditions on the metadata of documents, see filters; k results come back where
                so many match.
            rerank: False leaves the cross-encoder out.
            collapse: leave out chunks that nearly repeat a higher one.

        Raises:
            ConfigError: k is less than 1.
            FilterError: a condition is none.
        """
        if k < 1:
            raise ConfigError(f"k is how many results to return and must be 1 or more, not {k}")
        asked = (query, k, where, rerank, collapse)
        try:
            return self._search(*asked)
        except SnapshotGoneError:
            # Only where this process may not write down what it reads; so it reads once more.
            return self._search(*asked)

    def _search(
        self, query: str, k: int, where: Mapping[str, object] | None, rerank: bool, collapse: bool
    ) -> SearchResponse:
        clock = Clock()
        with clock.stage("total"):
            asked = self._ask(query, where)
            depth = max(k, asked.config.fusion.depth)
            stages = retrieve(self._reader, asked, depth=depth, rerank=rerank)
            with clock.stage("highlight"):
                results = make_results(self._reader, asked, stages, k, collapsed=collapse)
        notes = (NO_RERANKER,) if rerank and asked.legs.reranker is None else ()
        return SearchResponse(
            query,
            asked.snapshot.generation.name,
            {**stages.timings_ms, **clock.timings_ms},
            results,
            (*asked.notes(), *notes),
        )

    def retrieve(
        self,
        query: str,
        *,
        depth: int | None = None,
        where: Mapping[str, object] | None = None,
        rerank: bool = True,
    ) -> StageHits:
        """The hits of each stage for a question.

        Args:
            depth: candidates that each leg gives; the index's own setting by default.
            where: conditions on the metadata of documents, see filters.
            rerank: False leaves the cross-encoder out.
        """
        asked = self._ask(query, where)
        return retrieve(
            self._reader, asked, depth=depth or asked.config.fusion.depth, rerank=rerank
        )

    def _ask(self, query: str, where: Mapping[str, object] | None) -> Asked:
        condition = None if where is None else parse_filter(where)
        snapshot, legs = self._newest()
        return Asked(parse_query(query), condition, snapshot, legs)

    def doc_ids(self, chunk_ids: NDArray[np.int64]) -> list[str]:
        """The document of each chunk."""
        return self._reader.doc_ids(chunk_ids)


def _key(generation: Generation) -> str:
    """What decides about the models that are loaded."""
    return generation.fingerprint + generation.config.model_dump_json()


def _stay_current(reader: IndexReader, closed: threading.Event) -> None:
    """Move on from time to time, so that an engine that nobody asks holds nothing up."""
    while not closed.wait(HEARTBEAT_SECONDS):
        # What is wrong with the index is told to whoever asks it a question.
        with suppress(IndexStoreError):
            reader.refresh()


def _end(reader: IndexReader, closed: threading.Event, staying: threading.Thread) -> None:
    closed.set()
    # What nobody closed may be collected by any thread.
    if staying is not threading.current_thread():
        staying.join()
    reader.close()

"""SearchEngine: an index, its encoders, and the query path, stage by stage, timed."""

from __future__ import annotations

import threading
import time
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from search_engine.config import Compute, Config
from search_engine.document_writer import DocumentWriter, WriterCounts
from search_engine.errors import ConfigError, IndexStoreError, SnapshotGoneError
from search_engine.explain import highlight
from search_engine.filters import Filter, keys_of, parse_filter
from search_engine.fusion import fuse
from search_engine.index.creation import create_index
from search_engine.index.generations.generation import Generation, check_encoders
from search_engine.index.reader import HEARTBEAT_SECONDS, IndexReader
from search_engine.index.snapshot import Snapshot
from search_engine.index.store.stored import StoredChunk, StoredDocument
from search_engine.index.writer import IndexWriter
from search_engine.ingest.text_format import format_text
from search_engine.legs import Legs, load_legs
from search_engine.rebuild import new_generation
from search_engine.rerank import rerank as rerank_hits
from search_engine.types import Hits, Result, SearchResponse

NO_RERANKER = (
    "Reranking is off: this index was made without a cross-encoder "
    "(--reranker MODEL names one when an index is made)."
)
# Generations whose models stay loaded: the live one, and the one to go back to.
_GENERATIONS = 2


@dataclass(frozen=True, slots=True)
class StageHits:
    """What each stage made of one query.

    Attributes:
        legs: by the leg's name, in the order in which they ran.
        reranked: None where reranking is off.
        timings_ms: wall time of each stage in milliseconds.
    """

    legs: Mapping[str, Hits]
    fused: Hits
    reranked: Hits | None
    timings_ms: dict[str, float]


@dataclass(slots=True)
class _Clock:
    timings_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings_ms[name] = (time.perf_counter() - start) * 1e3


@dataclass(frozen=True)
class _Asked:
    """A question, and what it is answered from: one commit and the models of its generation."""

    query: str
    where: Filter | None
    snapshot: Snapshot
    legs: Legs

    @property
    def config(self) -> Config:
        return self.snapshot.generation.config

    @cached_property
    def terms(self) -> frozenset[str]:
        return frozenset(self.legs.lexical.terms(self.query))

    def notes(self) -> Iterator[str]:
        """What the person should know about the conditions."""
        if self.where is not None:
            known = self.snapshot.metadata_keys
            for key in sorted(keys_of(self.where) - known):
                have = f"it has {', '.join(sorted(known))}" if known else "it has none at all"
                yield f"No document has metadata named {key!r}; {have}."


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
    ) -> SearchResponse:
        """The k best chunks for a question, from the newest commit.

        Args:
            query: what a person typed; an empty one has no results.
            k: how many results; fewer come back where fewer match.
            where: conditions on the metadata of documents, see filters; k results come back where
                so many match.
            rerank: False leaves the cross-encoder out.

        Raises:
            ConfigError: k is less than 1.
            FilterError: a condition is none.
        """
        if k < 1:
            raise ConfigError(f"k is how many results to return and must be 1 or more, not {k}")
        asked = (query, k, where, rerank)
        try:
            return self._search(*asked)
        except SnapshotGoneError:
            # Only where this process may not write down what it reads; so it reads once more.
            return self._search(*asked)

    def _search(
        self, query: str, k: int, where: Mapping[str, object] | None, rerank: bool
    ) -> SearchResponse:
        clock = _Clock()
        with clock.stage("total"):
            asked = self._ask(query, where)
            depth = max(k, asked.config.fusion.depth)
            stages = self._retrieve(asked, depth=depth, rerank=rerank)
            with clock.stage("highlight"):
                results = self._results(asked, stages, k)
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
        return self._retrieve(asked, depth=depth or asked.config.fusion.depth, rerank=rerank)

    def _ask(self, query: str, where: Mapping[str, object] | None) -> _Asked:
        condition = None if where is None else parse_filter(where)
        snapshot, legs = self._newest()
        return _Asked(query, condition, snapshot, legs)

    def _retrieve(self, asked: _Asked, *, depth: int, rerank: bool) -> StageHits:
        clock = _Clock()
        config, reranker = asked.config, asked.legs.reranker
        legs = self._ask_legs(asked, depth, clock) if asked.query.strip() else {}
        with clock.stage("fuse"):
            fused = fuse(legs, config.fusion)
        reranked = None
        if rerank and reranker is not None and config.rerank is not None:
            with clock.stage("rerank"):
                candidates = self._reader.chunks(fused.chunk_ids[: config.rerank.depth].tolist())
                texts = [
                    format_text(
                        config.text_format,
                        title=chunk.title,
                        headings=chunk.headings,
                        text=chunk.text,
                    )
                    for chunk in candidates
                ]
                reranked = rerank_hits(reranker, asked.query, fused, texts=texts)
        return StageHits(legs, fused, reranked, clock.timings_ms)

    def doc_ids(self, chunk_ids: NDArray[np.int64]) -> list[str]:
        """The document of each chunk."""
        return self._reader.doc_ids(chunk_ids)

    def _ask_legs(self, asked: _Asked, depth: int, clock: _Clock) -> dict[str, Hits]:
        hits: dict[str, Hits] = {}
        config, legs, snapshot, where = asked.config, asked.legs, asked.snapshot, asked.where
        if where is not None:
            with clock.stage("filter"):
                snapshot.allowing(where)
        if legs.dense is not None:
            with clock.stage("encode"):
                vector = legs.dense.encode_query([asked.query])[0]
            with clock.stage("dense"):
                hits["dense"] = snapshot.search_dense(vector, depth, where=where)
        if config.bm25 is not None:
            with clock.stage("bm25"):
                counts = legs.lexical.terms(asked.query)
                ids = self._reader.term_ids(list(counts))
                frequencies = {term_id: counts[term] for term, term_id in ids.items()}
                hits["bm25"] = snapshot.search_bm25(frequencies, depth, config.bm25, where=where)
        if legs.splade is not None:
            with clock.stage("splade"):
                term_ids, weights = legs.splade.encode_query([asked.query]).row(0)
                hits["splade"] = snapshot.search_impacts(
                    "splade", term_ids.tolist(), weights.tolist(), depth, where=where
                )
        return hits

    def _results(self, asked: _Asked, stages: StageHits, k: int) -> tuple[Result, ...]:
        hits = stages.fused if stages.reranked is None else stages.reranked
        chunks = self._reader.chunks(hits.chunk_ids[:k].tolist())
        return tuple(
            _result(rank, float(score), chunk, asked, stages.legs)
            for rank, (score, chunk) in enumerate(zip(hits.scores[:k], chunks, strict=True), 1)
        )


def _result(
    rank: int, score: float, chunk: StoredChunk, asked: _Asked, legs: Mapping[str, Hits]
) -> Result:
    passage = highlight(chunk.text, asked.terms, asked.legs.lexical)
    line = chunk.line
    if line is not None and not chunk.single_line:
        line += chunk.text.count("\n", 0, passage.start)
    scores, ranks = {}, {}
    for name, hits in legs.items():
        (places,) = np.nonzero(hits.chunk_ids == chunk.chunk_id)
        if len(places):
            scores[name] = float(hits.scores[places[0]])
            ranks[name] = int(places[0]) + 1
    return Result(
        rank=rank,
        score=score,
        doc_id=chunk.doc_id,
        chunk_id=chunk.chunk_id,
        title=chunk.title,
        source=chunk.source,
        page=bisect_right(chunk.pages, chunk.start + passage.start) or None,
        line=line,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        headings=chunk.headings,
        highlight=passage,
        scores=scores,
        ranks=ranks,
        metadata=chunk.metadata,
    )


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

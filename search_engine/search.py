"""SearchEngine: an index, its encoders, and the query path, stage by stage, timed."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from search_engine.config import Compute, Config
from search_engine.document_writer import DocumentWriter, WriterCounts
from search_engine.errors import ConfigError
from search_engine.explain import highlight
from search_engine.fusion import fuse
from search_engine.index.creation import create_index
from search_engine.index.generation import Generation, check_encoders, fingerprint_of
from search_engine.index.reader import IndexReader, StoredChunk, StoredDocument
from search_engine.index.snapshot import Snapshot
from search_engine.index.writer import IndexWriter
from search_engine.ingest.text_format import format_text
from search_engine.legs import Legs, load_legs
from search_engine.rerank import rerank as rerank_hits
from search_engine.types import Hits, Result, SearchResponse

NO_RERANKER = (
    "Reranking is off: this index was made without a cross-encoder "
    "(--reranker MODEL names one when an index is made)."
)


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


class SearchEngine:
    """An index that is open for asking and, through `writer`, for adding. Threads may share it.

    Make one by `SearchEngine.create` or `SearchEngine.open`.
    """

    def __init__(self, reader: IndexReader, legs: Legs) -> None:
        self._reader = reader
        self._legs = legs

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
        legs = load_legs(config, compute or Compute())
        generation = Generation(
            generation_id=1,
            fingerprint=fingerprint_of(config, legs.fingerprints),
            config=config,
            dimension=legs.dense.dimension if legs.dense else None,
            similarity=legs.dense.similarity if legs.dense else None,
        )
        create_index(Path(folder), generation)
        return cls(IndexReader(Path(folder)), legs)

    @classmethod
    def open(cls, folder: str | Path, *, compute: Compute | None = None) -> SearchEngine:
        """Open an index with the encoders that it names.

        Raises:
            IndexNotFoundError, IndexCorruptError, IndexFormatError: there is no index to read.
            EncoderMismatchError: a model is no longer the one that the index was built with.
            ModelNotFoundError, CheckpointError: a model cannot be loaded.
        """
        reader = IndexReader(Path(folder))
        try:
            legs = load_legs(reader.generation.config, compute or Compute())
            check_encoders(reader.generation, legs.fingerprints, str(folder))
        except BaseException:
            reader.close()
            raise
        return cls(reader, legs)

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
        self._reader.close()

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
        config = self.config
        return DocumentWriter(
            IndexWriter(self._reader.folder),
            config,
            chunker=self._legs.chunker(config),
            dense=self._legs.dense,
            splade=self._legs.splade,
            analyzer=self._legs.lexical if config.bm25 is not None else None,
            on_progress=on_progress,
        )

    def search(self, query: str, k: int = 10, *, rerank: bool = True) -> SearchResponse:
        """The k best chunks for a question, from the newest commit.

        Args:
            query: what a person typed; an empty one has no results.
            k: how many results; fewer come back where fewer match.
            rerank: False leaves the cross-encoder out.

        Raises:
            ConfigError: k is less than 1.
        """
        if k < 1:
            raise ConfigError(f"k is how many results to return and must be 1 or more, not {k}")
        clock = _Clock()
        with clock.stage("total"):
            stages = self.retrieve(query, depth=max(k, self.config.fusion.depth), rerank=rerank)
            with clock.stage("highlight"):
                results = self._results(query, stages, k)
        notes = (NO_RERANKER,) if rerank and self._legs.reranker is None else ()
        return SearchResponse(
            query,
            self._reader.generation.name,
            {**stages.timings_ms, **clock.timings_ms},
            results,
            notes,
        )

    def retrieve(self, query: str, *, depth: int | None = None, rerank: bool = True) -> StageHits:
        """The hits of each stage for a question.

        Args:
            depth: candidates that each leg gives; the index's own setting by default.
            rerank: False leaves the cross-encoder out.
        """
        depth = depth or self.config.fusion.depth
        clock = _Clock()
        snapshot = self._reader.refresh()
        legs = self._ask_legs(snapshot, query, depth, clock) if query.strip() else {}
        with clock.stage("fuse"):
            fused = fuse(legs, self.config.fusion)
        reranked = None
        if rerank and self._legs.reranker is not None and self.config.rerank is not None:
            with clock.stage("rerank"):
                candidates = self._reader.chunks(
                    fused.chunk_ids[: self.config.rerank.depth].tolist()
                )
                texts = [self._encoded_text(chunk) for chunk in candidates]
                reranked = rerank_hits(self._legs.reranker, query, fused, texts=texts)
        return StageHits(legs, fused, reranked, clock.timings_ms)

    def doc_ids(self, chunk_ids: NDArray[np.int64]) -> list[str]:
        """The document of each chunk."""
        return self._reader.doc_ids(chunk_ids)

    def _ask_legs(
        self, snapshot: Snapshot, query: str, depth: int, clock: _Clock
    ) -> dict[str, Hits]:
        legs: dict[str, Hits] = {}
        config = self.config
        if self._legs.dense is not None:
            with clock.stage("encode"):
                vector = self._legs.dense.encode_query([query])[0]
            with clock.stage("dense"):
                legs["dense"] = snapshot.search_dense(vector, depth)
        if config.bm25 is not None:
            with clock.stage("bm25"):
                counts = self._legs.lexical.terms(query)
                ids = self._reader.term_ids(list(counts))
                frequencies = {term_id: counts[term] for term, term_id in ids.items()}
                legs["bm25"] = snapshot.search_bm25(frequencies, depth, config.bm25)
        if self._legs.splade is not None:
            with clock.stage("splade"):
                term_ids, weights = self._legs.splade.encode_query([query]).row(0)
                legs["splade"] = snapshot.search_impacts(
                    "splade", term_ids.tolist(), weights.tolist(), depth
                )
        return legs

    def _results(self, query: str, stages: StageHits, k: int) -> tuple[Result, ...]:
        hits = stages.fused if stages.reranked is None else stages.reranked
        chunks = self._reader.chunks(hits.chunk_ids[:k].tolist())
        terms = frozenset(self._legs.lexical.terms(query))
        return tuple(
            self._result(rank, float(score), chunk, terms, stages.legs)
            for rank, (score, chunk) in enumerate(zip(hits.scores[:k], chunks, strict=True), 1)
        )

    def _result(
        self,
        rank: int,
        score: float,
        chunk: StoredChunk,
        terms: frozenset[str],
        legs: Mapping[str, Hits],
    ) -> Result:
        passage = highlight(chunk.text, terms, self._legs.lexical)
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

    def _encoded_text(self, chunk: StoredChunk) -> str:
        return format_text(
            self.config.text_format, title=chunk.title, headings=chunk.headings, text=chunk.text
        )

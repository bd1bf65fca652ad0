"""The query path: what every leg finds, fused, reranked, and made results; each stage timed."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from search_engine.collapse import collapse
from search_engine.config import Config
from search_engine.explain import highlight
from search_engine.filters import Filter, keys_of
from search_engine.fusion import fuse
from search_engine.index.analysis import has_identifier
from search_engine.index.reader import IndexReader
from search_engine.index.snapshot import Snapshot
from search_engine.index.store.stored import StoredChunk
from search_engine.ingest.language import normalize_language
from search_engine.ingest.text_format import format_text
from search_engine.legs import Legs
from search_engine.narrowing import languages_of, narrow
from search_engine.query_syntax import ParsedQuery
from search_engine.rerank import rerank as rerank_hits
from search_engine.types import Hits, Result


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
class Clock:
    """Wall time of named stages, in milliseconds."""

    timings_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Take the time of what is done in the block."""
        start = time.perf_counter()
        yield
        self.timings_ms[name] = (time.perf_counter() - start) * 1e3


@dataclass(frozen=True)
class Asked:
    """A question, and what it is answered from: one commit and the models of its generation."""

    query: ParsedQuery
    where: Filter | None
    snapshot: Snapshot
    legs: Legs

    @property
    def config(self) -> Config:
        """The settings of the generation."""
        return self.snapshot.generation.config

    @property
    def is_narrowed(self) -> bool:
        """Whether some chunks are left out whatever they score."""
        query = self.query
        holding = query.phrases or query.excluded_terms or query.excluded_phrases
        return self.where is not None or bool(holding)

    @cached_property
    def terms(self) -> frozenset[str]:
        """The question's own terms, which a highlight marks."""
        return frozenset(self.lexical_terms)

    @cached_property
    def lexical_terms(self) -> Counter[str]:
        """How often the question has each term, in every language that the documents have."""
        return self.legs.lexical.query_terms(self.query.text, languages_of(self.snapshot))

    def notes(self) -> Iterator[str]:
        """What the person should know about the conditions."""
        for excluded in (*self.query.excluded_terms, *self.query.excluded_phrases):
            yield f"Left out what has {excluded!r}; put it in quotes to look for it."
        if self.where is not None:
            known = self.snapshot.metadata_keys
            for key in sorted(keys_of(self.where) - known):
                have = f"it has {', '.join(sorted(known))}" if known else "it has none at all"
                yield f"No document has metadata named {key!r}; {have}."


def retrieve(reader: IndexReader, asked: Asked, *, depth: int, rerank: bool) -> StageHits:
    clock = Clock()
    config, reranker = asked.config, asked.legs.reranker
    legs = _ask_legs(reader, asked, depth, clock) if asked.query.text.strip() else {}
    with clock.stage("fuse"):
        identifier = has_identifier(asked.query.text)
        fused = fuse(legs, config.fusion, has_identifier=identifier)
    reranked = None
    if rerank and reranker is not None and config.rerank is not None:
        with clock.stage("rerank"):
            candidates = reader.chunks(fused.chunk_ids[: config.rerank.depth].tolist())
            texts = [
                format_text(
                    config.text_format,
                    title=chunk.title,
                    headings=chunk.headings,
                    text=chunk.text,
                )
                for chunk in candidates
            ]
            reranked = rerank_hits(reranker, asked.query.text, fused, texts=texts)
    return StageHits(legs, fused, reranked, clock.timings_ms)


def _ask_legs(reader: IndexReader, asked: Asked, depth: int, clock: Clock) -> dict[str, Hits]:
    hits: dict[str, Hits] = {}
    config, legs, snapshot = asked.config, asked.legs, asked.snapshot
    among = None
    if asked.is_narrowed:
        with clock.stage("filter"):
            among = narrow(reader, snapshot, legs.lexical, asked.query, asked.where)
    if legs.dense is not None:
        with clock.stage("encode"):
            vector = legs.dense.encode_query([asked.query.text])[0]
        with clock.stage("dense"):
            hits["dense"] = snapshot.search_dense(vector, depth, among=among)
    if config.bm25 is not None:
        with clock.stage("bm25"):
            counts = asked.lexical_terms
            ids = reader.term_ids(list(counts))
            frequencies = {term_id: counts[term] for term, term_id in ids.items()}
            hits["bm25"] = snapshot.search_bm25(frequencies, depth, config.bm25, among=among)
    if legs.splade is not None:
        with clock.stage("splade"):
            term_ids, weights = legs.splade.encode_query([asked.query.text]).row(0)
            hits["splade"] = snapshot.search_impacts(
                "splade", term_ids.tolist(), weights.tolist(), depth, among=among
            )
    return hits


def make_results(
    reader: IndexReader, asked: Asked, stages: StageHits, k: int, *, collapsed: bool
) -> tuple[Result, ...]:
    """The best k chunks as results.

    Args:
        collapsed: a chunk that nearly repeats a higher one is left out, the next ones move up, and
            the higher one names the documents that it stands for.
    """
    hits = stages.fused if stages.reranked is None else stages.reranked
    taken = len(hits) if collapsed else k
    chunks = reader.chunks(hits.chunk_ids[:taken].tolist())
    stands_for: dict[int, list[str]] = {position: [] for position in range(len(chunks))}
    if collapsed:
        for position, first in enumerate(collapse([chunk.text for chunk in chunks])):
            if first != position:
                del stands_for[position]
                stands_for[first].append(chunks[position].doc_id)
    shown = list(stands_for.items())[:k]
    return tuple(
        _result(rank, float(hits.scores[position]), chunks[position], tuple(repeats), asked, stages)
        for rank, (position, repeats) in enumerate(shown, 1)
    )


def _result(
    rank: int,
    score: float,
    chunk: StoredChunk,
    repeated_by: tuple[str, ...],
    asked: Asked,
    stages: StageHits,
) -> Result:
    language = normalize_language(chunk.metadata.get("language"))
    passage = highlight(
        chunk.text,
        asked.terms,
        asked.legs.lexical,
        language=language,
        phrases=asked.query.phrases,
    )
    line = chunk.line
    if line is not None and not chunk.single_line:
        line += chunk.text.count("\n", 0, passage.start)
    scores, ranks = {}, {}
    for name, hits in stages.legs.items():
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
        repeated_by=repeated_by,
    )

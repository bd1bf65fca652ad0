"""Candidates from an index, by one of its legs or by all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from types import TracebackType
from typing import Literal, TypeAlias

import numpy as np

from search_engine.errors import ConfigError
from search_engine.index.reader import IndexReader
from search_engine.index.store.stored import StoredChunk
from search_engine.ingest.text_format import format_text
from search_engine.query_syntax import parse_query
from search_engine.search import SearchEngine
from search_engine.training.mining.candidates import Candidate, Found, ScoredText
from search_engine.training.mining.exclusions import folded
from search_engine.training.mining.queries import MiningQuery, Positive
from search_engine.types import Hits

MiningLeg: TypeAlias = Literal["fused", "dense", "bm25", "splade"]
_QUOTES = re.compile('["“”„«»]')
_MINUS = re.compile(r"(?<!\S)-+")
# Chunks whose documents are looked up at once.
_LOOKED_UP = 10_000


class IndexCandidates:
    """The chunks of an index that is open; use it in a `with` block, which keeps their texts.

    A positive document is the chunk of it that fits the query best, its first if none was found.
    Every chunk of it is a known positive. What is committed later may be found or not.

    Args:
        engine: finds them; its reranker is not asked.
        leg: "fused" is the order in which all legs together put them. Fused scores tell how far
            apart candidates of one query are, and not those of several queries.

    Raises:
        ConfigError: the index does not have the leg.
    """

    def __init__(self, engine: SearchEngine, *, leg: MiningLeg = "fused") -> None:
        config = engine.config
        legs = {"dense": config.dense, "bm25": config.bm25, "splade": config.splade}
        if leg != "fused" and legs[leg] is None:
            on = ", ".join(["fused", *(name for name, each in legs.items() if each is not None)])
            raise ConfigError(f"the index at {engine.folder} has no {leg} leg; choose one of {on}")
        self._engine = engine
        self._leg = leg
        self._text_format = config.text_format
        self._reader = IndexReader(engine.folder)

    def __enter__(self) -> IndexCandidates:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._reader.close()

    def find(self, queries: Sequence[MiningQuery], *, depth: int) -> list[Found]:
        """What is found for each query."""
        found = []
        for query in queries:
            chunks_of_positives = sum(self._count_chunks(each) for each in query.positives)
            hits = self._retrieve(query.text, depth + chunks_of_positives)
            chunks = self._reader.chunks(hits.chunk_ids.tolist())
            candidates = tuple(
                Candidate(self._encoder_text(chunk), chunk.text, score, chunk.doc_id)
                for chunk, score in zip(chunks, hits.scores.tolist(), strict=True)
            )
            positives = [
                scored
                for each in query.positives
                if (scored := self._score(each, candidates)) is not None
            ]
            found.append(Found(candidates, tuple(positives), len(query.positives) - len(positives)))
        return found

    def _retrieve(self, query: str, depth: int) -> Hits:
        stages = self._engine.retrieve(_as_plain_text(query), depth=depth, rerank=False)
        hits = stages.fused if self._leg == "fused" else stages.legs.get(self._leg, Hits.empty())
        # Several legs find more than each was asked for.
        return Hits(hits.chunk_ids[:depth], hits.scores[:depth])

    def _score(self, positive: Positive, candidates: Sequence[Candidate]) -> ScoredText | None:
        """A positive as it is trained on; None where the index does not have its document."""
        best = next(self._found(positive, candidates), None)
        if positive.text is not None:
            return ScoredText(positive.text, None if best is None else best.score)
        if best is not None:
            return ScoredText(best.text, best.score)
        place = self._chunks_of_documents.get(positive.doc_id or "")
        if place is None:
            return None
        (chunk,) = self._reader.chunks([place[0]])
        return ScoredText(self._encoder_text(chunk), None)

    @staticmethod
    def _found(positive: Positive, candidates: Sequence[Candidate]) -> Iterator[Candidate]:
        text = None if positive.text is None else folded(positive.text)
        for candidate in candidates:
            same_document = positive.doc_id is not None and candidate.doc_id == positive.doc_id
            if same_document or text in (folded(candidate.body), folded(candidate.text)):
                yield candidate

    def _count_chunks(self, positive: Positive) -> int:
        if positive.doc_id is None:
            return 1
        return self._chunks_of_documents.get(positive.doc_id, (0, 0))[1]

    @cached_property
    def _chunks_of_documents(self) -> dict[str, tuple[int, int]]:
        """By doc_id, the first chunk and how many there are."""
        snapshot = self._reader.snapshot
        chunk_ids = np.sort(snapshot.chunk_ids(np.flatnonzero(snapshot.alive())))
        places: dict[str, tuple[int, int]] = {}
        for start in range(0, len(chunk_ids), _LOOKED_UP):
            some = chunk_ids[start : start + _LOOKED_UP]
            for chunk_id, doc_id in zip(some.tolist(), self._reader.doc_ids(some), strict=True):
                first, count = places.get(doc_id, (chunk_id, 0))
                places[doc_id] = (first, count + 1)
        return places

    def _encoder_text(self, chunk: StoredChunk) -> str:
        return format_text(
            self._text_format, title=chunk.title, headings=chunk.headings, text=chunk.text
        )


def _as_plain_text(query: str) -> str:
    """A query without what would narrow the search to, or away from, some of its words."""
    parsed = parse_query(query)
    if not (parsed.phrases or parsed.excluded_terms or parsed.excluded_phrases):
        return query
    return _MINUS.sub("", _QUOTES.sub(" ", query))

"""The chunks that a question asks for: by metadata, by phrases, by what they must not hold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import regex
from numpy.typing import NDArray

from search_engine.filters import Filter
from search_engine.index.analysis import Analyzer
from search_engine.index.reader import IndexReader
from search_engine.index.segments.live_segment import LiveSegment
from search_engine.index.snapshot import Snapshot
from search_engine.index.store.stored import StoredChunk
from search_engine.ingest.language import normalize_language
from search_engine.phrases import holds_phrase
from search_engine.query_syntax import ParsedQuery
from search_engine.scripts import SPACED_CHARACTER, UNSPACED_CHARACTER

_SPACED = regex.compile(SPACED_CHARACTER, regex.V1)
_UNSPACED = regex.compile(UNSPACED_CHARACTER, regex.V1)
# Chunks whose texts are read at once.
_BATCH = 1_000


def languages_of(snapshot: Snapshot) -> frozenset[str | None]:
    """The languages that a snapshot's documents were analysed in."""
    return frozenset(normalize_language(each) for each in snapshot.languages)


def narrow(
    reader: IndexReader,
    snapshot: Snapshot,
    lexical: Analyzer,
    asked: ParsedQuery,
    where: Filter | None,
) -> list[LiveSegment] | None:
    """The segments with those chunks alone alive that a question asks for; None is all.

    A phrase, and an excluded term that is more than a word, is looked for in the title, the
    headings and the text of chunks, of those only that have all its words by their postings. An
    excluded word excludes its other forms too.
    """
    among = None if where is None else snapshot.allowing(where)
    if not (asked.phrases or asked.excluded_terms or asked.excluded_phrases):
        return among
    search = _ChunkSearch(reader, snapshot, lexical)
    picked = snapshot.alive(among)
    for phrase in asked.phrases:
        picked &= search.with_phrase(phrase, picked)
    for term in asked.excluded_terms:
        picked &= ~search.with_term(term, picked)
    for phrase in asked.excluded_phrases:
        picked &= ~search.with_phrase(phrase, picked)
    return snapshot.picking(picked)


class _ChunkSearch:
    """Which chunks of a snapshot hold a word or a phrase: bool [size], by position."""

    def __init__(self, reader: IndexReader, snapshot: Snapshot, lexical: Analyzer) -> None:
        self._reader = reader
        self._snapshot = snapshot
        self._lexical = lexical
        self._has_postings = snapshot.generation.config.bm25 is not None
        self._languages = languages_of(snapshot)

    def with_term(self, term: str, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Those that hold a word in any form, or what is more than a word as it is typed."""
        forms = [self._lexical.terms(term, language=each) for each in self._languages]
        is_word = all(len(terms) == 1 for terms in forms)
        if not (self._has_postings and forms and is_word):
            return self.with_phrase(term, among)
        return self._holding({each for terms in forms for each in terms})

    def with_phrase(self, phrase: str, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Those of some that hold a phrase."""
        candidates = among.copy()
        if self._has_postings:
            for word in phrase.split():
                forms = [self._lexical.terms(word, language=each) for each in self._languages]
                # A word that some language does not index may stand in any chunk of it.
                if all(forms) and _is_indexed(word):
                    candidates &= self._holding({each for terms in forms for each in terms})
        positions = np.flatnonzero(candidates)
        held = np.zeros_like(candidates)
        for position, chunk in zip(positions, self._chunks(positions), strict=True):
            parts = (chunk.text, chunk.title, *chunk.headings)
            held[position] = any(holds_phrase(part, phrase) for part in parts)
        return held

    def _holding(self, terms: set[str]) -> NDArray[np.bool_]:
        return self._snapshot.holding(list(self._reader.term_ids(list(terms)).values()))

    def _chunks(self, positions: NDArray[np.int64]) -> Iterator[StoredChunk]:
        for start in range(0, len(positions), _BATCH):
            chunk_ids = self._snapshot.chunk_ids(positions[start : start + _BATCH])
            yield from self._reader.chunks(chunk_ids.tolist())


def _is_indexed(word: str) -> bool:
    """Whether every chunk with this word has a term of it, whatever stands beside the word.

    Scripts without spaces are indexed in pairs of characters as they are read, and one alone is in
    no pair for certain.
    """
    if _SPACED.search(word):
        return True
    characters = [bool(_UNSPACED.match(each)) for each in regex.findall(r"\X", word)]
    return any(map(all, pairwise(characters)))

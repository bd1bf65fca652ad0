"""What an index held at one commit, and search over it. Immutable: threads may share it.

The chunks of all segments stand one after the other; a position counts through them all.
"""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.config import BM25Config
from search_engine.errors import IndexStoreError
from search_engine.filters import Filter
from search_engine.index.dense.metric import prepare_vectors, similarity_scores
from search_engine.index.generations.generation import Generation
from search_engine.index.segments.live_segment import LiveSegment, share_out
from search_engine.types import Hits

# Scores of which only the best is looked at, to find most of the others too low at once.
_BLOCK = 64
# Filters of which a snapshot remembers what they let through.
_FILTERS = 16


class Snapshot:
    """The live chunks of one generation at one commit.

    Args:
        commit: its number.
        generation: the one that was live at it.
        segments: those alive at it.
        workers: where segments are searched side by side.
    """

    def __init__(
        self,
        commit: int,
        generation: Generation,
        segments: Sequence[LiveSegment],
        *,
        workers: ThreadPoolExecutor,
    ) -> None:
        self.commit = commit
        self.generation = generation
        self.segments = tuple(segments)
        self._workers = workers
        self._filtered: OrderedDict[Filter, list[LiveSegment]] = OrderedDict()
        self._filtering = threading.Lock()
        self._norms: dict[tuple[float, float], NDArray[np.float32]] = {}

    @cached_property
    def chunk_count(self) -> int:
        """How many chunks are alive."""
        return sum(live.chunk_count for live in self.segments)

    @cached_property
    def languages(self) -> frozenset[str | None]:
        """What chunks say of their language; None among them where one says nothing."""
        texts = (live.segment.columns.texts("language") for live in self.segments)
        return frozenset[str | None]().union(*texts)

    @cached_property
    def metadata_keys(self) -> frozenset[str]:
        """The names of all metadata that chunks have."""
        return frozenset().union(*(live.segment.columns.keys() for live in self.segments))

    def allowing(self, where: Filter) -> list[LiveSegment]:
        """The segments with those chunks alone alive that a filter lets through.

        The last few filters are remembered.
        """
        with self._filtering:
            if where in self._filtered:
                self._filtered.move_to_end(where)
                return self._filtered[where]
        allowed = [live.allowing(where) for live in self.segments]
        with self._filtering:
            self._filtered[where] = allowed
            if len(self._filtered) > _FILTERS:
                self._filtered.popitem(last=False)
        return allowed

    def holding(self, term_ids: Sequence[int]) -> NDArray[np.bool_]:
        """Which chunks, by position, hold any of some terms of BM25: bool [size]."""
        held = np.zeros(self._size, np.bool_)
        if self._size:
            for positions, _ in self._live_postings("bm25", term_ids):
                held[positions] = True
        return held

    def picking(self, picked: NDArray[np.bool_]) -> list[LiveSegment]:
        """The segments with those chunks alone alive that are picked.

        Args:
            picked: bool [size], by position.
        """
        return [
            live.among(picked[first : first + len(live.segment.chunk_ids)])
            for live, first in zip(self.segments, self._starts, strict=True)
        ]

    def alive(self, among: Sequence[LiveSegment] | None = None) -> NDArray[np.bool_]:
        """Which chunks, by position, are alive in these segments, or in all: bool [size]."""
        alive = self._alive if among is None else _alive_all(among)
        return np.ones(self._size, np.bool_) if alive is None else alive.copy()

    def chunk_ids(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The chunks at positions."""
        return self._chunk_ids[positions]

    def search_dense(
        self,
        query: NDArray[np.float32],
        depth: int,
        *,
        among: Sequence[LiveSegment] | None = None,
    ) -> Hits:
        """The best chunks by the dense index, for a query vector float32 [dim].

        A kind may sum its scores in any order, so they say only which chunks could be among the
        best. Those are scored again, each by itself: the hits of an exact kind are the same however
        the vectors are split into segments.

        Args:
            among: these segments with some of their chunks; as many as `depth` are found if there
                are.
        """
        similarity = str(self.generation.similarity)
        query = prepare_vectors(query.reshape(1, -1), similarity)[0]
        segments = self.segments if among is None else among
        found = self._search_side_by_side(segments, query, depth)
        scores = np.concatenate([np.empty(0, np.float32), *(scores for _, _, scores in found)])
        threshold = -math.inf
        if len(scores) > depth:
            error = max(live.segment.dense.score_error(query) for live in self.segments)
            threshold = float(np.partition(scores, -depth)[-depth]) - 2 * error
        chunk_ids, exact = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for live, ordinals, approximate in found:
            dense = live.segment.dense
            near = ordinals[approximate >= threshold]
            if len(near) == len(ordinals) < live.chunk_count and dense.exact:
                # More may tie with the last than were fetched.
                near = dense.search_above(query, threshold, allowed=live.alive)
            if len(near):
                chunk_ids.append(live.segment.chunk_ids[near])
                exact.append(dense.rescore(query, near))
        return Hits.ranked(
            np.concatenate(chunk_ids),
            similarity_scores(np.concatenate(exact), similarity),
            depth,
        )

    def _search_side_by_side(
        self, segments: Sequence[LiveSegment], query: NDArray[np.float32], depth: int
    ) -> list[tuple[LiveSegment, NDArray[np.int64], NDArray[np.float32]]]:
        """Candidates of each segment: it, their ordinals and their scores."""

        # One task a core: FAISS lets go of the interpreter's lock, and uses one thread a query.
        def search(
            group: Sequence[LiveSegment],
        ) -> list[tuple[LiveSegment, NDArray[np.int64], NDArray[np.float32]]]:
            return [
                (live, *live.segment.dense.search(query, depth, allowed=live.alive))
                for live in group
            ]

        groups = share_out(segments, os.cpu_count() or 1)
        try:
            searches = self._workers.map(search, groups)
        except RuntimeError as error:
            raise IndexStoreError("the index was closed; open it again") from error
        return [each for found in searches for each in found]

    def search_bm25(
        self,
        term_ids: Mapping[int, int],
        depth: int,
        config: BM25Config,
        *,
        among: Sequence[LiveSegment] | None = None,
    ) -> Hits:
        """The best chunks by BM25, for how often the query has each term.

        The statistics (documents with a term, number of chunks, average length) are counted over
        what is alive at this commit, so that scores are those of an index built from that alone.

            idf(t) = ln(1 + (N - df + 0.5) / (df + 0.5))
            score  = sum over t of qtf * idf(t) * tf / (tf + k1 * (1 - b + b * length / average))

        Robertson and Zaragoza 2009, equation 3.15, with Lucene's idf, which is never negative,
        and without the constant factor k1 + 1, which does not change the order.

        Args:
            among: these segments with some of their chunks. The statistics are those of all chunks.
        """
        scores = np.zeros(self._size, np.float32)
        if self._size:
            norms = self._length_norms(config)
            postings = self._live_postings("bm25", tuple(term_ids))
            for count, (positions, tf) in zip(term_ids.values(), postings, strict=True):
                df = len(positions)
                idf = math.log1p((self.chunk_count - df + 0.5) / (df + 0.5))
                frequency = tf.astype(np.float32)
                impacts = frequency / (frequency + norms[positions])
                scores[positions] += np.float32(count * idf) * impacts
        return self._best(scores, depth, among)

    def search_impacts(
        self,
        leg: str,
        term_ids: Sequence[int],
        weights: Sequence[float],
        depth: int,
        *,
        among: Sequence[LiveSegment] | None = None,
    ) -> Hits:
        """The best chunks by the inner product with a sparse query vector.

        Args:
            among: these segments with some of their chunks.
        """
        scores = np.zeros(self._size, np.float32)
        if self._size:
            postings = self._live_postings(leg, term_ids)
            for weight, (positions, impacts) in zip(weights, postings, strict=True):
                scores[positions] += np.float32(weight) * impacts
        return self._best(scores, depth, among)

    def _live_postings(
        self, leg: str, term_ids: Sequence[int]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """For each term the positions of the live chunks that hold it, and their weights.

        The terms come in the order given, so that sums over them do not vary.
        """
        legs = [live.segment.postings[leg] for live in self.segments]
        places = [postings.find(term_ids) for postings in legs]
        for found in zip(*places, strict=True):
            ordinals, weights, starts, counts = [], [], [], []
            for postings, first, place in zip(legs, self._starts, found, strict=True):
                if place is not None:
                    ordinals.append(postings.ordinals[slice(*place)])
                    weights.append(postings.weights[slice(*place)])
                    starts.append(first)
                    counts.append(place[1] - place[0])
            if not ordinals:
                yield np.empty(0, np.int64), np.empty(0, np.float32)
                continue
            positions = np.concatenate(ordinals, dtype=np.int64) + np.repeat(
                np.array(starts, np.int64), counts
            )
            weight = np.concatenate(weights)
            if self._alive is not None:
                alive = self._alive[positions]
                positions, weight = positions[alive], weight[alive]
            yield positions, weight

    def _best(
        self, scores: NDArray[np.float32], depth: int, among: Sequence[LiveSegment] | None
    ) -> Hits:
        """The best positive scores; everything that ties with the last is looked at."""
        if among is not None and len(scores):
            allowed = _alive_all(among)
            if allowed is not None:
                scores *= allowed
        last = np.finfo(np.float32).tiny
        # The best scores of as many blocks are no better than the best scores of all.
        blocks = scores[: len(scores) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
        if depth <= len(blocks):
            last = max(last, np.partition(blocks.max(axis=1), -depth)[-depth])
        positions = np.flatnonzero(scores >= last)
        return Hits.ranked(self._chunk_ids[positions], scores[positions], depth)

    def _length_norms(self, config: BM25Config) -> NDArray[np.float32]:
        """k1 * (1 - b + b * length / average) of each chunk, float32 [size]."""
        key = (config.k1, config.b)
        if key not in self._norms:
            lengths = np.concatenate([live.segment.lengths for live in self.segments])
            total = int((lengths if self._alive is None else lengths[self._alive]).sum())
            average = total / self.chunk_count if total else 1.0
            norms = config.k1 * (1 - config.b + config.b / average * lengths)
            self._norms[key] = norms.astype(np.float32)
        return self._norms[key]

    @cached_property
    def _starts(self) -> list[int]:
        """The position of each segment's first chunk."""
        sizes = [len(live.segment.chunk_ids) for live in self.segments]
        return [0, *np.cumsum(sizes).tolist()][:-1]

    @cached_property
    def _size(self) -> int:
        return sum(len(live.segment.chunk_ids) for live in self.segments)

    @cached_property
    def _chunk_ids(self) -> NDArray[np.int64]:
        empty = np.empty(0, np.int64)
        return np.concatenate([empty, *(live.segment.chunk_ids for live in self.segments)])

    @cached_property
    def _alive(self) -> NDArray[np.bool_] | None:
        return _alive_all(self.segments)


def _alive_all(segments: Sequence[LiveSegment]) -> NDArray[np.bool_] | None:
    """Which chunks of all segments are alive, one segment after the other; None is all."""
    if all(live.alive is None for live in segments):
        return None
    return np.concatenate(
        [
            np.ones(len(live.segment.chunk_ids), np.bool_) if live.alive is None else live.alive
            for live in segments
        ]
    )

"""What an index held at one commit, and search over it. Immutable: threads may share it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.config import BM25Config
from search_engine.index.segment import Segment
from search_engine.types import Hits

Candidates = tuple[NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class LiveSegment:
    """A segment and which of its chunks are alive: bool [n], or None where all are."""

    segment: Segment
    alive: NDArray[np.bool_] | None

    @property
    def chunk_count(self) -> int:
        """How many chunks are alive."""
        everything = len(self.segment.chunk_ids)
        return everything if self.alive is None else int(self.alive.sum())


class Snapshot:
    """The live chunks of one generation at one commit.

    Args:
        commit: its number.
        segments: those alive at it.
        workers: where segments are searched side by side.
    """

    def __init__(
        self, commit: int, segments: Sequence[LiveSegment], workers: ThreadPoolExecutor
    ) -> None:
        self.commit = commit
        self.segments = tuple(segments)
        self._workers = workers

    @cached_property
    def chunk_count(self) -> int:
        """How many chunks are alive."""
        return sum(live.chunk_count for live in self.segments)

    @cached_property
    def _average_length(self) -> float:
        total = sum(
            int(
                (
                    live.segment.lengths if live.alive is None else live.segment.lengths[live.alive]
                ).sum()
            )
            for live in self.segments
        )
        return total / self.chunk_count if total else 1.0

    def search_dense(self, query: NDArray[np.float32], depth: int) -> Hits:
        """The best chunks by the dense index, for a query vector float32 [dim]."""

        def search(live: LiveSegment) -> Candidates:
            return live.segment.dense.search(query, depth, alive=live.alive)

        # FAISS lets go of the interpreter's lock and uses one thread for one query.
        return self._merge(self._workers.map(search, self.segments), depth)

    def search_bm25(self, term_ids: Mapping[int, int], depth: int, config: BM25Config) -> Hits:
        """The best chunks by BM25, for how often the query has each term.

        The statistics (documents with a term, number of chunks, average length) are counted over
        what is alive at this commit, so that scores are those of an index built from that alone.

            idf(t) = ln(1 + (N - df + 0.5) / (df + 0.5))
            score  = sum over t of qtf * idf(t) * tf / (tf + k1 * (1 - b + b * length / average))

        Robertson and Zaragoza 2009, equation 3.15, with Lucene's idf, which is never negative,
        and without the constant factor k1 + 1, which does not change the order.
        """
        places = self._find("bm25", tuple(term_ids))
        weights = []
        for position, count in enumerate(term_ids.values()):
            df = sum(
                _live_count(live, "bm25", found[position])
                for live, found in zip(self.segments, places, strict=True)
            )
            idf = math.log1p((self.chunk_count - df + 0.5) / (df + 0.5))
            weights.append(np.float32(count * idf))

        def impact(live: LiveSegment, ordinals: NDArray[np.int32], tf: NDArray[Any]) -> Any:
            frequency = tf.astype(np.float32)
            lengths = live.segment.lengths[ordinals].astype(np.float32)
            norm = config.k1 * (1 - config.b + config.b / self._average_length * lengths)
            return frequency / (frequency + norm.astype(np.float32))

        return self._accumulate("bm25", places, weights, impact, depth)

    def search_impacts(
        self, leg: str, term_ids: Sequence[int], weights: Sequence[float], depth: int
    ) -> Hits:
        """The best chunks by the inner product with a sparse query vector."""
        return self._accumulate(
            leg,
            self._find(leg, term_ids),
            [np.float32(weight) for weight in weights],
            lambda _live, _ordinals, impacts: impacts,
            depth,
        )

    def _find(self, leg: str, term_ids: Sequence[int]) -> list[list[tuple[int, int] | None]]:
        return [live.segment.postings[leg].find(term_ids) for live in self.segments]

    def _accumulate(
        self,
        leg: str,
        places: Sequence[Sequence[tuple[int, int] | None]],
        weights: Sequence[np.float32],
        impact: Callable[[LiveSegment, NDArray[np.int32], NDArray[Any]], NDArray[np.float32]],
        depth: int,
    ) -> Hits:
        """Term-at-a-time scoring, the terms in the order given, so that sums do not vary."""

        def score(live: LiveSegment, found: Sequence[tuple[int, int] | None]) -> Candidates:
            postings = live.segment.postings[leg]
            scores = np.zeros(len(live.segment.chunk_ids), np.float32)
            for weight, place in zip(weights, found, strict=True):
                if place is not None:
                    part = slice(*place)
                    ordinals = postings.ordinals[part]
                    scores[ordinals] += weight * impact(live, ordinals, postings.weights[part])
            if live.alive is not None:
                scores[~live.alive] = 0
            return _best(scores, depth)

        return self._merge(map(score, self.segments, places), depth)

    def _merge(self, found: Any, depth: int) -> Hits:
        chunk_ids = [np.empty(0, np.int64)]
        scores = [np.empty(0, np.float32)]
        for live, (ordinals, values) in zip(self.segments, found, strict=True):
            chunk_ids.append(live.segment.chunk_ids[ordinals])
            scores.append(values)
        return Hits.ranked(np.concatenate(chunk_ids), np.concatenate(scores), depth)


def _live_count(live: LiveSegment, leg: str, place: tuple[int, int] | None) -> int:
    if place is None:
        return 0
    if live.alive is None:
        return place[1] - place[0]
    return int(live.alive[live.segment.postings[leg].ordinals[slice(*place)]].sum())


def _best(scores: NDArray[np.float32], depth: int) -> Candidates:
    """Ordinals and scores of the best positive scores and of all that tie with the last."""
    if depth < len(scores):
        # The depth-th best score; everything at or above it stays.
        last = np.partition(scores, len(scores) - depth)[len(scores) - depth]
        ordinals = np.flatnonzero(scores >= max(last, np.finfo(np.float32).tiny))
    else:
        ordinals = np.flatnonzero(scores > 0)
    return ordinals, scores[ordinals]

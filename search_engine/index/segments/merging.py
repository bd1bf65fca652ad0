"""Merging segments: which ones, and into what.

A tiered policy, as Lucene's (TieredMergePolicy): segments of about the same size become one of the
next tier, so that a chunk is written once a tier and the number of segments grows with the
logarithm of the number of chunks. Chunks that died are left behind.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_engine.config import Precision
from search_engine.index.dense.vector_storage import StoredVectors, gather_vectors
from search_engine.index.segments.columns import gather_columns
from search_engine.index.segments.new_segment import SegmentContents
from search_engine.index.segments.postings import Postings, gather_postings
from search_engine.index.segments.segment import Segment

# Segments below it are all of one tier: writing so few anew costs little.
SMALLEST_TIER = 1_000
# How many times larger the segments of the next tier are, and how many of a tier are merged.
TIER_FACTOR = 4
TIER_SEGMENTS = 4
SMALLEST_TIER_SEGMENTS = 8
# A segment of which so much is dead is written anew.
DEAD_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class SegmentSize:
    """What the policy looks at: how many chunks a segment holds, and how many of them died."""

    segment_id: str
    chunk_count: int
    dead_count: int


def choose_merge(sizes: Sequence[SegmentSize]) -> list[str]:
    """The segments to merge next; none where every tier is within its bounds."""
    tiers: dict[int, list[SegmentSize]] = defaultdict(list)
    for size in sizes:
        tiers[_tier(size.chunk_count - size.dead_count)].append(size)
    for tier in sorted(tiers):
        if len(tiers[tier]) >= (TIER_SEGMENTS if tier else SMALLEST_TIER_SEGMENTS):
            return [size.segment_id for size in tiers[tier]]
    return [size.segment_id for size in sizes if size.dead_count > DEAD_SHARE * size.chunk_count]


def _tier(chunk_count: int) -> int:
    return max(0, math.floor(math.log(max(chunk_count, 1) / SMALLEST_TIER, TIER_FACTOR)) + 1)


def merged_contents(
    segments: Sequence[Segment],
    alive: Sequence[NDArray[np.bool_] | None],
    *,
    precision: Precision,
    ranges: NDArray[np.float32] | None,
) -> SegmentContents:
    """The living chunks of several segments as one, by ascending id.

    Args:
        alive: of each segment bool [n]; None is all.
        precision, ranges: how vectors are stored; those stored otherwise are coded anew.
    """
    chunk_ids = np.concatenate([segment.chunk_ids for segment in segments])
    kept = np.concatenate(
        [
            np.ones(len(segment.chunk_ids), np.bool_) if mask is None else mask
            for segment, mask in zip(segments, alive, strict=True)
        ]
    )
    picked = np.flatnonzero(kept)
    picked = picked[np.argsort(chunk_ids[picked], kind="stable")]
    legs = segments[0].legs
    vectors: StoredVectors | None = None
    if segments[0].has_dense:
        vectors = gather_vectors(
            [segment.dense.vectors for segment in segments],
            picked,
            precision=precision,
            ranges=ranges,
        )
    postings: Mapping[str, Postings] = {
        leg: gather_postings(
            [segment.postings[leg] for segment in segments],
            [len(segment.chunk_ids) for segment in segments],
            picked,
        )
        for leg in legs
    }
    lengths = None
    if "bm25" in legs:
        lengths = np.concatenate([segment.lengths for segment in segments])[picked]
    columns = gather_columns([segment.columns for segment in segments], picked)
    return SegmentContents(chunk_ids[picked], vectors, postings, lengths, columns)

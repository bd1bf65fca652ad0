"""Groups of near-duplicates among many signatures, by locality-sensitive hashing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import ConfigError
from search_engine.near_duplicates.signature import PERMUTATIONS, VALUE

LOWEST_THRESHOLD = 0.5
# The share of pairs at the threshold that at least one band must find.
_RECALL = 0.995
# Of those that begin a group, how many a bucket keeps: the earliest.
_MOST_BEGINNERS = 50
# Odd, from the digits of the golden ratio; equal values give equal keys whatever it is.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Group:
    """Documents that nearly repeat one of them.

    Attributes:
        document_ids: the one that the others repeat, then the others, in the order given.
        similarities: the estimated Jaccard similarity of each with the first; 1 for the first.
    """

    document_ids: tuple[int, ...]
    similarities: tuple[float, ...]


def find_groups(signatures: Iterable[tuple[int, bytes]], threshold: float = 0.8) -> list[Group]:
    """Groups of documents of which each is at least so similar to the first of its group.

    Documents are taken in the order given. Each joins the earliest of those that begin a group
    and are similar enough; where there is none, it may begin a group itself. So no chain of small
    differences makes a group, and the same documents in the same order make the same groups.

    Two documents are compared, by all 128 values, if they agree in one band of values at least.
    At the threshold 0.8 there are 21 bands of 6 values; with Jaccard similarity s that is so with
    probability 1 - (1 - s^6)^21 (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets",
    chapter 3.4):

        s            0.4    0.5    0.6    0.7    0.8    0.9
        probability  0.083  0.282  0.633  0.928  0.998  1.000

    At other thresholds a band has as many values as leave 0.995 at the threshold.

    Of the documents that begin a group, each value of a band leads to the 50 earliest only, so that
    thousands of pages from one template, alike but not similar enough, are not all compared with
    each other. So a document may miss the one it repeats where all bands that the two share are
    shared by more than 50 others that repeat nothing, and begin a group itself or join a later one.
    Equal signatures always meet.

    Args:
        signatures: the id and the signature of each document.
        threshold: estimated Jaccard similarity, 0.5 to 1.

    Returns:
        The groups of two documents or more: largest first, then by their first document.

    Raises:
        ConfigError: the threshold is too low or too high.
    """
    if not LOWEST_THRESHOLD <= threshold <= 1:
        raise ConfigError(
            f"the threshold of near-duplicates is {threshold:g}; choose one of "
            f"{LOWEST_THRESHOLD:g} to 1"
        )
    document_ids: list[int] = []
    packed = bytearray()
    for document_id, signature in signatures:
        document_ids.append(document_id)
        packed += signature
    values = np.frombuffer(packed, VALUE).reshape(-1, PERMUTATIONS)
    members = _join(values, _shared_buckets(values, _rows(threshold)), threshold)
    groups = [
        Group(
            (document_ids[first], *(document_ids[position] for position, _ in others)),
            (1.0, *(similarity for _, similarity in others)),
        )
        for first, others in sorted(members.items())
    ]
    return sorted(groups, key=lambda group: -len(group.document_ids))


def _rows(threshold: float) -> int:
    """How many values a band has: as many as leave the recall at the threshold."""
    return next(
        rows
        for rows in range(PERMUTATIONS, 0, -1)
        if 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows) >= _RECALL
    )


def _shared_buckets(values: NDArray[np.uint32], rows: int) -> NDArray[np.int32]:
    """The bucket of each document in each band: int32 [bands, n], -1 where no other is in it."""
    bands = PERMUTATIONS // rows
    buckets = np.full((bands, len(values)), -1, np.int32)
    named = 0
    for band in range(bands):
        keys = _band_keys(values[:, band * rows : (band + 1) * rows])
        _, bucket, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        shared = sizes > 1
        names = np.where(shared, np.cumsum(shared) - 1 + named, -1)
        buckets[band] = names[bucket]
        named += int(np.count_nonzero(shared))
    return buckets


def _band_keys(band: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """One number for the values of each document in a band; unequal ones may share it, rarely."""
    keys = np.zeros(len(band), np.uint64)
    for column in band.T:
        keys ^= column
        keys *= _MULTIPLIER
        keys ^= keys >> np.uint64(32)
    return keys


def _join(
    values: NDArray[np.uint32], buckets: NDArray[np.int32], threshold: float
) -> dict[int, list[tuple[int, float]]]:
    """Those who joined each document that begins a group, with their similarities."""
    # Of each bucket, the first that begins a group, and those after it.
    first = np.full(int(buckets.max(initial=-1)) + 1, -1, np.int32)
    further: defaultdict[int, list[int]] = defaultdict(list)
    crowded = np.zeros(len(first), np.bool_)
    # The one that begins a group with a signature: full buckets may not know it.
    equals: dict[bytes, int] = {}
    members: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    for position in np.flatnonzero((buckets >= 0).any(axis=0)).tolist():
        own = buckets[:, position]
        own = own[own >= 0]
        begun = first[own]
        earlier = begun[begun >= 0].tolist()
        for bucket in own[crowded[own]].tolist():
            earlier += further[bucket]
        signature = values[position].tobytes()
        if signature in equals:
            earlier.append(equals[signature])
        if earlier:
            candidates = np.unique(np.array(earlier, np.int32))
            equal = _count_equal(values[candidates], values[position])
            similar = np.flatnonzero(equal >= threshold * PERMUTATIONS)
            if len(similar):
                nearest = similar[0]
                similarity = int(equal[nearest]) / PERMUTATIONS
                members[int(candidates[nearest])].append((position, similarity))
                continue
        equals[signature] = position
        first[own[begun < 0]] = position
        for bucket in own[begun >= 0].tolist():
            if len(further[bucket]) < _MOST_BEGINNERS - 1:
                further[bucket].append(position)
                crowded[bucket] = True
    return members


def _count_equal(candidates: NDArray[np.uint32], signature: NDArray[np.uint32]) -> NDArray[np.intp]:
    """In how many values each candidate agrees with a signature."""
    equal: NDArray[np.intp] = np.count_nonzero(candidates == signature, axis=1)
    return equal

"""Communities: groups of vectors that are all near one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.embeddings.similarity import (
    Vectors,
    compare_prepared,
    pairwise_similarity,
    prepare_vectors,
)
from search_engine.embeddings.top_k import require_positive
from search_engine.errors import ConfigError

# Vectors on each side of a block of scores, and neighbours that are held at a time.
_BLOCK = 2_048
_NEIGHBOURS = 2_000_000
# What rounding in float32 takes from a cosine at most: the same text twice is near at 1.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Community:
    """Vectors that are near a central one.

    Attributes:
        positions: int64 [m], the central vector's first, then by descending cosine with it; of
            equal ones the lower position comes first.
        scores: float32 [m], the cosine of each with the central one.
    """

    positions: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.positions)


def detect_communities(
    vectors: Vectors, *, threshold: float = 0.75, min_size: int = 10
) -> list[Community]:
    """Groups of vectors whose cosine with a central one is at least the threshold.

    As Sentence Transformers' `community_detection`: every vector with enough near ones is a
    candidate; in the order of how many are near (of equal ones by position), each takes those that
    no earlier one took, if it was not taken itself and they are enough. So none is in two groups,
    and the same vectors in the same order make the same groups.

    All pairs are compared once to count, then the candidates again; memory holds the vectors and
    some 150 MB, and more only where one vector has more than two million near ones.

    Args:
        vectors: [n, d].
        threshold: of the cosine, above 0 and at most 1; one that is below it by rounding (1e-6)
            is near.
        min_size: how many a group has at least, the central one among them.

    Returns:
        The communities, the largest first; of equal ones, that of which more were near at first.

    Raises:
        ConfigError: the threshold or `min_size` is out of range, or as for `similarity`.
    """
    require_positive(min_size, "min_size")
    if not 0 < threshold <= 1:
        raise ConfigError(
            f"the threshold of communities is {threshold:g}; choose one above 0 and at most 1"
        )
    least = np.float32(threshold - _ROUNDING)
    counts = _count_neighbours(vectors, least)
    centres = np.flatnonzero(counts >= min_size)
    centres = centres[np.argsort(-counts[centres], kind="stable")]
    taken = np.zeros(len(vectors), np.bool_)
    communities = []
    while len(centres):
        held = np.searchsorted(np.cumsum(counts[centres[:_BLOCK]]), _NEIGHBOURS, side="right")
        batch, centres = np.split(centres, [max(1, int(held))])
        for centre, positions in _neighbours_of(vectors, batch, taken, least):
            free = ~taken[positions]
            if not taken[centre] and np.count_nonzero(free) >= min_size:
                community = _ordered(vectors, centre, positions[free])
                taken[community.positions] = True
                communities.append(community)
        centres = centres[~taken[centres]]
    return sorted(communities, key=len, reverse=True)


def _count_neighbours(vectors: Vectors, least: np.float32) -> NDArray[np.int64]:
    """How many vectors are near each, itself among them: int64 [n]."""
    counts = np.zeros(len(vectors), np.int64)
    for start in range(0, len(vectors), _BLOCK):
        rows = prepare_vectors(vectors[start : start + _BLOCK], "cosine")
        # The cosine is symmetric, so blocks below the diagonal are counted with those above it.
        for column, columns in _unit_blocks(vectors, start):
            near = compare_prepared(rows, columns, name="cosine") >= least
            counts[start : start + len(rows)] += np.count_nonzero(near, axis=1)
            if column > start:
                counts[column : column + len(columns)] += np.count_nonzero(near, axis=0)
    return counts


def _neighbours_of(
    vectors: Vectors, centres: NDArray[np.int64], taken: NDArray[np.bool_], least: np.float32
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each centre with those near it that are not taken yet."""
    rows = prepare_vectors(vectors[centres], "cosine")
    owners, positions = [], []
    for column, columns in _unit_blocks(vectors, 0):
        near = compare_prepared(rows, columns, name="cosine") >= least
        owner, place = np.nonzero(near & ~taken[column : column + len(columns)])
        # Numbers of 16 bits are sorted by their digits.
        owners.append(owner.astype(np.uint16))
        positions.append(place + column)
    own = np.concatenate(owners)
    position = np.concatenate(positions)[np.argsort(own, kind="stable")]
    ends = np.cumsum(np.bincount(own, minlength=len(centres)))
    yield from zip(centres.tolist(), np.split(position, ends[:-1]), strict=True)


def _ordered(vectors: Vectors, centre: int, positions: NDArray[np.int64]) -> Community:
    """The centre and those near it, in order."""
    middle = vectors[centre : centre + 1]
    # A product of matrices may give copies of a vector scores that differ in the last bit.
    scores = np.concatenate(
        [
            pairwise_similarity(rows, np.broadcast_to(middle, rows.shape))
            for rows in (
                vectors[positions[start : start + _BLOCK]]
                for start in range(0, len(positions), _BLOCK)
            )
        ]
    )
    order = np.lexsort((positions, -scores, positions != centre))
    return Community(positions[order], scores[order])


def _unit_blocks(vectors: Vectors, start: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Blocks of the vectors from a position on, of length 1, each with its own position."""
    for column in range(start, len(vectors), _BLOCK):
        yield column, prepare_vectors(vectors[column : column + _BLOCK], "cosine")

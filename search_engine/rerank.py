"""Candidates, read again by a cross-encoder, in a new order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from search_engine.types import Hits

if TYPE_CHECKING:
    from search_engine.encoders.cross_encoder import CrossEncoder


def rerank(encoder: CrossEncoder, query: str, candidates: Hits, *, texts: Sequence[str]) -> Hits:
    """The first candidates in the cross-encoder's order, the others below them in their own.

    Args:
        candidates: best first.
        texts: of the first `len(texts)` candidates, those that are read.

    Returns:
        Hits whose scores are the cross-encoder's; those of the candidates that were not read are
        moved below the lowest of them, keeping their differences.
    """
    if not texts:
        return candidates
    scores = encoder.predict([(query, text) for text in texts])
    read = Hits.ranked(candidates.chunk_ids[: len(texts)], scores, len(texts))
    rest = candidates.scores[len(texts) :]
    if not len(rest):
        return read
    below = np.nextafter(read.scores[-1], np.float32(-np.inf))
    return Hits(
        np.concatenate([read.chunk_ids, candidates.chunk_ids[len(texts) :]]),
        np.concatenate([read.scores, rest - rest[0] + below]),
    )

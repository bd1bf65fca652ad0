"""Several ranked lists become one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from search_engine.config import FusionConfig
from search_engine.types import Hits


def fuse(legs: Mapping[str, Hits], config: FusionConfig, *, has_identifier: bool = False) -> Hits:
    """All chunks that any leg found, by reciprocal rank or by weighted min-max scores.

    - "rrf": sum over legs of weight / (rank_constant + rank) (Cormack, Clarke and Buettcher 2009).
    - "minmax": sum over legs of weight * (score - lowest) / (highest - lowest), lowest and highest
      of that leg's list; a list of equal scores counts 1 throughout. A leg that did not find a
      chunk adds 0 (Bruch, Gai and Ingber 2023, section 2, call it the convex combination of
      min-max normalized scores).

    Args:
        legs: what each leg found, best first; any number of them.
        has_identifier: whether the question has one, so that `identifier_weights` count.
    """
    contribution = _reciprocal_ranks if config.method == "rrf" else _minmax
    chosen = config.identifier_weights if has_identifier else config.weights
    weights = {str(leg): weight for leg, weight in chosen.items()}
    found = [(weights.get(name, 1.0), hits) for name, hits in legs.items() if len(hits)]
    if not found:
        return Hits.empty()
    chunk_ids = np.unique(np.concatenate([hits.chunk_ids for _, hits in found]))
    scores = np.zeros(len(chunk_ids), np.float64)
    for weight, hits in found:
        places = np.searchsorted(chunk_ids, hits.chunk_ids)
        scores[places] += weight * contribution(hits, config)
    return Hits.ranked(chunk_ids, scores.astype(np.float32), len(chunk_ids))


def _reciprocal_ranks(hits: Hits, config: FusionConfig) -> NDArray[np.float64]:
    return 1.0 / (config.rank_constant + np.arange(1, len(hits) + 1, dtype=np.float64))


def _minmax(hits: Hits, config: FusionConfig) -> NDArray[np.float64]:  # noqa: ARG001
    scores = hits.scores.astype(np.float64)
    spread = scores[0] - scores[-1]
    return (scores - scores[-1]) / spread if spread > 0 else np.ones(len(scores))

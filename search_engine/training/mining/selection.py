"""Which of a query's candidates become its negatives, by their scores alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, TypeAlias

import numpy as np

from search_engine.training.mining.settings import MiningSettings

Reason: TypeAlias = Literal[
    "known_positive",
    "query_text",
    "repeated",
    "near_duplicate",
    "margin",
    "false_negative",
    "max_score",
    "min_score",
    "min_rank",
    "not_needed",
]


@dataclass(frozen=True, slots=True)
class Selection:
    """What became of each candidate.

    Attributes:
        chosen: positions of the negatives, best first.
        skipped: by position, why each other candidate is no negative.
    """

    chosen: tuple[int, ...]
    skipped: dict[int, Reason]


def select_negatives(
    scores: Sequence[float],
    settings: MiningSettings,
    *,
    query: str,
    positive_score: float,
    rescored: bool,
) -> Selection:
    """Choose negatives among candidates.

    Args:
        scores: of the candidates, in any order; of equal ones the first is the better.
        query: seeds the draw.
        positive_score: the lowest of the positives'; minus infinity where it is below all scores.
        rescored: the scores are a cross-encoder's: what it puts above the positive, or closer to
            it than the margins allow, is a false negative.
    """
    skipped: dict[int, Reason] = {}
    passing: list[int] = []
    highest = _highest_score(settings, positive_score, rescored=rescored)
    for position in sorted(range(len(scores)), key=lambda each: -scores[each]):
        reason = _reason_against(scores[position], highest, settings, rescored=rescored)
        if reason is None:
            passing.append(position)
        else:
            skipped[position] = reason
    skipped |= dict.fromkeys(passing[: settings.min_rank], "min_rank")
    left = passing[settings.min_rank :]
    if settings.sampling == "random" and len(left) > settings.negatives:
        drawn = _generator(query, settings.seed).choice(
            len(left), size=settings.negatives, replace=False
        )
        chosen = [left[place] for place in np.sort(drawn).tolist()]
    else:
        chosen = left[: settings.negatives]
    skipped |= {position: "not_needed" for position in left if position not in chosen}
    return Selection(tuple(chosen), skipped)


def _highest_score(settings: MiningSettings, positive_score: float, *, rescored: bool) -> float:
    """The highest score that the positive's leaves to a negative."""
    margins = [
        settings.margin,
        None
        if settings.relative_margin is None
        else settings.relative_margin * abs(positive_score)
        if math.isfinite(positive_score)
        else 0.0,
        0.0 if rescored else None,
    ]
    given = [margin for margin in margins if margin is not None]
    return positive_score - max(given) if given else math.inf


def _reason_against(
    score: float, highest: float, settings: MiningSettings, *, rescored: bool
) -> Reason | None:
    if score > highest:
        return "false_negative" if rescored else "margin"
    if settings.max_score is not None and score > settings.max_score:
        return "max_score"
    if settings.min_score is not None and score < settings.min_score:
        return "min_score"
    return None


def _generator(query: str, seed: int) -> np.random.Generator:
    digest = blake2b(query.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.random.default_rng((seed, int.from_bytes(digest, "little")))

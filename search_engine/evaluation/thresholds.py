"""How well scores tell positive pairs from negative ones, at the threshold that does it best."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The highest accuracy that a threshold gives; a score of at least that is positive."""

    accuracy: float
    threshold: float


@dataclass(frozen=True, slots=True)
class F1:
    """The highest F1 that a threshold gives, and what else it gives.

    Attributes:
        f1, precision, recall: of the positive pairs.
        threshold: a score of at least that is positive.
        mcc: Matthews' correlation (1975) of prediction and label; 0 where it is not defined.
    """

    f1: float
    precision: float
    recall: float
    threshold: float
    mcc: float


def find_best_accuracy(scores: NDArray[Any], labels: NDArray[Any]) -> Accuracy:
    """The accuracy at the best threshold, of equal ones the highest.

    The threshold lies between the lowest score that it lets through and the next one below, or
    just above all scores where it is best to let none through.

    Args:
        scores: floats [pairs].
        labels: 0 or 1, [pairs].
    """
    cuts = _Cuts.of(scores, labels)
    negatives = len(labels) - cuts.positives
    right = np.concatenate([[0], cuts.true_positives - cuts.false_positives]) + negatives
    best = int(np.argmax(right))
    threshold = (
        float(np.nextafter(cuts.scores[0], np.array(np.inf, cuts.scores.dtype)))
        if best == 0
        else cuts.threshold(best - 1)
    )
    return Accuracy(float(right[best] / len(labels)), threshold)


def find_best_f1(scores: NDArray[Any], labels: NDArray[Any]) -> F1:
    """F1 at the best threshold, of equal ones the highest; NaN without positive pairs.

    Args:
        scores: floats [pairs].
        labels: 0 or 1, [pairs].
    """
    cuts = _Cuts.of(scores, labels)
    if not cuts.positives:
        return F1(math.nan, math.nan, math.nan, math.nan, math.nan)
    through = cuts.true_positives + cuts.false_positives
    f1 = 2 * cuts.true_positives / (through + cuts.positives)
    best = int(np.argmax(f1))
    true, false = int(cuts.true_positives[best]), int(cuts.false_positives[best])
    return F1(
        float(f1[best]),
        true / (true + false),
        true / cuts.positives,
        cuts.threshold(best),
        _matthews(true, false, positives=cuts.positives, negatives=len(labels) - cuts.positives),
    )


def average_precision(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """The precision at each threshold, weighted with the recall that it adds.

    NaN without positive pairs. Equal scores are let through together. This is the area under the
    curve of precision and recall without interpolation.

    Args:
        scores: floats [pairs].
        labels: 0 or 1, [pairs].
    """
    cuts = _Cuts.of(scores, labels)
    if not cuts.positives:
        return math.nan
    precision = cuts.true_positives / (cuts.true_positives + cuts.false_positives)
    added = np.diff(cuts.true_positives, prepend=0)
    return float(precision @ added / cuts.positives)


@dataclass(frozen=True, slots=True)
class _Cuts:
    """What each different score lets through as a threshold, the highest first.

    Attributes:
        scores: the different scores, descending.
        true_positives, false_positives: int64, how many pairs have at least that score.
        positives: how many pairs are positive.
    """

    scores: NDArray[Any]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    positives: int

    @classmethod
    def of(cls, scores: NDArray[Any], labels: NDArray[Any]) -> _Cuts:
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        true = np.cumsum(labels[order] > 0, dtype=np.int64)[last]
        return cls(ordered[last], true, last + 1 - true, int(true[-1]))

    def threshold(self, position: int) -> float:
        score = self.scores[position]
        if position + 1 == len(self.scores):
            return float(score)
        # In the type of the scores, in which whoever uses the threshold compares.
        below = self.scores[position + 1]
        middle = below + (score - below) / 2
        return float(middle if middle > below else score)


def _matthews(true: int, false: int, *, positives: int, negatives: int) -> float:
    missed, refused = positives - true, negatives - false
    product = (true + false) * positives * negatives * (refused + missed)
    return (true * refused - false * missed) / math.sqrt(product) if product else 0.0

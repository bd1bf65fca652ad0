"""How well an encoder tells pairs that belong together from those that do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from search_engine.embeddings.similarity import SimilarityName
from search_engine.errors import DatasetError
from search_engine.evaluation.correlations import average_ranks
from search_engine.evaluation.evaluators.pairs import check_columns, name_metrics, score_pairs
from search_engine.evaluation.measured import Evaluator, Measured, Statistic, Values
from search_engine.evaluation.thresholds import (
    average_precision,
    find_best_accuracy,
    find_best_f1,
)

_COMPUTE: dict[str, Callable[[Values, Values], float]] = {
    "average_precision": average_precision,
    "accuracy": lambda scores, labels: find_best_accuracy(scores, labels).accuracy,
    "f1": lambda scores, labels: find_best_f1(scores, labels).f1,
    "precision": lambda scores, labels: find_best_f1(scores, labels).precision,
    "recall": lambda scores, labels: find_best_f1(scores, labels).recall,
    "mcc": lambda scores, labels: find_best_f1(scores, labels).mcc,
}


class BinaryClassificationEvaluator(Evaluator):
    """Average precision, and accuracy and F1 at the threshold that is best for each.

    Precision, recall and Matthews' correlation are those at the threshold of F1. The thresholds
    are found on the same pairs, and are reported: a score of at least that much is positive.

    Args:
        first, second: the texts of each pair.
        labels: 1 for a pair that belongs together, 0 for another.
        metric: which score decides; None is average precision, with the first of the similarities.
        similarities: of vectors; none is the encoder's own, and the metrics are called "f1" and
            so on; otherwise "f1_cosine".
        truncate_dim: how many of a vector's first numbers are kept; None is as the encoder has it.

    Raises:
        DatasetError: there are not as many of each, a label is neither 0 nor 1, or all are the
            same.
    """

    def __init__(
        self,
        first: Sequence[str],
        second: Sequence[str],
        labels: Sequence[int],
        *,
        name: str = "classification",
        metric: str | None = None,
        similarities: Sequence[SimilarityName] = (),
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__(name, metrics=name_metrics(tuple(_COMPUTE), similarities), metric=metric)
        check_columns(name, {"first texts": first, "second texts": second, "labels": labels})
        if set(labels) != {0, 1}:
            raise DatasetError(f"{name}: the labels have to be 0 and 1, and both have to be there")
        self._first = tuple(first)
        self._second = tuple(second)
        self._labels = np.asarray(labels, np.float64)
        self._similarities = tuple(similarities)
        self._truncate_dim = truncate_dim

    def measure(self, encoder: Any) -> Measured:
        """The metrics, "accuracy_threshold" and "f1_threshold", and the score of each pair."""
        found = score_pairs(
            encoder,
            self._first,
            self._second,
            similarities=self._similarities,
            truncate_dim=self._truncate_dim,
        )
        scores: dict[str, float] = {}
        for ending, predictions in found.items():
            accuracy = find_best_accuracy(predictions, self._labels)
            f1 = find_best_f1(predictions, self._labels)
            values = {
                "average_precision": average_precision(predictions, self._labels),
                "accuracy": accuracy.accuracy,
                "accuracy_threshold": accuracy.threshold,
                "f1": f1.f1,
                "f1_threshold": f1.threshold,
                "precision": f1.precision,
                "recall": f1.recall,
                "mcc": f1.mcc,
            }
            scores |= {f"{name}{ending}": value for name, value in values.items()}
        named = [(f"{metric}{ending}", metric, ending) for ending in found for metric in _COMPUTE]
        return Measured(
            scores,
            list(zip(self._first, self._second, strict=True)),
            {name: found[ending].astype(np.float64) for name, _, ending in named},
            # Only the order of the scores counts.
            {name: Statistic(_COMPUTE[metric], average_ranks) for name, metric, _ in named},
            self._labels,
        )

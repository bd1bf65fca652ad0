"""How often a cross-encoder of several labels finds the right one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import ConfigError, DatasetError
from search_engine.evaluation.evaluators.pairs import check_columns
from search_engine.evaluation.evaluators.vectors import scores_pairs
from search_engine.evaluation.measured import Evaluator, Measured, Statistic, Values

_METRICS = ("f1_macro", "f1_weighted", "accuracy")


class ClassificationEvaluator(Evaluator):
    """Accuracy, and F1 of each label averaged: as it is, or weighted by the pairs that have it.

    The label with the highest score is the predicted one; of equal ones, the first. Labels that
    are neither there nor predicted count in no average. Accuracy is also F1 over all decisions
    (micro).

    Args:
        pairs: of texts.
        labels: of each pair, its position in `CrossEncoder.labels`.
        metric: which score decides; None is "f1_macro".

    Raises:
        DatasetError: there are not as many of each, or a label is below 0.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        labels: Sequence[int],
        *,
        name: str = "classification",
        metric: str | None = None,
    ) -> None:
        super().__init__(name, metrics=_METRICS, metric=metric)
        check_columns(name, {"pairs": pairs, "labels": labels})
        if min(labels) < 0:
            raise DatasetError(f"{name}: a label is {min(labels)}; they are counted from 0")
        self._pairs = [(first, second) for first, second in pairs]
        self._labels = np.asarray(labels, np.int64)

    def measure(self, encoder: Any) -> Measured:
        """The metrics, and the predicted label of each pair.

        Raises:
            ConfigError: the encoder makes vectors, has one label, or lacks one of the data.
        """
        if not scores_pairs(encoder) or encoder.num_labels < 2:
            raise ConfigError(
                f"{self.name}: a cross-encoder of several labels is needed; "
                "BinaryClassificationEvaluator takes the other encoders"
            )
        if self._labels.max() >= encoder.num_labels:
            raise ConfigError(
                f"{self.name}: there is a label {self._labels.max()}, and {encoder.name} has only "
                f"{encoder.num_labels}, counted from 0"
            )
        predicted = encoder.predict_labels(self._pairs).argmax(axis=1).astype(np.float64)
        gold = self._labels.astype(np.float64)
        right = (predicted == gold).astype(np.float64)
        statistics = {
            "f1_macro": Statistic(_macro, _unchanged),
            "f1_weighted": Statistic(_weighted, _unchanged),
        }
        return Measured(
            {
                **{name: each.compute(predicted, gold) for name, each in statistics.items()},
                "accuracy": float(right.mean()),
            },
            self._pairs,
            {"f1_macro": predicted, "f1_weighted": predicted, "accuracy": right},
            statistics,
            gold,
        )


def average_f1(
    predicted: NDArray[Any], gold: NDArray[Any], *, average: Literal["macro", "weighted"]
) -> float:
    """F1 of each label that is there or predicted, averaged.

    Args:
        predicted, gold: labels [pairs].
        average: "macro" is the mean over labels, "weighted" that over the gold labels of pairs.
    """
    labels = np.union1d(predicted, gold)
    right = np.array([np.count_nonzero((predicted == each) & (gold == each)) for each in labels])
    there = np.array([np.count_nonzero(gold == each) for each in labels])
    guessed = np.array([np.count_nonzero(predicted == each) for each in labels])
    f1 = 2 * right / (there + guessed)
    return float(f1.mean() if average == "macro" else f1 @ there / len(gold))


def _macro(predicted: Values, gold: Values) -> float:
    return average_f1(predicted, gold, average="macro")


def _weighted(predicted: Values, gold: Values) -> float:
    return average_f1(predicted, gold, average="weighted")


def _unchanged(predicted: Values) -> Values:
    return predicted

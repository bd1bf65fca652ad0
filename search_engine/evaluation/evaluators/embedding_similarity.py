"""How well the similarities that an encoder finds follow those that people found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from search_engine.embeddings.similarity import SimilarityName
from search_engine.errors import DatasetError
from search_engine.evaluation.correlations import average_ranks, pearson, spearman, standardize
from search_engine.evaluation.evaluators.pairs import check_columns, name_metrics, score_pairs
from search_engine.evaluation.measured import Evaluator, Measured, Statistic

_STATISTICS = {
    "spearman": Statistic(spearman, average_ranks),
    "pearson": Statistic(pearson, standardize),
}


class EmbeddingSimilarityEvaluator(Evaluator):
    """Spearman's and Pearson's correlation of the scores of pairs with gold scores.

    The score is the similarity of the vectors, or what a cross-encoder predicts. Where all of
    them are equal, the correlation is 0.

    Args:
        first, second: the texts of each pair.
        gold: what people found, on any scale.
        metric: which score decides; None is Spearman's, with the first of the similarities.
        similarities: of vectors; none is the encoder's own, and the metrics are called
            "spearman" and "pearson"; otherwise "spearman_cosine" and so on.
        truncate_dim: how many of a vector's first numbers are kept; None is as the encoder has it.

    Raises:
        DatasetError: there are not as many of each, or all gold scores are equal, or one of them
            is not finite.
    """

    def __init__(
        self,
        first: Sequence[str],
        second: Sequence[str],
        gold: Sequence[float],
        *,
        name: str = "similarity",
        metric: str | None = None,
        similarities: Sequence[SimilarityName] = (),
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__(
            name, metrics=name_metrics(tuple(_STATISTICS), similarities), metric=metric
        )
        check_columns(name, {"first texts": first, "second texts": second, "gold scores": gold})
        self._first = tuple(first)
        self._second = tuple(second)
        self._gold = np.asarray(gold, np.float64)
        if not np.isfinite(self._gold).all() or np.ptp(self._gold) == 0:
            raise DatasetError(
                f"{name}: the gold scores are all equal or not all finite, so that nothing can "
                "follow them"
            )
        self._similarities = tuple(similarities)
        self._truncate_dim = truncate_dim

    def measure(self, encoder: Any) -> Measured:
        """The correlations, and the score of each pair."""
        found = score_pairs(
            encoder,
            self._first,
            self._second,
            similarities=self._similarities,
            truncate_dim=self._truncate_dim,
        )
        predictions = {
            f"{metric}{ending}": scores.astype(np.float64)
            for ending, scores in found.items()
            for metric in _STATISTICS
        }
        statistics = {
            f"{metric}{ending}": statistic
            for ending in found
            for metric, statistic in _STATISTICS.items()
        }
        return Measured(
            {
                name: each.compute(predictions[name], self._gold)
                for name, each in statistics.items()
            },
            list(zip(self._first, self._second, strict=True)),
            predictions,
            statistics,
            self._gold,
        )

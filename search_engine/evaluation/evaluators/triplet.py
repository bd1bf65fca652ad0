"""How often an encoder finds a positive text nearer to the anchor than a negative one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from search_engine.embeddings.similarity import SimilarityName
from search_engine.evaluation.evaluators.pairs import check_columns, name_metrics, score_pairs
from search_engine.evaluation.measured import Evaluator, Measured


class TripletEvaluator(Evaluator):
    """The share of triplets whose positive scores higher than the negative, by more than a margin.

    Args:
        anchors: encoded as queries.
        positives, negatives: encoded as documents.
        metric: which score decides; None is that of the first of the similarities.
        margin: an equal score is wrong even at 0.
        similarities: of vectors; none is the encoder's own, and the metric is called "accuracy";
            otherwise "accuracy_cosine" and so on. Of the two distances, it is minus the distance.
        truncate_dim: how many of a vector's first numbers are kept; None is as the encoder has it.

    Raises:
        DatasetError: there are not as many of each.
    """

    def __init__(
        self,
        anchors: Sequence[str],
        positives: Sequence[str],
        negatives: Sequence[str],
        *,
        name: str = "triplets",
        metric: str | None = None,
        margin: float = 0.0,
        similarities: Sequence[SimilarityName] = (),
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__(name, metrics=name_metrics(("accuracy",), similarities), metric=metric)
        check_columns(name, {"anchors": anchors, "positives": positives, "negatives": negatives})
        self._anchors = tuple(anchors)
        self._positives = tuple(positives)
        self._negatives = tuple(negatives)
        self._margin = margin
        self._similarities = tuple(similarities)
        self._truncate_dim = truncate_dim

    def measure(self, encoder: Any) -> Measured:
        """The accuracy, and 1 or 0 of each triplet."""
        count = len(self._anchors)
        found = score_pairs(
            encoder,
            self._anchors * 2,
            self._positives + self._negatives,
            kinds=("query", "document"),
            similarities=self._similarities,
            truncate_dim=self._truncate_dim,
        )
        right = {
            f"accuracy{ending}": (
                scores[:count] > scores[count:] + np.float32(self._margin)
            ).astype(np.float64)
            for ending, scores in found.items()
        }
        items = list(zip(self._anchors, self._positives, self._negatives, strict=True))
        return Measured.means(items, right)

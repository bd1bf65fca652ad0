"""Triplets: the positive is to be nearer than the negative, by a margin."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from search_engine.errors import TrainingDataError
from search_engine.training.data.formats import Format
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss
from search_engine.training.losses.options import check_above_zero
from search_engine.training.losses.similarity import DistanceName, distance_named


class TripletLoss(Loss):
    """Mean of max(0, distance(a, p) - distance(a, n) + margin) (Schroff et al. 2015).

    Args:
        distance: "euclidean", "cosine" or "manhattan".
        margin: by which the negative is to be farther, in units of the distance.
    """

    formats: ClassVar[tuple[Format, ...]] = ("tuples",)

    def __init__(self, *, distance: DistanceName = "euclidean", margin: float = 5.0) -> None:
        super().__init__()
        distance_named(distance)
        check_above_zero("margin", margin)
        self.distance = distance
        self.margin = margin

    def forward(self, batch: VectorBatch) -> Tensor:
        if len(batch.vectors) != 3:
            raise TrainingDataError(
                "TripletLoss wants (anchor, positive, negative); the data has "
                f"{len(batch.vectors)} columns of texts. Choose three."
            )
        anchors, positives, negatives = batch.vectors
        distance = distance_named(self.distance)
        nearer = distance(anchors, positives) - distance(anchors, negatives)
        return (nearer + self.margin).relu().mean()

"""Pairs that are alike drawn together, others pushed apart."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from search_engine.errors import TrainingDataError
from search_engine.training.data.formats import Format
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss
from search_engine.training.losses.options import check_above_zero
from search_engine.training.losses.similarity import DistanceName, distance_named


class ContrastiveLoss(Loss):
    """Half of distance^2 of pairs of label 1, of max(0, margin - distance)^2 of those of label 0.

    Source: Hadsell, Chopra and LeCun 2006, equation 4, with 1 for pairs that are alike.

    Args:
        distance: "cosine", "euclidean" or "manhattan".
        margin: how far apart is far enough, in units of the distance.
        size_average: whether it is the mean over the pairs, and not their sum.
    """

    formats: ClassVar[tuple[Format, ...]] = ("labelled_pairs",)
    label_range = (0.0, 1.0)

    def __init__(
        self,
        *,
        distance: DistanceName = "cosine",
        margin: float = 0.5,
        size_average: bool = True,
    ) -> None:
        super().__init__()
        distance_named(distance)
        check_above_zero("margin", margin)
        self.distance = distance
        self.margin = margin
        self.size_average = size_average

    def forward(self, batch: VectorBatch) -> Tensor:
        labels = batch.labels_for("ContrastiveLoss", None)
        strange = labels[(labels != 0) & (labels != 1)]
        if len(strange):
            raise TrainingDataError(
                f"ContrastiveLoss wants labels 0 or 1, and one is {strange[0].item():g}; "
                "CosineSimilarityLoss and CoSENTLoss take scores."
            )
        distances = distance_named(self.distance)(*batch.vectors)
        apart = (self.margin - distances).relu()
        losses = (labels * distances**2 + (1 - labels) * apart**2) / 2
        return losses.mean() if self.size_average else losses.sum()

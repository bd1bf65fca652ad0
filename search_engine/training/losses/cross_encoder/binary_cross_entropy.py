"""Whether a document answers a query, pair by pair."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from search_engine.errors import TrainingDataError
from search_engine.training.data.formats import Format
from search_engine.training.losses.cross_encoder.activations import Activation
from search_engine.training.losses.cross_encoder.single_score import SingleScoreLoss
from search_engine.training.losses.inputs import ScoreBatch
from search_engine.training.losses.options import check_above_zero


class BinaryCrossEntropyLoss(SingleScoreLoss):
    """Binary cross-entropy of the sigmoid of a pair's score with its label, from 0 to 1.

    loss = -mean over pairs of (weight * y * log sigmoid(s) + (1 - y) * log(1 - sigmoid(s)))

    Args:
        positive_weight: how often a positive counts, where negatives are many.
        activation: before the sigmoid.
    """

    formats: ClassVar[tuple[Format, ...]] = ("scored_pairs", "labelled_pairs", "lists", "tuples")

    label_range = (0.0, 1.0)

    def __init__(
        self, *, positive_weight: float = 1.0, activation: Activation = "identity"
    ) -> None:
        super().__init__(activation=activation)
        check_above_zero("positive_weight", positive_weight)
        self.positive_weight = positive_weight

    def forward(self, batch: ScoreBatch) -> Tensor:
        labels = self.labels(batch)
        outside = labels[(labels < 0) | (labels > 1)]
        if len(outside):
            raise TrainingDataError(
                f"BinaryCrossEntropyLoss wants labels from 0 to 1, and one is {outside[0].item():g}"
                ". Scale them, or take MSELoss."
            )
        weight = torch.tensor(self.positive_weight, device=labels.device)
        return functional.binary_cross_entropy_with_logits(
            self.scores(batch), labels, pos_weight=weight
        )

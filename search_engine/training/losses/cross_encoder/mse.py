"""The score that a pair of texts is to have."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from search_engine.training.data.formats import Format
from search_engine.training.losses.cross_encoder.activations import Activation
from search_engine.training.losses.cross_encoder.single_score import SingleScoreLoss
from search_engine.training.losses.inputs import ScoreBatch


class MSELoss(SingleScoreLoss):
    """Mean squared difference between a pair's score and its label, for distillation.

    Args:
        activation: what logits go through to be compared with the labels.
    """

    formats: ClassVar[tuple[Format, ...]] = ("scored_pairs", "labelled_pairs", "lists", "tuples")

    def __init__(self, *, activation: Activation = "identity") -> None:
        super().__init__(activation=activation)

    def forward(self, batch: ScoreBatch) -> Tensor:
        return functional.mse_loss(self.scores(batch), self.labels(batch))

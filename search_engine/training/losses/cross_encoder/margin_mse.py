"""By how much a positive is to be better than each negative."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from search_engine.training.data.formats import Format
from search_engine.training.losses.cross_encoder.activations import Activation
from search_engine.training.losses.cross_encoder.single_score import SingleScoreLoss
from search_engine.training.losses.inputs import ScoreBatch


class MarginMSELoss(SingleScoreLoss):
    """Mean squared difference between margins and those of a teacher (Hofstätter et al. 2020).

    loss = mean over negatives n of ((s(q, p) - s(q, n)) - (t(q, p) - t(q, n)))^2

    The data has the teacher's scores of the positive and each negative, or the margins between
    them.

    Args:
        activation: what logits go through before they are compared.
    """

    formats: ClassVar[tuple[Format, ...]] = ("scored_tuples",)

    def __init__(self, *, activation: Activation = "identity") -> None:
        super().__init__(activation=activation)

    def forward(self, batch: ScoreBatch) -> Tensor:
        # A teacher's margin and ours differ by as much as the errors of the two scores do.
        errors = batch.by_query(self.scores(batch) - self.labels(batch), fill=0.0)
        negatives = batch.mask[:, 1:]
        squares = (errors[:, :1] - errors[:, 1:]) ** 2
        return (squares * negatives).sum() / negatives.sum()

"""The ranks that documents are to have."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from search_engine.training.data.formats import Format
from search_engine.training.losses.cross_encoder.activations import Activation
from search_engine.training.losses.cross_encoder.single_score import SingleScoreLoss
from search_engine.training.losses.inputs import ScoreBatch
from search_engine.training.losses.options import check_above_zero


class ADRMSELoss(SingleScoreLoss):
    """Squared error of ranks, discounted by the true ones (Schlatt et al. 2025, Rank-DistiLLM).

    loss = mean over documents i of (r_i - a_i)^2 / log2(1 + r_i), r_i the rank by the labels (the
    mean rank among equal ones) and a_i = 1 + sum over j != i of sigmoid(alpha * (s_j - s_i)) the
    approximate rank by the scores (Qin et al. 2010).

    Args:
        alpha: how steep the approximation of a rank is.
        activation, mini_batch_size: as of `SingleScoreLoss`.
    """

    formats: ClassVar[tuple[Format, ...]] = ("lists", "tuples", "scored_tuples")

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        activation: Activation = "identity",
        mini_batch_size: int | None = None,
    ) -> None:
        super().__init__(activation=activation, mini_batch_size=mini_batch_size)
        check_above_zero("alpha", alpha)
        self.alpha = alpha

    def forward(self, batch: ScoreBatch) -> Tensor:
        mask = batch.mask
        scores = batch.by_query(self.scores(batch), fill=0.0)
        labels = batch.by_query(self.labels(batch), fill=0.0)
        better = labels[:, None, :] - labels[:, :, None]
        ahead = ((better > 0) + 0.5 * (better == 0)) * mask[:, None, :]
        nearly = torch.sigmoid(self.alpha * (scores[:, None, :] - scores[:, :, None]))
        # Each document is half ahead of itself in both sums.
        true = 0.5 + ahead.sum(dim=2)
        approximate = 0.5 + (nearly * mask[:, None, :]).sum(dim=2)
        errors = (true - approximate) ** 2 / torch.log2(1.0 + true)
        return (errors * mask).sum() / mask.sum()

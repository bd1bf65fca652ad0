"""The likelihood of a whole ranking."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from search_engine.training.data.formats import Format
from search_engine.training.losses.cross_encoder.activations import Activation
from search_engine.training.losses.cross_encoder.single_score import SingleScoreLoss
from search_engine.training.losses.inputs import ScoreBatch


class ListMLELoss(SingleScoreLoss):
    """Negative log-likelihood of the true ranking, drawn document by document (Xia et al. 2008).

    loss = -mean over queries of sum over ranks i of (s_i - log(sum over j >= i of exp(s_j)))

    Documents of equal labels count as ranked in the order that the data has them in.

    Args:
        respect_input_order: the documents are in their true order, and labels do not matter; else
            the highest label is first.
        activation, mini_batch_size: as of `SingleScoreLoss`.
    """

    formats: ClassVar[tuple[Format, ...]] = ("lists", "tuples", "scored_tuples")

    def __init__(
        self,
        *,
        respect_input_order: bool = False,
        activation: Activation = "identity",
        mini_batch_size: int | None = None,
    ) -> None:
        super().__init__(activation=activation, mini_batch_size=mini_batch_size)
        self.respect_input_order = respect_input_order

    def forward(self, batch: ScoreBatch) -> Tensor:
        # Not -inf, whose differences are no numbers.
        rows = batch.by_query(self.scores(batch), fill=torch.finfo(torch.float32).min)
        if not self.respect_input_order:
            labels = batch.by_query(self.labels(batch), fill=-torch.inf)
            rows = rows.gather(1, labels.argsort(dim=1, descending=True, stable=True))
        remaining = rows.flip(1).logcumsumexp(dim=1).flip(1)
        logs = (rows - remaining).masked_fill(~batch.mask, 0.0)
        return -(logs * self._weights(batch.mask)).sum(dim=1).mean()

    def _weights(self, mask: Tensor) -> Tensor:
        """How much each rank counts, float32 [queries, most documents]."""
        return mask.float()


class PListMLELoss(ListMLELoss):
    """`ListMLELoss` in which the first ranks count more (Lan et al. 2014).

    Rank i of n counts 2^(n - i) - 1, over the sum of all ranks.

    Args:
        respect_input_order, activation, mini_batch_size: as of `ListMLELoss`.
    """

    def _weights(self, mask: Tensor) -> Tensor:
        count = mask.sum(dim=1, keepdim=True)
        ranks = torch.arange(1, mask.shape[1] + 1, device=mask.device)
        # Over 2^n, which cancels out and would be no number for long lists.
        weights = (torch.pow(2.0, -ranks) - torch.pow(2.0, -count)) * mask
        # One document alone counts 0.
        return weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-10)

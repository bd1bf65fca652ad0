"""All pairs of a query's documents, weighted by what their order means for nDCG."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional

from search_engine.errors import ConfigError
from search_engine.training.data.formats import Format
from search_engine.training.losses.cross_encoder.activations import Activation
from search_engine.training.losses.cross_encoder.single_score import SingleScoreLoss
from search_engine.training.losses.inputs import ScoreBatch
from search_engine.training.losses.options import check_above_zero, check_choice

Weighting: TypeAlias = Literal["none", "ndcg_loss1", "ndcg_loss2", "lambda_rank", "ndcg_loss2++"]


class LambdaLoss(SingleScoreLoss):
    """The LambdaLoss framework (Wang et al. 2018).

    loss = -mean over pairs (i, j) of one query, i more relevant than j, of
    w_ij * log sigmoid(sigma * (s_i - s_j)).

    With ranks i, j by the scores, gains G_i = (2^label_i - 1) / ideal DCG (labels below 0 count as
    0) and discounts D_i = log2(1 + i), the weights w_ij are:

        none          1
        ndcg_loss1    G_i / D_i, over all pairs (i, j), of the same relevance too
        ndcg_loss2    |1 / D_|i-j| - 1 / D_(|i-j|+1)| * |G_i - G_j|
        lambda_rank   |1 / D_i - 1 / D_j| * |G_i - G_j|
        ndcg_loss2++  mu * ndcg_loss2 + lambda_rank

    Args:
        weighting: the scheme.
        k: only pairs of which one is among the first so many count, as in nDCG@k; None is all.
        sigma: the steepness of the sigmoid.
        mu: of ndcg_loss2++.
        reduction_log: the logarithm, "binary" as in the paper, or "natural".
        activation, mini_batch_size: as of `SingleScoreLoss`.
    """

    formats: ClassVar[tuple[Format, ...]] = ("lists", "tuples")

    def __init__(
        self,
        *,
        weighting: Weighting = "ndcg_loss2++",
        k: int | None = None,
        sigma: float = 1.0,
        mu: float = 10.0,
        reduction_log: Literal["binary", "natural"] = "binary",
        activation: Activation = "identity",
        mini_batch_size: int | None = None,
    ) -> None:
        super().__init__(activation=activation, mini_batch_size=mini_batch_size)
        check_choice("weighting", weighting, get_args(Weighting))
        if k is not None and k < 1:
            raise ConfigError(f"k is {k}, and must be at least 1.")
        check_above_zero("sigma", sigma)
        check_above_zero("mu", mu)
        check_choice("reduction_log", reduction_log, ("binary", "natural"))
        self.weighting = weighting
        self.k = k
        self.sigma = sigma
        self.mu = mu
        self.reduction_log = reduction_log

    def forward(self, batch: ScoreBatch) -> Tensor:
        scores, mask = self.scores(batch), batch.mask
        # What is no document sorts last, so that the mask is right for what is sorted too.
        order = batch.by_query(scores.detach(), fill=-torch.inf).argsort(
            dim=1, descending=True, stable=True
        )
        ranked = batch.by_query(scores, fill=0.0).gather(1, order)
        labels = batch.by_query(self.labels(batch), fill=0.0).gather(1, order)
        chosen = mask[:, :, None] & mask[:, None, :]
        if self.weighting != "ndcg_loss1":
            chosen = chosen & (labels[:, :, None] > labels[:, None, :])
        if self.k is not None:
            first = torch.arange(mask.shape[1], device=mask.device) < self.k
            chosen = chosen & (first[:, None] | first)
        logs = functional.logsigmoid(self.sigma * (ranked[:, :, None] - ranked[:, None, :]))
        if self.reduction_log == "binary":
            logs = logs / math.log(2)
        # Without any pair the loss is 0, and has a gradient all the same.
        return -(self._weights(labels) * logs * chosen).sum() / chosen.sum().clamp(min=1)

    def _weights(self, labels: Tensor) -> Tensor:
        """The weight of each pair, [queries, n or 1, n or 1].

        Args:
            labels: in the order of the scores, [queries, n]; 0 where there is no document.
        """
        if self.weighting == "none":
            return torch.ones(1, 1, 1, device=labels.device)
        gains = torch.pow(2.0, labels.clamp(min=0.0)) - 1.0
        ranks = torch.arange(1, labels.shape[1] + 1, device=labels.device)
        ideal = (gains.sort(dim=1, descending=True).values / _discount(ranks))[:, : self.k]
        # Where nothing is relevant, all gains are 0.
        gains = gains / ideal.sum(dim=1, keepdim=True).clamp(min=1e-10)
        if self.weighting == "ndcg_loss1":
            return (gains / _discount(ranks))[:, :, None]
        # Of one document with itself the gain is 0, and its distance does not matter.
        distances = (ranks[:, None] - ranks).abs().clamp(min=1)
        between = (1.0 / _discount(distances) - 1.0 / _discount(distances + 1)).abs()
        swapped = (1.0 / _discount(ranks)[:, None] - 1.0 / _discount(ranks)).abs()
        weights = {
            "ndcg_loss2": between,
            "lambda_rank": swapped,
            "ndcg_loss2++": self.mu * between + swapped,
        }[self.weighting]
        return weights * (gains[:, :, None] - gains[:, None, :]).abs()


def _discount(ranks: Tensor) -> Tensor:
    """What the gain at each rank is divided by, ranks from 1."""
    return torch.log2(1.0 + ranks)

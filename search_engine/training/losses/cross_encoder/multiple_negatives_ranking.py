"""In-batch negatives: a query's positive among its negatives and documents of other queries."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from search_engine.errors import ConfigError
from search_engine.training.data.formats import Format
from search_engine.training.losses.cross_encoder.activations import Activation
from search_engine.training.losses.cross_encoder.single_score import SingleScoreLoss
from search_engine.training.losses.inputs import ScoreBatch
from search_engine.training.losses.options import check_above_zero


class MultipleNegativesRankingLoss(SingleScoreLoss):
    """Cross-entropy of each query's positive against its negatives (InfoNCE).

    loss = -mean over queries of log(exp(scale * s_positive) / sum over documents of exp(scale * s))

    Negatives are those of the data, and documents of other examples of the batch, drawn at random
    where the batch is put together; a text that is the query's own positive is never drawn.

    Args:
        num_negatives: drawn for each query; None is all documents of the batch.
        scale: what scores are multiplied with, the inverse of the temperature.
        activation: what logits go through before that.
    """

    formats: ClassVar[tuple[Format, ...]] = ("tuples", "pairs")

    def __init__(
        self,
        *,
        num_negatives: int | None = 4,
        scale: float = 10.0,
        activation: Activation = "sigmoid",
    ) -> None:
        super().__init__(activation=activation)
        if num_negatives is not None and num_negatives < 0:
            raise ConfigError(f"num_negatives is {num_negatives}, and must be at least 0.")
        check_above_zero("scale", scale)
        self.num_negatives = num_negatives
        self.scale = scale

    def forward(self, batch: ScoreBatch) -> Tensor:
        rows = batch.by_query(self.scores(batch) * self.scale, fill=-torch.inf)
        return (rows.logsumexp(dim=1) - rows[:, 0]).mean()


class CachedMultipleNegativesRankingLoss(MultipleNegativesRankingLoss):
    """The same value and gradient in the memory of a few pairs (GradCache; Gao et al. 2021).

    Args:
        mini_batch_size: so many pairs are encoded at a time, twice.
        others: as of `MultipleNegativesRankingLoss`.
    """

    def __init__(
        self,
        *,
        mini_batch_size: int = 32,
        num_negatives: int | None = 4,
        scale: float = 10.0,
        activation: Activation = "sigmoid",
    ) -> None:
        super().__init__(num_negatives=num_negatives, scale=scale, activation=activation)
        if mini_batch_size < 1:
            raise ConfigError(f"mini_batch_size is {mini_batch_size}, and must be at least 1.")
        self.mini_batch_size = mini_batch_size

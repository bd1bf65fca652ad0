"""All documents of a query as one distribution, which is to be that of their scores."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from search_engine.training.data.formats import Format
from search_engine.training.losses.cross_encoder.single_score import SingleScoreLoss
from search_engine.training.losses.inputs import ScoreBatch


class ListNetLoss(SingleScoreLoss):
    """Cross-entropy of the softmax of a query's scores with that of its labels (Cao et al. 2007).

    loss = -mean over queries of sum over documents of softmax(labels) * log softmax(scores): the
    probability of each document to come first, equation 6 of the paper with k = 1.

    Args:
        activation, mini_batch_size: as of `SingleScoreLoss`.
    """

    formats: ClassVar[tuple[Format, ...]] = ("lists", "tuples", "scored_tuples")

    def forward(self, batch: ScoreBatch) -> Tensor:
        rows = batch.by_query(self.scores(batch), fill=-torch.inf)
        targets = batch.by_query(self.labels(batch), fill=-torch.inf).softmax(dim=1)
        # Where there is no document both are as nothing, and 0 * -inf would be no number.
        logs = rows.log_softmax(dim=1).masked_fill(~batch.mask, 0.0)
        return -(targets * logs).sum(dim=1).mean()

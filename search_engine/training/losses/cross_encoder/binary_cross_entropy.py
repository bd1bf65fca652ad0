"""Whether a document answers a query, pair by pair."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from search_engine.errors import TrainingDataError
from search_engine.training.data.formats import Format
from search_engine.training.losses.inputs import ScoreBatch
from search_engine.training.losses.loss import Loss


class BinaryCrossEntropyLoss(Loss):
    """Binary cross-entropy of the sigmoid of a pair's logit with its label.

    Args:
        positive_weight: how often a positive counts, where negatives are many.
    """

    formats: ClassVar[tuple[Format, ...]] = ("labelled_pairs", "scored_pairs", "lists", "tuples")

    def __init__(self, *, positive_weight: float = 1.0) -> None:
        super().__init__()
        self.positive_weight = positive_weight

    def forward(self, batch: ScoreBatch) -> Tensor:
        if batch.labels is None:
            raise TrainingDataError("BinaryCrossEntropyLoss wants a label for each pair.")
        weight = torch.tensor(self.positive_weight, device=batch.logits.device)
        return functional.binary_cross_entropy_with_logits(
            batch.logits[:, 0], batch.labels.float(), pos_weight=weight
        )

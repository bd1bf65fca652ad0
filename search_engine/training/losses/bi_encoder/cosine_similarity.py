"""Pairs whose cosine is to be their score."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from search_engine.training.data.formats import Format
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss
from search_engine.training.losses.similarity import pairwise_cosine


class CosineSimilarityLoss(Loss):
    """Mean squared error of a pair's cosine from its score (Reimers and Gurevych 2019)."""

    formats: ClassVar[tuple[Format, ...]] = ("scored_pairs",)
    label_range = (-1.0, 1.0)

    def forward(self, batch: VectorBatch) -> Tensor:
        labels = batch.labels_for("CosineSimilarityLoss", None)
        return functional.mse_loss(pairwise_cosine(*batch.vectors), labels.float())

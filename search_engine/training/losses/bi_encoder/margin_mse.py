"""Distillation of margins: how much better the positive is, as a teacher has it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from search_engine.training.data.formats import Format
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss
from search_engine.training.losses.similarity import SimilarityName, similarity_named


class MarginMSELoss(Loss):
    """Squared error of s(q, d+) - s(q, d-) from the teacher's margin (Hofstätter et al. 2020).

    Labels are the teacher's margins, [b] or one for each negative [b, n], or its scores of positive
    and negatives [b, n + 1].

    Args:
        similarity: "dot" or "cosine".
    """

    formats: ClassVar[tuple[Format, ...]] = ("scored_tuples",)

    def __init__(self, *, similarity: SimilarityName = "dot") -> None:
        super().__init__()
        similarity_named(similarity)
        self.similarity = similarity

    def forward(self, batch: VectorBatch) -> Tensor:
        similar = similarity_named(self.similarity, pairwise=True)
        queries, positives, *negatives = batch.vectors
        count = len(negatives)
        single = (None,) if count == 1 else ()
        labels = batch.labels_for("MarginMSELoss", *single, count, count + 1)
        if labels.ndim == 1:
            labels = labels[:, None]
        if labels.shape[1] == count + 1:
            labels = labels[:, :1] - labels[:, 1:]
        others = torch.stack([similar(queries, negative) for negative in negatives], dim=1)
        return functional.mse_loss(similar(queries, positives)[:, None] - others, labels)

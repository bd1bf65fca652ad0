"""Pairs in the order of their scores."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from search_engine.training.data.formats import Format
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss
from search_engine.training.losses.options import check_above_zero
from search_engine.training.losses.similarity import SimilarityName, similarity_named


class CoSENTLoss(Loss):
    """Pairs of a higher score are to be more similar (Huang et al. 2024).

    loss = log(1 + sum over pairs i, j with score_i > score_j of exp(scale * (s_j - s_i))).

    Args:
        scale: what similarities are multiplied with, the inverse of the temperature.
        similarity: "cosine" or "dot".
    """

    formats: ClassVar[tuple[Format, ...]] = ("scored_pairs",)

    def __init__(self, *, scale: float = 20.0, similarity: SimilarityName = "cosine") -> None:
        super().__init__()
        check_above_zero("scale", scale)
        similarity_named(similarity)
        self.scale = scale
        self.similarity = similarity

    def forward(self, batch: VectorBatch) -> Tensor:
        labels = batch.labels_for("CoSENTLoss", None)
        scores = similarity_named(self.similarity, pairwise=True)(*batch.vectors) * self.scale
        wrong = scores[None, :] - scores[:, None]
        wrong = wrong[labels[:, None] > labels[None, :]]
        # The 1 in the logarithm is exp(0).
        return torch.logsumexp(functional.pad(wrong, (1, 0)), dim=0)

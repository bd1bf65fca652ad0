"""Distillation of vectors: a teacher's own, also for translations of what it read."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from search_engine.training.data.formats import Format
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss


class MSELoss(Loss):
    """Mean squared error of each text's vector from the example's (Reimers and Gurevych 2020).

    All texts of an example are to have the same vector, as a text and its translations.
    """

    formats: ClassVar[tuple[Format, ...]] = ("vectors",)

    def forward(self, batch: VectorBatch) -> Tensor:
        vectors = torch.stack(batch.vectors)
        labels = batch.labels_for("MSELoss", vectors.shape[-1])
        return functional.mse_loss(vectors, labels.expand_as(vectors))

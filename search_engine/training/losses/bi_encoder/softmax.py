"""Classes of pairs, such as entailment and contradiction."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.data.formats import Format
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss


class SoftmaxLoss(Loss):
    """Cross-entropy of a linear classifier of (u, v, |u - v|, u * v) (Reimers and Gurevych 2019).

    The classifier is trained with the encoder, and is no part of it.

    Args:
        dimension: of the encoder's vectors.
        num_labels: how many classes there are; labels are from 0.
        vectors: whether the classifier sees u and v.
        difference: whether it sees |u - v|.
        product: whether it sees u * v.
    """

    formats: ClassVar[tuple[Format, ...]] = ("labelled_pairs",)

    def __init__(
        self,
        dimension: int,
        num_labels: int,
        *,
        vectors: bool = True,
        difference: bool = True,
        product: bool = False,
    ) -> None:
        super().__init__()
        if dimension < 1:
            raise ConfigError(f"dimension is {dimension}, and must be that of the encoder.")
        if num_labels < 2:
            raise ConfigError(f"num_labels is {num_labels}, and must be at least 2.")
        self.label_range = (0, num_labels - 1)
        parts = 2 * vectors + difference + product
        if not parts:
            raise ConfigError("the classifier sees nothing; take vectors, difference or product.")
        self.dimension = dimension
        self.num_labels = num_labels
        self.vectors = vectors
        self.difference = difference
        self.product = product
        self.classifier = nn.Linear(parts * dimension, num_labels)

    def forward(self, batch: VectorBatch) -> Tensor:
        labels = batch.labels_for("SoftmaxLoss", None)
        u, v = batch.vectors
        if u.shape[1] != self.dimension:
            raise ConfigError(
                f"SoftmaxLoss was made for vectors of {self.dimension} dimensions, and these have "
                f"{u.shape[1]}; MatryoshkaLoss cannot wrap it."
            )
        if labels.min() < 0 or labels.max() >= self.num_labels:
            raise TrainingDataError(
                f"SoftmaxLoss wants labels from 0 to {self.num_labels - 1}, and these go from "
                f"{labels.min().item()} to {labels.max().item()}."
            )
        seen = [u, v] if self.vectors else []
        if self.difference:
            seen.append((u - v).abs())
        if self.product:
            seen.append(u * v)
        return functional.cross_entropy(self.classifier(torch.cat(seen, dim=1)), labels)

"""Vectors that are good when cut short, too."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from search_engine.errors import ConfigError
from search_engine.training.data.formats import Format
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss, total


class MatryoshkaLoss(Loss):
    """Weighted sum of a loss of the first numbers of each vector (Kusupati et al. 2022, eq. 1).

    What is cut is scaled to length 1. Vectors among the labels are cut too, and not scaled.

    Args:
        loss: of the vectors; its `mini_batch_size` holds here, and vectors are computed once.
        dimensions: how many numbers are kept, each time; all of them should be among these.
        weights: of each of the dimensions; none is 1 each.
        dims_per_step: so many of the dimensions, drawn at random for each step; None is all.
    """

    formats: ClassVar[tuple[Format, ...]] = ()

    def __init__(
        self,
        loss: Loss,
        dimensions: Sequence[int],
        *,
        weights: Sequence[float] = (),
        dims_per_step: int | None = None,
    ) -> None:
        super().__init__()
        if not dimensions or min(dimensions) < 1:
            raise ConfigError(f"dimensions are {list(dimensions)}, and must be some of at least 1.")
        if weights and len(weights) != len(dimensions):
            raise ConfigError(
                f"there are {len(weights)} weights for {len(dimensions)} dimensions; give one each."
            )
        if len(set(dimensions)) < len(dimensions) or not all(each > 0 for each in weights):
            raise ConfigError(
                f"dimensions are {list(dimensions)} and weights {list(weights)}; give each "
                "dimension once, and weights above 0."
            )
        if dims_per_step is not None and not 1 <= dims_per_step <= len(dimensions):
            raise ConfigError(
                f"dims_per_step is {dims_per_step}, and must be from 1 to the number of "
                f"dimensions, {len(dimensions)}."
            )
        self.loss = loss
        self.formats = loss.formats  # type: ignore[misc]
        self.mini_batch_size = loss.mini_batch_size
        self.label_range = loss.label_range
        self.dimensions = tuple(dimensions)
        self.weights = tuple(weights) or (1.0,) * len(dimensions)
        self.dims_per_step = dims_per_step

    def forward(self, batch: VectorBatch) -> Tensor:
        width = batch.vectors[0].shape[1]
        if max(self.dimensions) > width:
            raise ConfigError(
                f"dimensions of MatryoshkaLoss go up to {max(self.dimensions)}, and the encoder's "
                f"vectors have {width}."
            )
        chosen = list(range(len(self.dimensions)))
        if self.dims_per_step is not None:
            # By the progress alone, so that all processes draw the same, and a resumed run again.
            chosen = random.Random(batch.progress).sample(chosen, self.dims_per_step)
        return torch.stack(
            [self.weights[each] * self._cut_loss(batch, self.dimensions[each]) for each in chosen]
        ).sum()

    def _cut_loss(self, batch: VectorBatch, dimension: int) -> Tensor:
        cut = tuple(functional.normalize(each[:, :dimension], dim=-1) for each in batch.vectors)
        labels = batch.labels
        if labels is not None and "vectors" in self.formats:
            labels = labels[:, :dimension]
        return total(self.loss(replace(batch, vectors=cut, labels=labels)))

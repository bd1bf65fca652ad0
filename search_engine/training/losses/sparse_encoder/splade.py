"""A loss of sparse vectors, and what their terms cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss
from search_engine.training.losses.sparse_encoder.regularizers import (
    REGULARIZERS,
    Regularizer,
    check_idf,
    regularize,
)

WeightSchedule: TypeAlias = Literal["quadratic", "linear"]
_EXPONENTS: Mapping[WeightSchedule, int] = {"quadratic": 2, "linear": 1}


class SpladeLoss(Loss):
    """Another loss, with a price on the terms that it is made small with (Formal et al. 2021).

    loss + document_weight * R(documents) + query_weight * R(queries), the weights rising from 0 at
    the start of the training, when terms that are no use yet must not be lost.

    Args:
        loss: of the vectors; a loss of this package's `sparse_encoder` compares by dot product.
        document_weight: of the price of all columns but the first; 3e-5 to 3e-3 are usual.
        query_weight: of the price of the first column; None or 0 leaves queries free, as a table
            of weights does that makes them.
        regularizer: the price of the vectors, as `regularize` has it.
        query_regularizer: that of queries where it is another one, such as "l1" (Lassance and
            Clinchant 2022).
        document_threshold, query_threshold: vectors of no more terms than that are free.
        symmetric: all columns are documents, the first too.
        idf: of each term of the vocabulary, for "idf_flops"; above 0.
        schedule: how the weights rise.
        warmup: share of the training in which they do; 0 has them whole from the start.

    Raises:
        ConfigError: the options contradict each other, or are not what they can be.
    """

    def __init__(
        self,
        loss: Loss,
        document_weight: float,
        *,
        query_weight: float | None = None,
        regularizer: Regularizer = "flops",
        query_regularizer: Regularizer | None = None,
        document_threshold: int | None = None,
        query_threshold: int | None = None,
        symmetric: bool = False,
        idf: Sequence[float] | Tensor | None = None,
        schedule: WeightSchedule = "quadratic",
        warmup: float = 1 / 3,
    ) -> None:
        super().__init__()
        self.document_weight = document_weight
        self.query_weight = query_weight
        self.regularizer = regularizer
        self.query_regularizer = query_regularizer or regularizer
        self.document_threshold = document_threshold
        self.query_threshold = query_threshold
        self.symmetric = symmetric
        self.schedule = schedule
        self.warmup = warmup
        self._check()
        self.loss = loss
        self.formats = loss.formats  # type: ignore[misc]
        self.mini_batch_size = loss.mini_batch_size
        self.label_range = loss.label_range
        table = None if idf is None else torch.as_tensor(idf, dtype=torch.float32)
        if table is not None:
            check_idf(table)
        elif "idf_flops" in (self.regularizer, self.query_regularizer):
            raise ConfigError("regularizer 'idf_flops' needs the idf of each term; give it as idf.")
        self._idf: Tensor | None
        self.register_buffer("_idf", table, persistent=False)

    def share_at(self, progress: float) -> float:
        """Which share of the weights counts when that share of the training is done."""
        if progress >= self.warmup:
            return 1.0
        return float((progress / self.warmup) ** _EXPONENTS[self.schedule])

    def forward(self, batch: VectorBatch) -> dict[str, Tensor]:
        value = self.loss(batch)
        parts = {"base_loss": value} if isinstance(value, Tensor) else dict(value)
        share = self.share_at(batch.progress)
        documents = batch.vectors if self.symmetric else batch.vectors[1:]
        if not documents:
            raise TrainingDataError(
                "SpladeLoss finds no documents, since the first column is the queries'; give "
                "another column, or symmetric=True."
            )
        cost = regularize(
            torch.cat(documents),
            self.regularizer,
            threshold=self.document_threshold,
            idf=self._idf,
        )
        parts["document_regularizer_loss"] = share * self.document_weight * cost
        if self.query_weight:
            cost = regularize(
                batch.vectors[0],
                self.query_regularizer,
                threshold=self.query_threshold,
                idf=self._idf,
            )
            parts["query_regularizer_loss"] = share * self.query_weight * cost
        return parts

    def _check(self) -> None:
        for name, weight in (
            ("document_weight", self.document_weight),
            ("query_weight", self.query_weight),
        ):
            if weight is not None and not 0 <= weight < float("inf"):
                raise ConfigError(f"{name} is {weight}, and must be 0 or more.")
        if self.symmetric and self.query_weight:
            raise ConfigError("with symmetric there are no queries; leave query_weight out.")
        if not 0 <= self.warmup <= 1:
            raise ConfigError(f"warmup is {self.warmup}, and must be from 0 to 1.")
        if self.schedule not in _EXPONENTS:
            raise ConfigError(
                f"schedule is {self.schedule!r}, and not one of {', '.join(_EXPONENTS)}."
            )
        for regularizer in (self.regularizer, self.query_regularizer):
            if regularizer not in REGULARIZERS:
                raise ConfigError(
                    f"regularizer is {regularizer!r}, and not one of {', '.join(REGULARIZERS)}."
                )

"""Distillation of rankings: the teacher's distribution over the documents of a query."""

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


class DistillKLDivLoss(Loss):
    """Divergence of the student's softmax over documents from the teacher's (Lin et al. 2020).

    loss = S^2 * mean over queries of KL(softmax(teacher / T) || softmax(student / S)). Labels are
    the teacher's scores of positive and negatives, [b, n + 1].

    Args:
        temperature: S and T; the higher, the more the worse documents count.
        student_temperature, teacher_temperature: S or T alone, where the scores of the two are on
            other scales; None is `temperature`.
        similarity: "dot" or "cosine".
    """

    formats: ClassVar[tuple[Format, ...]] = ("scored_tuples",)

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        student_temperature: float | None = None,
        teacher_temperature: float | None = None,
        similarity: SimilarityName = "dot",
    ) -> None:
        super().__init__()
        self.student_temperature = (
            temperature if student_temperature is None else student_temperature
        )
        self.teacher_temperature = (
            temperature if teacher_temperature is None else teacher_temperature
        )
        check_above_zero("student_temperature", self.student_temperature)
        check_above_zero("teacher_temperature", self.teacher_temperature)
        similarity_named(similarity)
        self.similarity = similarity

    def forward(self, batch: VectorBatch) -> Tensor:
        similar = similarity_named(self.similarity, pairwise=True)
        queries, *documents = batch.vectors
        teacher = batch.labels_for("DistillKLDivLoss", len(documents)) / self.teacher_temperature
        student = torch.stack([similar(queries, each) for each in documents], dim=1)
        divergence = functional.kl_div(
            (student / self.student_temperature).log_softmax(dim=1),
            teacher.log_softmax(dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return divergence * self.student_temperature**2

"""The distillation of rankings with what sparse vectors are usually distilled with."""

from __future__ import annotations

from search_engine.training.losses.bi_encoder import distill_kl_div as dense
from search_engine.training.losses.similarity import SimilarityName


class DistillKLDivLoss(dense.DistillKLDivLoss):
    """Divergence of the student's softmax over documents from the teacher's, by dot product.

    Args:
        temperature: below 2, vectors may lose all their terms beside a price on them.
        student_temperature, teacher_temperature, similarity: as of the bi-encoder's.
    """

    def __init__(
        self,
        *,
        temperature: float = 2.0,
        student_temperature: float | None = None,
        teacher_temperature: float | None = None,
        similarity: SimilarityName = "dot",
    ) -> None:
        super().__init__(
            temperature=temperature,
            student_temperature=student_temperature,
            teacher_temperature=teacher_temperature,
            similarity=similarity,
        )

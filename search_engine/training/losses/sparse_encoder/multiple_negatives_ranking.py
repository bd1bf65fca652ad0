"""The ranking loss with what sparse vectors are usually compared by."""

from __future__ import annotations

from typing import Literal

from search_engine.training.losses.bi_encoder import multiple_negatives_ranking as dense
from search_engine.training.losses.similarity import SimilarityName


class MultipleNegativesRankingLoss(dense.MultipleNegativesRankingLoss):
    """Cross-entropy of each query's positive against all other texts, by dot product.

    Args:
        all: as of the bi-encoder's loss of that name.
    """

    def __init__(
        self,
        *,
        scale: float = 1.0,
        similarity: SimilarityName = "dot",
        directions: tuple[dense.Direction, ...] = ("query_to_doc",),
        partition: Literal["joint", "per_direction"] = "joint",
        hardness: dense.Hardness | None = None,
        hardness_strength: float = 0.0,
        gather: bool = False,
    ) -> None:
        super().__init__(
            scale=scale,
            similarity=similarity,
            directions=directions,
            partition=partition,
            hardness=hardness,
            hardness_strength=hardness_strength,
            gather=gather,
        )


class CachedMultipleNegativesRankingLoss(dense.CachedMultipleNegativesRankingLoss):
    """The same value and gradient in the memory of a few texts (GradCache; Gao et al. 2021).

    Args:
        mini_batch_size: so many texts are encoded at a time, twice.
        others: as of `MultipleNegativesRankingLoss`.
    """

    def __init__(
        self,
        *,
        mini_batch_size: int = 32,
        scale: float = 1.0,
        similarity: SimilarityName = "dot",
        directions: tuple[dense.Direction, ...] = ("query_to_doc",),
        partition: Literal["joint", "per_direction"] = "joint",
        hardness: dense.Hardness | None = None,
        hardness_strength: float = 0.0,
        gather: bool = False,
    ) -> None:
        super().__init__(
            mini_batch_size=mini_batch_size,
            scale=scale,
            similarity=similarity,
            directions=directions,
            partition=partition,
            hardness=hardness,
            hardness_strength=hardness_strength,
            gather=gather,
        )

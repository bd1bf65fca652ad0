"""In-batch negatives: each anchor is to find its own positive among all texts of the batch."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from search_engine.errors import ConfigError
from search_engine.training.data.formats import Format
from search_engine.training.losses.gathering import gather
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss
from search_engine.training.losses.options import check_above_zero, check_choice
from search_engine.training.losses.similarity import SimilarityName, similarity_named

Direction: TypeAlias = Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]
Partition: TypeAlias = Literal["joint", "per_direction"]
Hardness: TypeAlias = Literal["in_batch_negatives", "hard_negatives", "all_negatives"]


class MultipleNegativesRankingLoss(Loss):
    """Cross-entropy of each anchor's positive against all other texts (van den Oord et al. 2018).

    loss = -mean over i of (scale * s(q_i, d_i) - log Z_i), Z_i the sum of exp(scale * s) over the
    pairs of each direction: InfoNCE; with all directions, the loss of GTE (Li et al. 2023).

    Args:
        scale: what similarities are multiplied with, the inverse of the temperature.
        similarity: "cosine" or "dot".
        directions: which similarities the sum is over, "query_to_doc" among them.
        partition: "joint" is one sum over all directions, "per_direction" the mean of one
            cross-entropy for each.
        hardness: which negatives weigh more the more similar they are (Lan et al. 2025), by
            exp(hardness_strength * s): those of other queries, those given with the query, or both;
            None is no weighing.
        hardness_strength: above 0 with `hardness`.
        gather: whether the negatives are those of all processes.
    """

    formats: ClassVar[tuple[Format, ...]] = ("tuples", "pairs")

    def __init__(
        self,
        *,
        scale: float = 20.0,
        similarity: SimilarityName = "cosine",
        directions: tuple[Direction, ...] = ("query_to_doc",),
        partition: Partition = "joint",
        hardness: Hardness | None = None,
        hardness_strength: float = 0.0,
        gather: bool = False,
    ) -> None:
        super().__init__()
        check_above_zero("scale", scale)
        similarity_named(similarity)
        for direction in directions:
            check_choice("direction", direction, get_args(Direction))
        if "query_to_doc" not in directions:
            raise ConfigError("directions must have 'query_to_doc', which holds the positives.")
        check_choice("partition", partition, get_args(Partition))
        if partition == "per_direction" and {"query_to_query", "doc_to_doc"} & set(directions):
            raise ConfigError(
                "partition 'per_direction' needs the positive in each direction, which "
                "'query_to_query' and 'doc_to_doc' do not have; use 'joint'."
            )
        if hardness is not None:
            check_choice("hardness", hardness, get_args(Hardness))
            check_above_zero("hardness_strength", hardness_strength)
        elif hardness_strength != 0:
            raise ConfigError(
                f"hardness_strength is {hardness_strength}, and without hardness nothing weighs "
                "by it; give both or none."
            )
        self.scale = scale
        self.similarity = similarity
        self.directions = tuple(directions)
        self.partition = partition
        self.hardness = hardness
        self.hardness_strength = hardness_strength
        self.gather = gather

    def forward(self, batch: VectorBatch) -> Tensor:
        similar = similarity_named(self.similarity)
        queries, *documents = batch.vectors
        local, offset = len(queries), 0
        if self.gather:
            queries, offset = gather(queries)
            documents = [gather(column)[0] for column in documents]
        rows = torch.arange(offset, offset + local, device=queries.device)
        own = torch.arange(len(queries), device=queries.device) == rows[:, None]
        own_texts = own.repeat(1, len(documents))
        texts = torch.cat(documents)
        scores = {"query_to_doc": similar(queries[rows], texts)}
        if "query_to_query" in self.directions:
            scores["query_to_query"] = similar(queries[rows], queries).masked_fill(own, -torch.inf)
        if "doc_to_query" in self.directions:
            scores["doc_to_query"] = similar(documents[0][rows], queries)
        if "doc_to_doc" in self.directions:
            between = similar(documents[0][rows], texts)
            scores["doc_to_doc"] = between.masked_fill(own_texts, -torch.inf)
        hard = scores["query_to_doc"].detach() * self.hardness_strength
        scores = {name: each * self.scale for name, each in scores.items()}
        if self.hardness is not None:
            scores["query_to_doc"] = scores["query_to_doc"] + hard * self._weighed(own, own_texts)
        positives = scores["query_to_doc"][:, : len(queries)][own]
        if self.partition == "joint":
            partition = torch.cat(list(scores.values()), dim=1).logsumexp(dim=1)
        else:
            partition = torch.stack([each.logsumexp(dim=1) for each in scores.values()]).mean(dim=0)
        return (partition - positives).mean()

    def _weighed(self, own: Tensor, own_texts: Tensor) -> Tensor:
        """Which of the texts weigh by their hardness, bool as wide as the texts."""
        if self.hardness == "in_batch_negatives":
            return ~own_texts
        given = own_texts.clone()
        given[:, : own.shape[1]] = False
        if self.hardness == "hard_negatives":
            return given
        return ~own_texts | given


class CachedMultipleNegativesRankingLoss(MultipleNegativesRankingLoss):
    """The same value and gradient in the memory of a few texts (GradCache; Gao et al. 2021).

    Args:
        mini_batch_size: so many texts are encoded at a time, twice.
        others: as of `MultipleNegativesRankingLoss`.
    """

    def __init__(
        self,
        *,
        mini_batch_size: int = 32,
        scale: float = 20.0,
        similarity: SimilarityName = "cosine",
        directions: tuple[Direction, ...] = ("query_to_doc",),
        partition: Partition = "joint",
        hardness: Hardness | None = None,
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
        if mini_batch_size < 1:
            raise ConfigError(f"mini_batch_size is {mini_batch_size}, and must be at least 1.")
        self.mini_batch_size = mini_batch_size

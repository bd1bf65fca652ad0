"""What a loss is given: the vectors, or the scores, of a batch, and its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from search_engine.errors import TrainingDataError


@dataclass(frozen=True, slots=True)
class VectorBatch:
    """What an encoder of vectors made of a batch, and what it is to be compared with.

    Attributes:
        vectors: of each column, float32 [b, dimension]; the anchors or queries are the first.
        labels: float32 or int64 [b], [b, n] where an example has several; None without labels.
        texts: of each column, as they are in the data.
        progress: which share of the training is done, from 0 to 1.
    """

    vectors: tuple[Tensor, ...]
    labels: Tensor | None = None
    texts: tuple[Sequence[str], ...] = ()
    progress: float = 1.0

    def labels_for(self, loss: str, *widths: int | None) -> Tensor:
        """The labels, which are what a loss takes.

        Args:
            loss: its name, for messages.
            widths: how many labels an example may have; None is a single number, [b].

        Raises:
            TrainingDataError: there are no labels, or not as many.
        """
        if self.labels is None:
            raise TrainingDataError(f"{loss} wants labels, and the data has none.")
        examples = len(self.vectors[0])
        shapes = [(examples,) if width is None else (examples, width) for width in widths]
        if tuple(self.labels.shape) not in shapes:
            raise TrainingDataError(
                f"{loss} wants labels of shape {' or '.join(str(list(each)) for each in shapes)} "
                f"for {examples} examples of {len(self.vectors)} texts; these are "
                f"{list(self.labels.shape)}."
            )
        return self.labels


@dataclass(frozen=True, slots=True)
class ScoreBatch:
    """What a cross-encoder made of a batch, and what it is to be compared with.

    Attributes:
        logits: of each pair of texts, float32 [pairs, labels of the model], before any activation;
            the pairs of one query follow one another.
        documents: how many of the pairs each query has.
        labels: of each pair, float32 or int64 [pairs], or the probability of each class, float32
            [pairs, classes]; None without labels.
        progress: which share of the training is done, from 0 to 1.
    """

    logits: Tensor
    documents: tuple[int, ...]
    labels: Tensor | None = None
    progress: float = 1.0

    def by_query(self, values: Tensor, *, fill: float) -> Tensor:
        """Values of the pairs [pairs] as one row a query, [queries, most documents].

        Args:
            fill: what stands where a query has fewer documents.
        """
        rows = torch.full(
            (len(self.documents), max(self.documents)), fill, dtype=values.dtype,
            device=values.device,
        )  # fmt: skip
        return rows.masked_scatter(self.mask, values)

    @property
    def mask(self) -> Tensor:
        """Where a query has a document, bool [queries, most documents]."""
        counts = torch.tensor(self.documents, device=self.logits.device)
        return torch.arange(max(self.documents), device=counts.device) < counts[:, None]

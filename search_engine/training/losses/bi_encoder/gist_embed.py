"""In-batch negatives, without those that a guide finds too good."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional

from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.errors import TrainingDataError
from search_engine.training.data.formats import Format
from search_engine.training.losses.gathering import gather as gather_all
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss
from search_engine.training.losses.options import check_above_zero, check_choice
from search_engine.training.losses.similarity import cosine

if TYPE_CHECKING:
    from search_engine.encoders.bi_encoder import BiEncoder

MarginStrategy: TypeAlias = Literal["absolute", "relative"]


class GISTEmbedLoss(Loss):
    """Cross-entropy of each anchor's positive and the negatives a guide allows (Solatorio 2024).

    A text is no negative where the guide finds it more similar than g, its own similarity of
    anchor and positive, by the margin: above g - margin, or (relative) g - |g| * margin.

    Args:
        guide: a trained bi-encoder, or its name or folder, which is opened on the device of the
            training with the first batch. It reads anchors as queries and all others as documents,
            with prompts of its own.
        offline: never ask the network for the guide.
        temperature: what cosines are divided by.
        margin_strategy: "absolute" or "relative".
        margin: the more, the fewer negatives.
        contrast_anchors: whether other anchors are negatives of an anchor.
        contrast_positives: whether other positives are to be unlike a positive.
        gather: whether the negatives are those of all processes.

    Raises:
        ModelNotFoundError: there is no guide of that name.
    """

    formats: ClassVar[tuple[Format, ...]] = ("tuples", "pairs")

    def __init__(
        self,
        guide: str | Path | BiEncoder,
        *,
        offline: bool = False,
        temperature: float = 0.01,
        margin_strategy: MarginStrategy = "absolute",
        margin: float = 0.0,
        contrast_anchors: bool = True,
        contrast_positives: bool = True,
        gather: bool = False,
    ) -> None:
        super().__init__()
        check_above_zero("temperature", temperature)
        check_choice("margin_strategy", margin_strategy, get_args(MarginStrategy))
        self._opened: BiEncoder | None = None
        if isinstance(guide, str | Path):
            find_checkpoint(str(guide), offline=offline)
            self.guide = str(guide)
        else:
            self.guide, self._opened = guide.name, guide
        self._last: tuple[object, list[Tensor]] | None = None
        self.temperature = temperature
        self.margin_strategy = margin_strategy
        self.margin = margin
        self.contrast_anchors = contrast_anchors
        self.contrast_positives = contrast_positives
        self.gather = gather

    def forward(self, batch: VectorBatch) -> Tensor:
        vectors, guides = list(batch.vectors), self._encode(batch)
        local, offset = len(vectors[0]), 0
        if self.gather:
            vectors[0], offset = gather_all(vectors[0])
            vectors[1:] = [gather_all(each)[0] for each in vectors[1:]]
            guides = [gather_all(each)[0] for each in guides]
        mine = slice(offset, offset + local)
        own = torch.eye(len(vectors[0]), dtype=torch.bool, device=vectors[0].device)[mine]
        guided = cosine(guides[0][mine], guides[1])
        positive = guided[own][:, None]
        allowed = self.margin * (positive.abs() if self.margin_strategy == "relative" else 1)
        limit = positive - allowed
        false = (guided > limit) & ~own
        scores = [cosine(vectors[0][mine], vectors[1]).masked_fill(false, -torch.inf)]
        for rows, columns in self._contrasts(len(vectors)):
            false = cosine(guides[rows][mine], guides[columns]) > limit
            if rows == columns:
                # A text is no negative of itself, also where the guide takes the positive for it.
                false = false | own
            similar = cosine(vectors[rows][mine], vectors[columns])
            scores.append(similar.masked_fill(false, -torch.inf))
        targets = torch.arange(offset, offset + local, device=own.device)
        return functional.cross_entropy(torch.cat(scores, dim=1) / self.temperature, targets)

    def _contrasts(self, columns: int) -> list[tuple[int, int]]:
        """Which columns have negatives for which, beside positives for anchors."""
        within = [(0, 0)] * self.contrast_anchors + [(1, 1)] * self.contrast_positives
        return within + [(0, column) for column in range(2, columns)]

    def _encode(self, batch: VectorBatch) -> list[Tensor]:
        """The guide's vectors of each column, kept for the next cut of MatryoshkaLoss."""
        if len(batch.texts) != len(batch.vectors):
            raise TrainingDataError("GISTEmbedLoss wants the texts of each column in the batch.")
        if self._last is None or self._last[0] is not batch.texts:
            guide = self._open(batch.vectors[0].device)
            encoded = [
                guide.encode(texts, kind="document" if column else "query")
                for column, texts in enumerate(batch.texts)
            ]
            tensors = [torch.from_numpy(each).to(batch.vectors[0].device) for each in encoded]
            self._last = (batch.texts, tensors)
        return self._last[1]

    def _open(self, device: torch.device) -> BiEncoder:
        if self._opened is None:
            from search_engine.encoders.bi_encoder import BiEncoder

            self._opened = BiEncoder(
                # Found before, so that it is in the cache by now.
                self.guide,
                device=None if device.type == "cpu" else str(device),
                offline=True,
            )
        return self._opened

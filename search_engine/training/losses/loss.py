"""What a loss is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from search_engine.training.data.formats import Format

LossValue: TypeAlias = Tensor | Mapping[str, Tensor]


class Loss(nn.Module):
    """A number to be made small, computed from what an encoder makes of a batch.

    A loss of your own is a subclass with `formats` and a `forward` that takes a `VectorBatch` (of a
    bi-encoder or a sparse encoder) or a `ScoreBatch` (of a cross-encoder) and returns a scalar, or
    several by name, which are added up and logged one by one. Parameters of its own are trained
    with the encoder.

    Attributes:
        formats: the formats of data that it takes, the best first.
        mini_batch_size: so many texts are encoded at a time, and again for the gradient, so that
            memory holds the activations of no more (GradCache; Gao et al. 2021); None is all at
            once.
        num_negatives: of a cross-encoder, how many documents of other examples of the batch each
            query is paired with too; None is all.
        label_range: the least and the greatest label or score that an example may have, which is
            looked at when the data is read; None is any.
    """

    formats: ClassVar[tuple[Format, ...]] = ()
    mini_batch_size: int | None = None
    num_negatives: int | None = 0
    label_range: tuple[float, float] | None = None

    def check_labels(self, num_labels: int) -> None:
        """Refuse a cross-encoder that it cannot train; without more, it takes any.

        Args:
            num_labels: logits that the model gives each pair.

        Raises:
            ConfigError: they are too few or too many.
        """

    def settings(self) -> dict[str, Any]:
        """The options that it was made with, for the model card; of losses in it, theirs too."""
        options = {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and isinstance(value, int | float | str | tuple | None)
            and name not in ("training", "formats", "label_range")
        }  # fmt: skip
        inner = {
            name: {"name": type(module).__name__} | module.settings()
            for name, module in self.named_children()
            if isinstance(module, Loss)
        }
        return inner | options


def total(value: LossValue) -> Tensor:
    """What a loss returned as one scalar: itself, or the sum of its parts."""
    return value if isinstance(value, Tensor) else torch.stack(list(value.values())).sum()

"""What a loss is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

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
    """

    formats: ClassVar[tuple[Format, ...]]
    mini_batch_size: int | None = None

    def settings(self) -> dict[str, Any]:
        """The options that it was made with, for the model card."""
        return {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and isinstance(value, int | float | str | tuple | None)
            and name != "training"
        }  # fmt: skip

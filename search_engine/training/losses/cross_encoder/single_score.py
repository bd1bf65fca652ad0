"""What the losses of rerankers share: one score for each pair of texts."""

from __future__ import annotations

from torch import Tensor

from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.losses.cross_encoder.activations import (
    Activation,
    activate,
    check_activation,
)
from search_engine.training.losses.inputs import ScoreBatch
from search_engine.training.losses.loss import Loss


class SingleScoreLoss(Loss):
    """A loss of a cross-encoder with one label, whose logit is the score of a pair.

    Args:
        activation: what logits go through before they are compared.
        mini_batch_size: so many pairs are encoded at a time, and again for the gradient, so that
            memory holds the activations of no more; None is all at once.
    """

    def __init__(
        self, *, activation: Activation = "identity", mini_batch_size: int | None = None
    ) -> None:
        super().__init__()
        check_activation(activation)
        if mini_batch_size is not None and mini_batch_size < 1:
            raise ConfigError(f"mini_batch_size is {mini_batch_size}, and must be at least 1.")
        self.activation = activation
        self.mini_batch_size = mini_batch_size

    def check_labels(self, num_labels: int) -> None:
        """Refuse a model that it cannot train.

        Args:
            num_labels: logits that the model gives each pair.

        Raises:
            ConfigError: they are several.
        """
        if num_labels != 1:
            raise ConfigError(
                f"{type(self).__name__} compares one score for each pair, and the model has "
                f"{num_labels} labels. Take a model with one, or CrossEntropyLoss."
            )

    def scores(self, batch: ScoreBatch) -> Tensor:
        """The score of each pair, float32 [pairs].

        Raises:
            ConfigError: the model has several labels.
        """
        self.check_labels(batch.logits.shape[1])
        return activate(batch.logits[:, 0], self.activation)

    def labels(self, batch: ScoreBatch) -> Tensor:
        """What each pair is worth, float32 [pairs].

        Raises:
            TrainingDataError: the batch has no labels.
        """
        if batch.labels is None:
            raise TrainingDataError(
                f"{type(self).__name__} wants a label for each pair, and the batch has none."
            )
        return batch.labels.float()

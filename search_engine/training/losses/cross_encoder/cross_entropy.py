"""Which of several classes a pair of texts is of, such as entailment or contradiction."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.data.formats import Format
from search_engine.training.losses.cross_encoder.activations import (
    Activation,
    activate,
    check_activation,
)
from search_engine.training.losses.inputs import ScoreBatch
from search_engine.training.losses.loss import Loss


class CrossEntropyLoss(Loss):
    """Cross-entropy of the softmax of a pair's logits with its class.

    The label of a pair is the number of its class, from 0, or a vector of the probability of each.

    Args:
        class_weights: how often each class counts, as it is rare or frequent; none is all alike.
        label_smoothing: which share of the probability is spread evenly over all classes (Szegedy
            et al. 2016).
        activation: what logits go through before the softmax.
    """

    formats: ClassVar[tuple[Format, ...]] = ("labelled_pairs", "vectors")

    def __init__(
        self,
        *,
        class_weights: tuple[float, ...] = (),
        label_smoothing: float = 0.0,
        activation: Activation = "identity",
    ) -> None:
        super().__init__()
        check_activation(activation)
        if not 0 <= label_smoothing <= 1:
            raise ConfigError(f"label_smoothing is {label_smoothing}, and must be from 0 to 1.")
        self.class_weights = tuple(class_weights)
        self.label_smoothing = label_smoothing
        self.activation = activation

    def check_labels(self, num_labels: int) -> None:
        """Refuse a model that it cannot train.

        Args:
            num_labels: logits that the model gives each pair.

        Raises:
            ConfigError: it has one only, or not as many as there are class weights.
        """
        if num_labels < 2:
            raise ConfigError(
                "CrossEntropyLoss chooses among several labels, and the model has one. Take a "
                "model with as many as there are classes, or BinaryCrossEntropyLoss."
            )
        if self.class_weights and len(self.class_weights) != num_labels:
            raise ConfigError(
                f"there are {len(self.class_weights)} class_weights, and the model has {num_labels}"
                " labels; give one for each."
            )

    def forward(self, batch: ScoreBatch) -> Tensor:
        logits = activate(batch.logits, self.activation)
        self.check_labels(logits.shape[1])
        return functional.cross_entropy(
            logits,
            self._targets(batch),
            weight=logits.new_tensor(self.class_weights) if self.class_weights else None,
            label_smoothing=self.label_smoothing,
        )

    def _targets(self, batch: ScoreBatch) -> Tensor:
        """The classes int64 [pairs], or their probabilities float32 [pairs, classes]."""
        labels, count = batch.labels, batch.logits.shape[1]
        if labels is None:
            raise TrainingDataError(
                "CrossEntropyLoss wants a class for each pair, and the batch has none."
            )
        if labels.ndim == 2:
            if labels.shape[1] != count:
                raise TrainingDataError(
                    f"an example has {labels.shape[1]} probabilities, and the model has {count} "
                    "labels; give one for each."
                )
            return labels.float()
        outside = labels[(labels < 0) | (labels >= count)]
        if len(outside):
            raise TrainingDataError(
                f"CrossEntropyLoss wants classes from 0 to {count - 1}, as the model has {count} "
                f"labels, and one is {outside[0].item():g}. Number them anew, or take a model with "
                "more labels."
            )
        return labels.long()

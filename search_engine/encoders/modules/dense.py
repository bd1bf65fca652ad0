"""A linear layer, after the pooling or on each token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from search_engine.encoders.checkpoints.weights import load_weights
from search_engine.encoders.modules.activations import activation_named
from search_engine.encoders.modules.module import Features
from search_engine.errors import CheckpointError

_READS = ("sentence_embedding", "token_embeddings")
_WRITES = (*_READS, "scores")


class Dense(nn.Module):
    """A linear layer with an activation, and optionally the input added to the output.

    Args:
        in_features, out_features: widths.
        bias: whether a learned shift is added.
        activation: of the layer's output.
        residual: whether the input is added, through another layer where the widths differ.
        reads, writes: the features that are its input and its output: "sentence_embedding",
            "token_embeddings", and as output also "scores".
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool,
        activation: nn.Module,
        residual: bool,
        reads: str = "sentence_embedding",
        writes: str = "sentence_embedding",
    ) -> None:
        super().__init__()
        self._reads = reads
        self._writes = writes
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        self.activation_function = activation
        self.width = out_features
        self._adds_input = residual
        if residual and in_features != out_features:
            self.residual = nn.Linear(in_features, out_features, bias=False)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> Dense:
        """Read config and weights; without an activation in the config it is Tanh."""
        reads = str(config.get("module_input_name", "sentence_embedding"))
        writes = str(config.get("module_output_name") or reads)
        if reads not in _READS or writes not in _WRITES:
            raise CheckpointError(
                f"{folder / 'config.json'}: a Dense module from {reads!r} to {writes!r} is not "
                f"supported, only from {' or '.join(_READS)} to one of {', '.join(_WRITES)}."
            )
        dense = cls(
            int(config.get("in_features", width)),
            int(config["out_features"]),
            bias=bool(config.get("bias", True)),
            activation=activation_named(
                config.get("activation_function"),
                default=nn.Tanh(),
                source=str(folder / "config.json"),
            ),
            residual=bool(config.get("use_residual", False)),
            reads=reads,
            writes=writes,
        )
        load_weights(dense, folder)
        return dense

    def config(self) -> dict[str, Any]:
        """With the activation as a dotted path."""
        kind = type(self.activation_function)
        settings: dict[str, Any] = {
            "in_features": self.linear.in_features,
            "out_features": self.linear.out_features,
            "bias": self.linear.bias is not None,
            "activation_function": f"{kind.__module__}.{kind.__qualname__}",
        }
        # Only where they are not the default: older versions do not know the keys.
        if (self._reads, self._writes) != ("sentence_embedding", "sentence_embedding"):
            settings |= {"module_input_name": self._reads, "module_output_name": self._writes}
        return settings | ({"use_residual": True} if self._adds_input else {})

    def forward(self, features: Features) -> Features:
        vector = features[self._reads]
        projected = self.activation_function(self.linear(vector))
        if self._adds_input:
            projected = projected + (self.residual(vector) if hasattr(self, "residual") else vector)
        features[self._writes] = projected
        return features

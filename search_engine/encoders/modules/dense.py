"""A linear layer after the pooling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from search_engine.encoders.checkpoints.weights import load_weights
from search_engine.encoders.modules.activations import activation_named
from search_engine.encoders.modules.module import Features
from search_engine.errors import CheckpointError


class Dense(nn.Module):
    """A linear layer with an activation, and optionally the input added to the output."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool, activation: nn.Module,
                 residual: bool) -> None:  # fmt: skip
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        self.activation_function = activation
        self.width = out_features
        self._adds_input = residual
        if residual and in_features != out_features:
            self.residual = nn.Linear(in_features, out_features, bias=False)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> Dense:
        """Read config and weights; without an activation in the config it is Tanh."""
        key = config.get("module_input_name", "sentence_embedding")
        if key != "sentence_embedding" or (config.get("module_output_name") or key) != key:
            raise CheckpointError(
                f"{folder / 'config.json'}: a Dense module on {key!r} is not supported, only on "
                "the sentence embedding."
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
        )
        load_weights(dense, folder)
        return dense

    def config(self) -> dict[str, Any]:
        """With the activation as a dotted path."""
        kind = type(self.activation_function)
        settings = {
            "in_features": self.linear.in_features,
            "out_features": self.linear.out_features,
            "bias": self.linear.bias is not None,
            "activation_function": f"{kind.__module__}.{kind.__qualname__}",
        }
        return settings | ({"use_residual": True} if self._adds_input else {})

    def forward(self, features: Features) -> Features:
        vector = features["sentence_embedding"]
        projected = self.activation_function(self.linear(vector))
        if self._adds_input:
            projected = projected + (self.residual(vector) if hasattr(self, "residual") else vector)
        features["sentence_embedding"] = projected
        return features

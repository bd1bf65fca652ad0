"""The transformer's layers to one vector per token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from search_engine.encoders.checkpoints.weights import load_weights
from search_engine.encoders.modules.module import Features
from search_engine.errors import CheckpointError


class WeightedLayerPooling(nn.Module):
    """Each token's vectors in the upper layers to their weighted mean.

    The transformer gives all its layers where its config.json has "output_hidden_states" true;
    without that the token vectors stay those of the last layer, as in Sentence Transformers.
    """

    def __init__(self, width: int, *, num_hidden_layers: int, layer_start: int) -> None:
        super().__init__()
        self.width = width
        self._num_hidden_layers = num_hidden_layers
        self._layer_start = layer_start
        # The embeddings below the first layer count as a layer.
        self.layer_weights = nn.Parameter(torch.ones(num_hidden_layers + 1 - layer_start))

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> WeightedLayerPooling:
        """Read the weight of each layer; not given, there are 12, used from the fourth."""
        module = cls(
            width,
            num_hidden_layers=int(config.get("num_hidden_layers", 12)),
            layer_start=int(config.get("layer_start", 4)),
        )
        load_weights(module, folder)
        return module

    def config(self) -> dict[str, Any]:
        """Width and layers, in the old spelling, which every version reads."""
        return {
            "word_embedding_dimension": self.width,
            "layer_start": self._layer_start,
            "num_hidden_layers": self._num_hidden_layers,
        }

    def forward(self, features: Features) -> Features:
        if "all_layer_embeddings" not in features:
            return features
        layers = features["all_layer_embeddings"][self._layer_start :]
        if len(layers) != len(self.layer_weights):
            raise CheckpointError(
                f"the checkpoint weighs {len(self.layer_weights)} layers from layer "
                f"{self._layer_start} on, and its transformer has {len(layers)} there; open it "
                "with all its layers."
            )
        weighted = (self.layer_weights.view(-1, 1, 1, 1) * layers).sum(dim=0)
        features["token_embeddings"] = weighted / self.layer_weights.sum()
        return features

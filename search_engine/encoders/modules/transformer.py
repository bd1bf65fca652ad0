"""The transformer of a checkpoint: token ids to token vectors, logits or scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.modules.module import Features


class Transformer(nn.Module):
    """Token ids to token vectors, to vocabulary logits, or to a score, as the task asks.

    Where config.json has "output_hidden_states" true, the vectors of all layers are kept too, from
    the embeddings up: "all_layer_embeddings", [layers + 1, batch, tokens, width].
    """

    _FIELDS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "feature-extraction": ("last_hidden_state", "token_embeddings"),
        "fill-mask": ("logits", "token_embeddings"),
        "sequence-classification": ("logits", "scores"),
    }

    def __init__(self, model: nn.Module, *, layout: Layout) -> None:
        super().__init__()
        self.model = model
        self.width = int(model.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.labels = int(model.config.num_labels)  # type: ignore[union-attr, arg-type]
        self._arguments = [name for name in layout.input_names if name != "pooling_mask"]
        self._field, self._output = self._FIELDS[layout.trunk_task]
        self._keeps_layers = bool(layout.trunk_config.get("output_hidden_states"))

    def forward(self, features: Features) -> Features:
        outputs = self.model(**{name: features[name] for name in self._arguments})
        # Whatever follows is cheap and computed in float32.
        features[self._output] = getattr(outputs, self._field).float()
        if self._keeps_layers:
            features["all_layer_embeddings"] = torch.stack(outputs.hidden_states).float()
        return features

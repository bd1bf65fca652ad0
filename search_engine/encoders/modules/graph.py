"""A checkpoint as one torch module: token ids in, one array out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.checkpoints.weights import load_pretrained
from search_engine.encoders.modules.activations import activation_named
from search_engine.encoders.modules.module import Features, Module
from search_engine.encoders.modules.transformer import Transformer
from search_engine.errors import CheckpointError, UnknownNameError
from search_engine.registry import Registry

_HERE = "search_engine.encoders.modules"
MODULES: Registry[type[Module]] = Registry(
    "encoder module",
    group="search_engine.modules",
    builtin={
        "Pooling": f"{_HERE}.pooling:Pooling",
        "Dense": f"{_HERE}.dense:Dense",
        "Normalize": f"{_HERE}.normalize:Normalize",
        "SpladePooling": f"{_HERE}.splade_pooling:SpladePooling",
    },
)


class Graph(nn.Module):
    """All modules of a checkpoint, in float32 and in evaluation mode.

    Attributes:
        trunk: the transformer.
        heads: what follows it.
        input_names: the arrays that `forward` takes, in order.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.input_names = layout.input_names
        self.trunk = Transformer(load_pretrained(layout), layout=layout)
        self.heads = nn.ModuleList(_load_heads(layout, self.trunk.width))
        if layout.task == "score":
            self.activation = activation_named(
                layout.activation,
                default=self._score_activation(),
                source=f"{layout.folder / 'config_sentence_transformers.json'} (or config.json)",
            )
        self._output = "scores" if layout.task == "score" else "sentence_embedding"
        self.eval()

    def _score_activation(self) -> nn.Module:
        config: Any = self.trunk.model.config
        return nn.Sigmoid() if config.num_labels == 1 else nn.Identity()

    def forward(self, *inputs: Tensor) -> Tensor:
        """Outputs of a batch, float32 [b, width].

        Args:
            inputs: int64 [b, tokens] each, in the order of `input_names`.
        """
        features: Features = dict(zip(self.input_names, inputs, strict=True))
        features = self.trunk(features)
        for head in self.heads:
            features = head(features)
        if self._output == "scores":
            features = {"scores": self.activation(features["scores"])}
        return features[self._output]


def load_graph(layout: Layout) -> Graph:
    """Read all weights of a checkpoint.

    Raises:
        CheckpointError: a module type that we lack, or weights that cannot be read.
    """
    with torch.no_grad():
        return Graph(layout)


def _load_heads(layout: Layout, width: int) -> list[nn.Module]:
    heads: list[nn.Module] = []
    for spec in layout.modules[1:]:
        try:
            kind = MODULES.get(spec.type)
        except UnknownNameError as error:
            raise CheckpointError(
                f"{layout.folder / 'modules.json'}: module type {spec.type!r} is not supported. "
                f"{error} A package can add one under the entry point group "
                "'search_engine.modules'."
            ) from error
        try:
            heads.append(kind.load(spec.folder, spec.config, width=width))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{spec.folder / 'config.json'}: not the settings of a {spec.type}: {error!r}."
            ) from error
        width = getattr(heads[-1], "width", width)
    return heads

"""A checkpoint as one torch module: token ids in, one array out."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from search_engine.encoders.checkpoints.layout import Layout, TrunkTask
from search_engine.encoders.checkpoints.module_specs import TRUNK, ModuleSpec
from search_engine.encoders.checkpoints.weights import load_pretrained
from search_engine.encoders.modules.activations import activation_named
from search_engine.encoders.modules.module import Features, Module
from search_engine.errors import CheckpointError, ConfigError, UnknownNameError
from search_engine.registry import Registry

_HERE = "search_engine.encoders.modules"
MODULES: Registry[type[Module]] = Registry(
    "encoder module",
    group="search_engine.modules",
    builtin={
        "Pooling": f"{_HERE}.pooling:Pooling",
        "Dense": f"{_HERE}.dense:Dense",
        "Normalize": f"{_HERE}.normalize:Normalize",
        "LayerNorm": f"{_HERE}.layer_norm:LayerNorm",
        "Dropout": f"{_HERE}.dropout:Dropout",
        "WeightedLayerPooling": f"{_HERE}.weighted_layer_pooling:WeightedLayerPooling",
        "StaticEmbedding": f"{_HERE}.static_embedding:StaticEmbedding",
        "WordEmbeddings": f"{_HERE}.word_embeddings:WordEmbeddings",
        "WordWeights": f"{_HERE}.word_weights:WordWeights",
        "BoW": f"{_HERE}.bag_of_words:BagOfWords",
        "CNN": f"{_HERE}.convolution:Convolution",
        "LSTM": f"{_HERE}.recurrence:Recurrence",
        "SpladePooling": f"{_HERE}.splade_pooling:SpladePooling",
        "SparseStaticEmbedding": f"{_HERE}.sparse_static_embedding:SparseStaticEmbedding",
        "SparseAutoEncoder": f"{_HERE}.sparse_auto_encoder:SparseAutoEncoder",
        "LogitScore": f"{_HERE}.logit_score:LogitScore",
    },
)
# The transformer with each head that it can be loaded with.
TRUNKS: dict[TrunkTask, str] = {
    "feature-extraction": f"{_HERE}.transformer:Transformer",
    "sequence-classification": f"{_HERE}.transformer:Transformer",
    "fill-mask": f"{_HERE}.masked_lm:MaskedLanguageModel",
    "text-generation": f"{_HERE}.causal_lm:CausalLanguageModel",
}


class Graph(nn.Module):
    """All modules of a checkpoint, in float32 and in evaluation mode.

    Args:
        trunk: stands for the transformer, whose weights are then not read.
        loaded: modules that are there already, by the identity of their specs, as several routes
            of a checkpoint share them; those that are read are added.

    Attributes:
        trunk: the module that reads token ids, mostly the transformer.
        heads: what follows it.
        input_names: the arrays that `forward` takes, in order.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        trunk: nn.Module | None = None,
        loaded: dict[int, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.input_names = layout.input_names
        shared = {} if loaded is None else loaded
        if trunk is not None:
            shared = {**shared, id(layout.trunk): trunk}
        first: Any = _load_trunk(layout, shared)
        self.trunk = first
        self.heads = nn.ModuleList(_load_heads(layout, first.width, shared))
        self._output = "sentence_embedding"
        if layout.task == "score":
            self._output = "logits" if layout.output == "logits" else "scores"
            self.activation = activation_named(
                layout.activation,
                default=self._score_activation(),
                source=f"{layout.folder / 'config_sentence_transformers.json'} (or config.json)",
            )
        elif layout.output == "tokens":
            self._output = "token_embeddings"
        self.eval()

    def _score_activation(self) -> nn.Module:
        labels = self.heads[-1].width if self.heads else self.trunk.labels
        return nn.Sigmoid() if labels == 1 else nn.Identity()

    def forward(self, *inputs: Tensor) -> Tensor:
        """Outputs of a batch, float32 [b, width]; of tokens, [b, tokens, width].

        Args:
            inputs: int64 [b, tokens] each, in the order of `input_names`.
        """
        features: Features = dict(zip(self.input_names, inputs, strict=True))
        features = self.trunk(features)
        for head in self.heads:
            features = head(features)
        if self._output == "logits":
            return features["scores"]
        if self._output == "scores":
            return self.activation(features["scores"])  # type: ignore[no-any-return]
        return features[self._output]


def load_graph(
    layout: Layout, *, trunk: nn.Module | None = None, loaded: dict[int, nn.Module] | None = None
) -> Graph:
    """Read all weights of a checkpoint.

    Args:
        trunk, loaded: as of `Graph`.

    Raises:
        CheckpointError: a module type that we lack, or weights that cannot be read.
    """
    with torch.no_grad():
        return Graph(layout, trunk=trunk, loaded=loaded)


def _load_trunk(layout: Layout, loaded: dict[int, nn.Module]) -> nn.Module:
    if id(layout.trunk) not in loaded:
        loaded[id(layout.trunk)] = _read_trunk(layout)
    return loaded[id(layout.trunk)]


def _read_trunk(layout: Layout) -> nn.Module:
    if layout.trunk.type == TRUNK:
        module, _, name = TRUNKS[layout.trunk_task].partition(":")
        trunk: nn.Module = getattr(import_module(module), name)(
            load_pretrained(layout), layout=layout
        )
        return trunk
    if layout.num_layers is not None:
        raise ConfigError(
            f"num_layers is {layout.num_layers}, but {layout.folder} has no layers to choose from; "
            "leave it out."
        )
    return _load_module(layout, layout.trunk, width=0)


def _load_heads(layout: Layout, width: int, loaded: dict[int, nn.Module]) -> list[nn.Module]:
    heads: list[nn.Module] = []
    for spec in layout.modules[1:]:
        if id(spec) not in loaded:
            loaded[id(spec)] = _load_module(layout, spec, width=width)
        heads.append(loaded[id(spec)])
        width = getattr(heads[-1], "width", width)
    return heads


def _load_module(layout: Layout, spec: ModuleSpec, *, width: int) -> nn.Module:
    try:
        kind = MODULES.get(spec.type)
    except UnknownNameError as error:
        raise CheckpointError(
            f"{layout.folder / 'modules.json'}: module type {spec.type!r} is not supported. "
            f"{error} A package can add one under the entry point group 'search_engine.modules'."
        ) from error
    except (ImportError, AttributeError) as error:
        raise CheckpointError(
            f"{layout.folder / 'modules.json'}: module type {spec.type!r} is registered, but its "
            f"package cannot be imported: {error}. Install it again."
        ) from error
    try:
        return kind.load(spec.folder, spec.config, width=width)
    # RuntimeError is torch's, of sizes that no tensor can have.
    except (AttributeError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{spec.folder / 'config.json'}: not the settings of a {spec.type}: {error!r}."
        ) from error

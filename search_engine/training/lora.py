"""Low-rank adapters beside the linear layers of a transformer (Hu et al. 2021), by peft."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from search_engine.encoders.checkpoints.weights import quiet_transformers
from search_engine.encoders.modules.graph import Graph
from search_engine.errors import ConfigError
from search_engine.training.settings import LoraSettings

if TYPE_CHECKING:
    from search_engine.training.training_model import TrainingModel


def add_adapters(model: TrainingModel, settings: LoraSettings, *, seed: int) -> None:
    """Train adapters, the modules after the transformer and the losses; all else is frozen.

    A classification head on the transformer is trained too: it is mostly new.

    Args:
        seed: of the adapters' first weights.

    Raises:
        ConfigError: peft is missing, there is no transformer, or no layer of it has such a name.
    """
    if find_spec("peft") is None:
        raise ConfigError("LoRA needs peft: pip install 'search-engine[train]'")
    from peft import LoraConfig, inject_adapter_in_model

    transformers = model.transformers()
    if not transformers:
        raise ConfigError(f"{model.layout.folder} has no transformer for LoRA; leave lora out.")
    torch.manual_seed(seed)
    for transformer in transformers:
        head = _classification_head(model, transformer)
        layers = [
            name
            for name, layer in _linear_layers(transformer)
            if not any(layer is each for part in head for each in part.modules())
        ]
        chosen = [name for name in layers if name.endswith(settings.modules or name)]
        for end in settings.modules:
            if not any(name.endswith(end) for name in layers):
                raise ConfigError(
                    f"no linear layer of {type(transformer).__name__} has a name that ends with "
                    f"{end!r}; they are {', '.join(dict.fromkeys(_last(name) for name in layers))}."
                )
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,  # type: ignore[arg-type]
            lora_dropout=settings.dropout,
            target_modules=chosen,
        )
        with quiet_transformers():
            # It warns of each kind of layer that it has to turn its settings round for.
            inject_adapter_in_model(config, transformer)
        for part in head:
            part.requires_grad_(True)


def is_adapted(graph: nn.Module) -> bool:
    """Whether a module has adapters in it."""
    return any(".lora_" in name for name, _ in graph.named_parameters())


def merge_adapters(graph: Graph) -> Graph:
    """The module with its adapters added to its weights, a copy; itself where it has none."""
    if not is_adapted(graph):
        return graph
    from peft.tuners.tuners_utils import BaseTunerLayer

    merged = copy.deepcopy(graph)
    for name, layer in list(merged.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            merged.set_submodule(name, layer.get_base_layer())
    return merged


def _linear_layers(transformer: Any) -> Iterator[tuple[str, nn.Module]]:
    """Those whose output feeds the encoder's; logits of the vocabulary are tied to embeddings."""
    from transformers.pytorch_utils import Conv1D

    last = transformer.get_output_embeddings()
    for name, layer in transformer.named_modules():
        if isinstance(layer, nn.Linear | Conv1D) and layer is not last:
            trained = [parameter.requires_grad for parameter in layer.parameters()]
            if all(trained):
                yield name, layer


def _classification_head(model: TrainingModel, transformer: Any) -> list[nn.Module]:
    if model.layout.trunk_task != "sequence-classification":
        return []
    return [
        part for name, part in transformer.named_children() if name != transformer.base_model_prefix
    ]


def _last(name: str) -> str:
    return name.rpartition(".")[2]

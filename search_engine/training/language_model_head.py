"""A transformer as a sparse encoder, with a new masked-language-model head where it has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from search_engine.encoders.checkpoints.json_files import read_json
from search_engine.encoders.checkpoints.layout import MODEL_TYPES, Layout, read_layout
from search_engine.encoders.checkpoints.module_specs import TRUNK, ModuleSpec
from search_engine.encoders.checkpoints.weights import check_finite, quiet_transformers
from search_engine.encoders.modules.graph import Graph
from search_engine.encoders.modules.masked_lm import MaskedLanguageModel
from search_engine.encoders.saving import save_checkpoint
from search_engine.errors import CheckpointError, ConfigError

# Settings of a transformer that say what it gives with another head.
_OF_OTHER_HEADS = ("modality_config", "module_output_name", "transformer_task")


def read_layout_of_any_kind(folder: Path) -> Layout:
    """The layout of a checkpoint of whichever of the three encoders it is."""
    settings = read_json(folder / "config_sentence_transformers.json", kind=dict) or {}
    kinds = {name: task for task, name in MODEL_TYPES.items()}
    return read_layout(folder, task=kinds.get(str(settings.get("model_type")), "embedding"))


def to_sparse_layout(layout: Layout) -> Layout:
    """The layout of a SPLADE encoder of the transformer that reads a checkpoint's documents.

    What is said of sparse vectors already, such as their pooling, stays.

    Raises:
        ConfigError: what reads the documents is no transformer.
    """
    first, *heads = layout.along("document").modules
    if first.type != TRUNK:
        raise ConfigError(
            f"{layout.folder} begins with a {first.type}; only a transformer can have a "
            "masked-language-model head."
        )
    config = {key: value for key, value in first.config.items() if key not in _OF_OTHER_HEADS}
    trunk = replace(first, config=config | {"transformer_task": "fill-mask"})
    pooling = next((head for head in heads if head.type == "SpladePooling"), None)
    tree = (trunk, pooling or ModuleSpec("SpladePooling", layout.folder / "1_SpladePooling", {}))
    sparse = replace(
        layout, task="sparse", tree=tree, similarity="dot", truncate_dim=None, activation=None,
        output="vector",
    )  # fmt: skip
    if pooling is None:
        prompts = {"query": "", "document": ""}
        sparse = replace(sparse, prompts=prompts, default_prompt_name=None, max_active_dims=None)
    return sparse.along(None)


def write_with_new_head(layout: Layout, folder: Path, *, seed: int) -> bool:
    """Write a SPLADE checkpoint with a new head if the transformer has none.

    The head is as transformers makes it: random but for the last layer, which is the table of the
    word embeddings where the architecture ties the two.

    Args:
        layout: as of `to_sparse_layout`.
        folder: must be empty or not exist.
        seed: of the new weights.

    Returns:
        Whether it was written; of a transformer with a head, nothing is.

    Raises:
        CheckpointError: the transformer cannot be read, or its architecture has no such head.
    """
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, missing = _read(layout)
    body = {name for name, _ in model.named_parameters() if _is_body(model, name)}
    head = {name for name, _ in model.named_parameters()} - body
    # With a part of its weights alone, it is a damaged head, which whoever reads it refuses.
    if not missing or (head and not head <= missing):
        return False
    if lacking := sorted(missing & body):
        raise CheckpointError(
            f"{layout.trunk.folder} lacks weights that {type(model).__name__} needs: "
            f"{', '.join(lacking[:5])}. Is the download complete?"
        )
    check_finite(model, layout.trunk.folder)
    graph = Graph(layout, trunk=MaskedLanguageModel(model, layout=layout))
    save_checkpoint(layout, folder, trained=[(layout, graph)])
    return True


def _read(layout: Layout) -> tuple[nn.Module, set[str]]:
    """The transformer with its head, and the names of weights that are new."""
    from transformers import AutoConfig, AutoModelForMaskedLM

    folder = layout.trunk.folder
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        # Attention changes no output, and its name might be that of code to be downloaded.
        config._attn_implementation = None
        model, report = AutoModelForMaskedLM.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    # Everything that can be wrong with a stranger's folder ends up here, as many classes.
    except Exception as error:
        raise CheckpointError(
            f"{folder} cannot be loaded with a masked-language-model head: {error}"
        ) from error
    return model, set(report["missing_keys"])


def _is_body(model: nn.Module, name: str) -> bool:
    return name.startswith(f"{model.base_model_prefix}.")

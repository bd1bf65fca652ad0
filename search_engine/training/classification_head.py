"""A transformer as a cross-encoder, with a new classification head where it has none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.checkpoints.module_specs import TRUNK
from search_engine.encoders.checkpoints.weights import check_finite, quiet_transformers
from search_engine.encoders.modules.graph import Graph
from search_engine.encoders.modules.transformer import Transformer
from search_engine.encoders.saving import save_checkpoint
from search_engine.errors import CheckpointError, ConfigError
from search_engine.training.data.training_set import OpenedSet


def lacks_classifier(layout: Layout) -> bool:
    """Whether the transformer of a cross-encoder was saved without a classification head."""
    architectures = layout.trunk_config.get("architectures") or [""]
    return (
        layout.trunk.type == TRUNK
        and layout.trunk_task == "sequence-classification"
        and not str(architectures[0]).endswith("ForSequenceClassification")
    )


def count_labels(sets: Sequence[OpenedSet]) -> int:
    """How many labels a new head needs: one score, or the classes where a loss wants several."""
    most = 1
    for opened in sets:
        try:
            opened.origin.loss.check_labels(1)
        except ConfigError:
            labels = opened.rows[opened.columns.label] if opened.columns.label else []
            most = max(most, len(opened.classes), *(int(label) + 1 for label in labels))
    return most


def write_with_new_classifier(layout: Layout, folder: Path, *, labels: int, seed: int) -> None:
    """Write a cross-encoder of a transformer, with a random head as transformers makes it.

    Args:
        layout: of the transformer, read for scores.
        folder: must be empty or not exist.
        labels: scores of each pair.
        seed: of the new weights.

    Raises:
        CheckpointError: the transformer cannot be read, or its architecture has no such head.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    source = layout.trunk.folder
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            config = AutoConfig.from_pretrained(
                source, num_labels=labels, local_files_only=True, trust_remote_code=False
            )
            # Attention changes no output, and its name might be that of code to be downloaded.
            config._attn_implementation = None
            model, report = AutoModelForSequenceClassification.from_pretrained(
                source,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        # Everything that can be wrong with a stranger's folder ends up here, as many classes.
        except Exception as error:
            raise CheckpointError(
                f"{source} cannot be loaded with a classification head: {error}"
            ) from error
    prefix = f"{model.base_model_prefix}."
    # A pooler is a part of the head, and many checkpoints leave it out.
    lacking = [
        key for key in report["missing_keys"] if key.startswith(prefix) and "pooler." not in key
    ]
    if lacking:
        raise CheckpointError(
            f"{source} lacks weights that {type(model).__name__} needs: {', '.join(lacking[:5])}. "
            "Is the download complete?"
        )
    check_finite(model, source)
    graph = Graph(layout, trunk=Transformer(model, layout=layout))
    save_checkpoint(layout, folder, trained=[(layout, graph)])

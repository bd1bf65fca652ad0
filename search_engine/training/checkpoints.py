"""A training on disk: the model as anyone opens it, and what else it takes to go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from search_engine.encoders.checkpoints.layout import Layout, read_layout
from search_engine.encoders.checkpoints.module_specs import TRUNK, ModuleSpec
from search_engine.encoders.modules.graph import load_graph
from search_engine.encoders.saving import save_checkpoint
from search_engine.encoders.tokenizers.tokenizer_files import count_positions
from search_engine.errors import ConfigError
from search_engine.training.lora import is_adapted, merge_adapters
from search_engine.training.training_model import TrainingModel

STATE = "trainer_state.json"
# Where the model is that is just being evaluated.
EVALUATED = "evaluating"
# What the model's own files lack: the parameters of losses, and adapters.
_EXTRAS = "training.safetensors"


def write_checkpoint(model: TrainingModel, folder: Path) -> None:
    """Write the model, adapters merged, in the Sentence Transformers layout, and the extras.

    Args:
        folder: made if it does not exist; must be empty.
    """
    write_model(model, folder)
    extras = {name: weight.detach().contiguous() for name, weight in _extras(model).items()}
    if extras:
        save_file(extras, folder / _EXTRAS)


def write_model(model: TrainingModel, folder: Path) -> None:
    """Write the model, adapters merged, in the Sentence Transformers layout."""
    trained = [(way, merge_adapters(graph)) for way, graph in model.trained()]
    save_checkpoint(model.layout, folder, trained=trained)


def read_checkpoint(model: TrainingModel, folder: Path) -> None:
    """Put the weights of a checkpoint into the model that wrote it.

    Raises:
        CheckpointError: the checkpoint cannot be read.
    """
    layout = read_layout(folder, task=model.layout.task)
    for name, graph in model.graphs.items():
        if not is_adapted(graph):
            way = layout if name == "any" else layout.along(name)  # type: ignore[arg-type]
            graph.load_state_dict(load_graph(way).state_dict())
    if (folder / _EXTRAS).is_file():
        model.load_state_dict(load_file(folder / _EXTRAS), strict=False)


def checkpoint_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return folder / f"checkpoint-{step}"


def find_last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the most steps that was written to its end; None without any.

    The state is written last, so that one without it is of a process that died while it saved.
    """
    complete = [path for path in _checkpoints(folder) if _is_complete(path)]
    return max(complete, key=_steps, default=None)


def remove_incomplete(folder: Path) -> None:
    """Take away what a process that died while it saved has left behind."""
    for path in _checkpoints(folder):
        if not _is_complete(path):
            shutil.rmtree(path, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    """Those of a run; what a person has put beside them is called otherwise."""
    return [path for path in folder.glob("checkpoint-*") if path.name.partition("-")[2].isdecimal()]


def _is_complete(path: Path) -> bool:
    try:
        json.loads((path / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _steps(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _extras(model: TrainingModel) -> Mapping[str, Tensor]:
    """By name, what is trained or kept and the model's own files do not hold as it is."""
    losses = model.losses.state_dict(prefix="losses.")
    adapted = any(is_adapted(graph) for graph in model.graphs.values())
    if not adapted:
        return losses
    return losses | {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }


def layout_with_max_tokens(layout: Layout, max_tokens: int | None) -> Layout:
    """The layout whose transformers read no longer texts than that; None leaves it as it is.

    Raises:
        ConfigError: that is more than a transformer takes.
    """
    if max_tokens is None:
        return layout
    # Routes that share a module go on sharing it.
    limited: dict[int, ModuleSpec] = {}

    def limit(spec: ModuleSpec) -> ModuleSpec:
        if id(spec) not in limited:
            routes = {name: tuple(map(limit, route)) for name, route in spec.routes.items()}
            config = dict(spec.config)
            if spec.type == TRUNK:
                config["max_seq_length"] = max_tokens
            limited[id(spec)] = replace(spec, config=config, routes=routes)
        return limited[id(spec)]

    made = replace(layout, tree=tuple(map(limit, layout.tree))).along(None)
    for way in made.every_way():
        positions = count_positions(way)
        if 0 < positions < max_tokens:
            raise ConfigError(
                f"max_tokens is {max_tokens}, but {way.trunk.folder} reads {positions} at most."
            )
    return made

"""A new checkpoint from a list of modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.encoders.checkpoints.layout import (
    DEFAULT_SIMILARITY,
    INPUT_MODULES,
    MODEL_TYPES,
    SIMILARITIES,
    Layout,
    Similarity,
    Task,
    read_layout,
)
from search_engine.encoders.checkpoints.module_specs import TRUNK, ModuleSpec
from search_engine.encoders.modules.graph import MODULES, load_graph
from search_engine.encoders.saving import Part, write_parts
from search_engine.errors import ConfigError


def build_checkpoint(
    folder: str | Path,
    modules: Sequence[str | nn.Module],
    *,
    task: Task = "embedding",
    prompts: Mapping[str, str] | None = None,
    default_prompt_name: str | None = None,
    similarity: Similarity | None = None,
    max_tokens: int | None = None,
    offline: bool = False,
) -> None:
    """Write a checkpoint that consists of some modules, for any of the three encoders to open.

        build_checkpoint("mine", ["bert-base-uncased", Pooling(768, ("cls",)), Normalize(768)])
        BiEncoder("mine")

    Args:
        folder: made if it does not exist; must be empty.
        modules: those that a text passes through, in order. The first reads it: the name or folder
            of a transformers checkpoint, or a module such as StaticEmbedding.
        task: what the transformer is loaded for, as one of the three encoders would.
        prompts: by name, "query" and "document" among them.
        default_prompt_name: of texts that are encoded as neither query nor document.
        similarity: how two vectors are compared; None is the usual of the task.
        max_tokens: longest text that a transformer reads; None is what its checkpoint says.
        offline: never ask the network for the transformer.

    Raises:
        ConfigError: no module, one that does not fit where it stands, or one whose class no name
            is registered for; the folder is not empty.
        ModelNotFoundError, CheckpointError: of the transformer.
    """
    if not modules:
        raise ConfigError("a checkpoint needs at least one module; give what reads the text first.")
    if task not in MODEL_TYPES:
        raise ConfigError(f"task is {task!r}, and not one of {', '.join(MODEL_TYPES)}.")
    if similarity is not None and similarity not in SIMILARITIES:
        raise ConfigError(
            f"similarity is {similarity!r}, and not one of {', '.join(SIMILARITIES)}."
        )
    if default_prompt_name is not None and default_prompt_name not in (prompts or {}):
        raise ConfigError(f"default_prompt_name is {default_prompt_name!r}, and no prompt is.")
    if max_tokens is not None and max_tokens < 1:
        raise ConfigError(f"max_tokens is {max_tokens}, and must be at least 1.")
    names = [each if isinstance(each, str) else _registered_name(each) for each in modules]
    if not isinstance(modules[0], str) and names[0] not in INPUT_MODULES and "." not in names[0]:
        raise ConfigError(
            f"the first module must read texts, which {names[0]} does not; give the name of a "
            f"transformers checkpoint, or one of {', '.join(INPUT_MODULES[1:])}."
        )
    specs = [
        ModuleSpec(TRUNK if isinstance(each, str) else name, Path(), {})
        for each, name in zip(modules, names, strict=True)
    ]
    if any(isinstance(each, str) for each in modules[1:]):
        raise ConfigError("only the first module can be the name of a transformers checkpoint.")
    parts = []
    for each, spec in zip(modules, specs, strict=True):
        if isinstance(each, str):
            layout = _trunk_layout(each, tuple(specs), task, max_tokens, offline=offline)
            parts.append(Part(layout.trunk, load_graph(layout).trunk, layout))
        else:
            parts.append(Part(spec, each, None))
    settings = {
        "model_type": MODEL_TYPES[task],
        "prompts": {"query": "", "document": ""} | dict(prompts or {}),
        "default_prompt_name": default_prompt_name,
        "similarity_fn_name": similarity or DEFAULT_SIMILARITY[task],
    }
    write_parts(parts, Path(folder), settings=settings)


def _trunk_layout(
    name: str, specs: tuple[ModuleSpec, ...], task: Task, max_tokens: int | None, *, offline: bool
) -> Layout:
    """The layout of a transformers checkpoint alone, loaded with the head that `specs` ask for."""
    layout = read_layout(find_checkpoint(name, offline=offline), task=task)
    trunk = layout.trunk
    with_heads = replace(layout, modules=(trunk, *specs[1:]))
    if trunk.type != TRUNK:
        raise ConfigError(f"{name} does not begin with a transformer, but with a {trunk.type}.")
    config = {**trunk.config, "transformer_task": with_heads.trunk_task}
    if max_tokens is not None:
        config["max_seq_length"] = max_tokens
    return replace(layout, modules=(replace(trunk, config=config),))


def _registered_name(module: nn.Module) -> str:
    name = MODULES.name_of(type(module))
    if name is None:
        raise ConfigError(
            f"no name is registered for the class {type(module).__qualname__}; a package can "
            "register one under the entry point group 'search_engine.modules'."
        )
    return name

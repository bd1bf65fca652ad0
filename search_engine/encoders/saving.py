"""Writing a checkpoint in the Sentence Transformers layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors.torch import save_model
from torch import nn

from search_engine.encoders.checkpoints.layout import Layout, TrunkTask
from search_engine.encoders.checkpoints.module_specs import ROUTER, TRUNK, ModuleSpec
from search_engine.encoders.checkpoints.weights import quiet_transformers
from search_engine.encoders.modules.graph import Graph, load_graph
from search_engine.encoders.tokenizers.chat_template import uses_chat_template
from search_engine.encoders.tokenizers.opening import open_tokenizer
from search_engine.encoders.tokenizers.tokenizer_files import read_tokenizer_settings
from search_engine.errors import ConfigError

_TOKENIZER_FILES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
# Paths that every version of Sentence Transformers with such a module reads.
_PACKAGES = {
    "SpladePooling": "sentence_transformers.sparse_encoder.models",
    "SparseStaticEmbedding": "sentence_transformers.sparse_encoder.models",
    "SparseAutoEncoder": "sentence_transformers.sparse_encoder.models",
    "MLMTransformer": "sentence_transformers.sparse_encoder.models",
    "LogitScore": "sentence_transformers.cross_encoder.modules.logit_score",
}
# What a transformer gives by each head, in transformers and in Sentence Transformers.
_OUTPUTS: Mapping[TrunkTask, tuple[str, str]] = {
    "feature-extraction": ("last_hidden_state", "token_embeddings"),
    "fill-mask": ("logits", "token_embeddings"),
    "sequence-classification": ("logits", "scores"),
    "text-generation": ("logits", "causal_logits"),
}
_DENSE_PACKAGE = "sentence_transformers.models"


@dataclass(frozen=True, slots=True)
class Part:
    """A module to be written.

    Attributes:
        spec: its type, its settings where it has no `config()`, and the folder of its tokenizer.
        module: with the weights to be written; None for a Router.
        layout: the one that it was loaded by; None of a module that was made by hand.
        routes: of a Router, the parts of each route.
    """

    spec: ModuleSpec
    module: nn.Module | None
    layout: Layout | None = None
    routes: Mapping[str, tuple[Part, ...]] = field(default_factory=lambda: MappingProxyType({}))


def save_checkpoint(
    layout: Layout, folder: Path, *, trained: Sequence[tuple[Layout, Graph]] = ()
) -> None:
    """Write modules, weights (float32, safetensors), tokenizer and settings into a folder.

    Types are written under the paths that every version of Sentence Transformers reads.

    Args:
        layout: of the checkpoint that the modules come from.
        folder: made if it does not exist; must be empty.
        trained: the modules to write with the way through the layout that they are of, all ways
            together; none reads them from the checkpoint.

    Raises:
        ConfigError: the folder exists and is not empty.
    """
    modules: dict[int, tuple[nn.Module, Layout]] = {}
    for way, graph in trained or ((way, load_graph(way)) for way in layout.every_way()):
        for spec, module in zip(way.modules, (graph.trunk, *graph.heads), strict=True):
            modules.setdefault(id(spec), (module, way))
    parts = [_part(spec, modules) for spec in layout.tree]
    settings: dict[str, Any] = {
        "model_type": layout.model_type,
        "prompts": dict(layout.prompts),
        "default_prompt_name": layout.default_prompt_name,
    }
    if layout.task == "score":
        settings["activation_fn"] = layout.activation
    else:
        settings["similarity_fn_name"] = layout.similarity
    for key, value in (
        ("truncate_dim", layout.truncate_dim),
        ("max_active_dims", layout.max_active_dims),
    ):
        if value is not None:
            settings[key] = value
    write_parts(parts, folder, settings=settings)


def write_parts(parts: Sequence[Part], folder: Path, *, settings: Mapping[str, Any]) -> None:
    """Write modules, the first into the folder itself where it is a transformer.

    Args:
        settings: what config_sentence_transformers.json is to say.

    Raises:
        ConfigError: the folder exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty; give a new folder to save the model to.")
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for position, part in enumerate(parts):
        in_root = position == 0 and part.spec.type == TRUNK
        path = "" if in_root else f"{position}_{part.spec.type.rpartition('.')[2]}"
        _write_part(part, folder / path)
        entries.append(
            {"idx": position, "name": str(position), "path": path, "type": _type_path(part)}
        )
    _write_json(folder / "modules.json", entries)
    _write_json(folder / "config_sentence_transformers.json", settings)


def _part(spec: ModuleSpec, modules: Mapping[int, tuple[nn.Module, Layout]]) -> Part:
    if spec.type == ROUTER:
        routes = {
            name: tuple(_part(each, modules) for each in route)
            for name, route in spec.routes.items()
        }
        return Part(spec, None, routes=routes)
    module, way = modules[id(spec)]
    return Part(spec, module, way)


def _write_part(part: Part, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    module: Any = part.module
    if part.spec.type == ROUTER:
        _write_router(part, folder)
    elif part.layout is not None and part.spec.type == TRUNK:
        with quiet_transformers():
            module.model.save_pretrained(folder)
        _save_tokenizer(part.layout, folder)
        _write_json(folder / "sentence_bert_config.json", _trunk_settings(part.layout))
    else:
        _write_json(folder / getattr(module, "config_file", "config.json"), module.config())
        if hasattr(module, "save_files"):
            module.save_files(folder)
        if module.state_dict():
            save_model(module, str(folder / "model.safetensors"))


def _write_router(part: Part, folder: Path) -> None:
    types: dict[str, str] = {}
    names: dict[int, str] = {}
    structure: dict[str, list[str]] = {}
    for route, position, each in _routed(part):
        # A module that two routes share is written once, and has the name that it got first.
        kind = each.spec.type.rpartition(".")[2]
        name = names.setdefault(id(each.spec), f"{route}_{position}_{kind}")
        if name not in types:
            types[name] = _type_path(each)
            _write_part(each, folder / name)
        structure.setdefault(route, []).append(name)
    _write_json(
        folder / "router_config.json",
        {
            "types": types,
            "structure": structure,
            "parameters": dict(part.spec.config.get("parameters") or {}),
        },
    )


def _routed(part: Part) -> Iterator[tuple[str, int, Part]]:
    for route, parts in part.routes.items():
        for position, each in enumerate(parts):
            yield route, position, each


def _trunk_settings(layout: Layout) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "max_seq_length": open_tokenizer(layout).max_tokens,
        "do_lower_case": bool(layout.trunk.config.get("do_lower_case", False)),
    }
    kept = ("modality_config", "module_output_name", "processing_kwargs")
    settings |= {key: layout.trunk.config[key] for key in kept if key in layout.trunk.config}
    templated = uses_chat_template(layout, read_tokenizer_settings(layout))
    if templated and "modality_config" not in settings:
        field_name, output = _OUTPUTS[layout.trunk_task]
        method = {"method": "forward", "method_output_name": field_name}
        settings["modality_config"] = {"text": method, "message": method}
        settings["module_output_name"] = output
    # Versions before 5.4 do not know the key, and need it for vectors least of all.
    if layout.trunk_task != "feature-extraction":
        settings["transformer_task"] = layout.trunk_task
    return settings


def _type_path(part: Part) -> str:
    type_ = part.spec.type
    if "." in type_:
        return type_
    if type_ == TRUNK and part.layout is not None and part.layout.trunk_task == "fill-mask":
        type_ = "MLMTransformer"
    return f"{_PACKAGES.get(type_, _DENSE_PACKAGE)}.{type_}"


def _save_tokenizer(layout: Layout, folder: Path) -> None:
    source = layout.trunk.folder / "tokenizer.json"
    if source.is_file():
        shutil.copyfile(source, folder / source.name)
    else:
        open_tokenizer(layout).whole.save(str(folder / source.name))
    for name in _TOKENIZER_FILES:
        if (layout.trunk.folder / name).is_file():
            shutil.copyfile(layout.trunk.folder / name, folder / name)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

"""What names a checkpoint: a sum over its weights and every setting that changes an output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from search_engine.encoders.checkpoints.finding import sha256_of
from search_engine.encoders.checkpoints.json_files import read_json, read_setting
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.checkpoints.module_specs import ModuleSpec
from search_engine.encoders.checkpoints.token_weights import token_weights_file

# Exported transformers, which are enough by themselves to run one.
_EXPORTED = (
    ("onnx/*.onnx*", "*.onnx*"),
    ("openvino/*.xml", "openvino/*.bin", "openvino_model*.xml", "openvino_model*.bin"),
)
# What decides how a text becomes token ids.
_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "merges.txt",
    "whitespacetokenizer_config.json",
    "phrasetokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/default.jinja",
)
# Of these a tokenizer.json is made where there is none.
_SENTENCEPIECE = ("spiece.model", "spm.model", "sentencepiece.bpe.model", "tokenizer.model",
                  "vocab.json", "bpe.codes", "added_tokens.json",
                  "special_tokens_map.json")  # fmt: skip
# Keys of config.json that say who wrote it, not what it computes.
_NOTES = frozenset({"_name_or_path", "transformers_version", "architectures", "dtype",
                    "torch_dtype", "use_cache", "gradient_checkpointing"})  # fmt: skip


def fingerprint_of(layout: Layout, *, max_tokens: int) -> str:
    """SHA-256, in hex, over the weights of a checkpoint and every setting that changes an output.

    Args:
        max_tokens: longest text that its tokenizer gives.
    """
    settings: dict[str, Any] = {
        "task": layout.task,
        "modules": [_describe(module) for module in layout.tree],
        "trunk": _computing(layout.trunk_config),
        "tokenizer": _tokenizer_sums(layout.trunk.folder),
        "prompts": dict(layout.prompts),
        "default_prompt_name": layout.default_prompt_name,
        # How sparse vectors are compared changes none of them.
        "similarity": layout.similarity if layout.task == "embedding" else "cosine",
        "activation": layout.activation,
        "max_tokens": max_tokens,
    }
    # Only where given, so that the fingerprints of all other models stay as they were.
    for name in ("truncate_dim", "max_active_dims", "num_layers"):
        if (value := getattr(layout, name)) is not None:
            settings[name] = value
    if layout.is_routed:
        settings["ways"] = [
            [_computing(way.trunk_config), _tokenizer_sums(way.trunk.folder)]
            for way in layout.every_way()
        ]
    return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def weight_files(module: ModuleSpec) -> list[Path]:
    """The files that a module's weights are read from.

    They are safetensors, else pickles of tensors, each whole or in shards, else what the
    transformer was exported to.
    """
    if module.type == "SparseStaticEmbedding":
        return [token_weights_file(module.folder, module.config)]
    if "." in module.type:
        # What a third party's module reads is not known.
        return sorted(path for path in module.folder.rglob("*") if path.is_file())
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path := module.folder / name).is_file():
            return [path]
        index = module.folder / f"{name}.index.json"
        if (settings := read_json(index, kind=dict)) is not None:
            shards = read_setting(settings, "weight_map", path=index, kind=dict) or {}
            named = {module.folder / str(shard) for shard in shards.values()}
            return [index, *sorted(path for path in named if path.is_file())]
    for patterns in _EXPORTED:
        if found := sorted(path for each in patterns for path in module.folder.glob(each)):
            return found
    return []


def _computing(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _NOTES}


def _tokenizer_sums(folder: Path) -> dict[str, str]:
    names = [name for name in _TOKENIZERS if (folder / name).is_file()]
    if "tokenizer.json" not in names:
        names += [name for name in _SENTENCEPIECE if (folder / name).is_file()]
    return {name: sha256_of(folder / name) for name in names}


def _describe(module: ModuleSpec) -> list[Any]:
    described = [module.type, dict(module.config), [sha256_of(p) for p in weight_files(module)]]
    if module.routes:
        described.append(
            {name: [_describe(each) for each in route] for name, route in module.routes.items()}
        )
    return described

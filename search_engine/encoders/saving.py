"""Writing a checkpoint in the Sentence Transformers layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_model

from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.checkpoints.module_specs import TRUNK
from search_engine.encoders.modules.graph import Graph, load_graph
from search_engine.encoders.tokenizers.opening import InputTokenizer
from search_engine.errors import ConfigError

_TOKENIZER_FILES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)


def save_checkpoint(
    layout: Layout, tokenizer: InputTokenizer, folder: Path, *, graph: Graph | None = None
) -> None:
    """Write modules, weights (float32, safetensors), tokenizer and settings into a folder.

    Types are written under the paths that every version of Sentence Transformers reads.

    Args:
        layout: of the checkpoint that the graph came from.
        folder: made if it does not exist; must be empty.
        graph: the modules to write, such as trained ones; None reads them from the checkpoint.

    Raises:
        ConfigError: the folder exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty; give a new folder to save the model to.")
    graph = load_graph(layout) if graph is None else graph
    folder.mkdir(parents=True, exist_ok=True)
    model: Any = graph.trunk.model
    model.save_pretrained(folder)
    _save_tokenizer(layout, tokenizer, folder)
    _write_json(
        folder / "sentence_bert_config.json",
        {
            "max_seq_length": tokenizer.max_tokens,
            "do_lower_case": bool(layout.trunk.config.get("do_lower_case", False)),
        },
    )
    entries = [{"idx": 0, "name": "0", "path": "", "type": _type_path(TRUNK)}]
    for position, (spec, head) in enumerate(zip(layout.modules[1:], graph.heads, strict=True), 1):
        path = f"{position}_{spec.type.rpartition('.')[2]}"
        (folder / path).mkdir()
        _write_json(folder / path / "config.json", head.config())  # type: ignore[operator]
        if head.state_dict():
            save_model(head, str(folder / path / "model.safetensors"))
        entry = {"idx": position, "name": str(position), "path": path}
        entries.append({**entry, "type": _type_path(spec.type)})
    _write_json(folder / "modules.json", entries)
    _write_json(
        folder / "config_sentence_transformers.json",
        {
            "prompts": dict(layout.prompts),
            "default_prompt_name": layout.default_prompt_name,
            "similarity_fn_name": layout.similarity,
        },
    )


def _type_path(type_: str) -> str:
    return type_ if "." in type_ else f"sentence_transformers.models.{type_}"


def _save_tokenizer(layout: Layout, tokenizer: InputTokenizer, folder: Path) -> None:
    source = layout.trunk.folder / "tokenizer.json"
    if source.is_file():
        shutil.copyfile(source, folder / source.name)
    else:
        tokenizer.whole.save(str(folder / source.name))
    for name in _TOKENIZER_FILES:
        if (layout.trunk.folder / name).is_file():
            shutil.copyfile(layout.trunk.folder / name, folder / name)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

"""Two checkpoints that compute different things have different fingerprints."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from search_engine.encoders.backends.export_cache import graph_layout
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.checkpoints.fingerprint import fingerprint_of
from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.encoders.checkpoints.module_specs import ROUTER
from search_engine.errors import CheckpointError
from tests.encoders.checkpoints import edit_json, write_json


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


def fingerprint(folder: Path) -> str:
    return fingerprint_of(read_layout(folder, task="embedding"), max_tokens=48)


def shard(folder: Path) -> Path:
    """The weights in a shard whose name says nothing, and the index that names it."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    save_file(state, folder / "part-1.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(state, "part-1.safetensors")}
    write_json(folder / "model.safetensors.index.json", index)
    return folder / "part-1.safetensors"


def pickle_beside_a_stray_file(folder: Path) -> Path:
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    torch.save(state, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


def export_into_the_root(folder: Path) -> Path:
    (folder / "model.safetensors").unlink()
    (folder / "model.onnx").write_bytes(b"a graph")
    return folder / "model.onnx"


def vocabulary_without_a_tokenizer_json(folder: Path) -> Path:
    (folder / "tokenizer.json").unlink()
    write_json(folder / "vocab.json", {"a": 0})
    return folder / "vocab.json"


def template(folder: Path) -> Path:
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    return folder / "chat_template.jinja"


def third_party(folder: Path) -> Path:
    (folder / "1_Scaling").mkdir()
    (folder / "1_Scaling" / "head.npz").write_bytes(b"numbers")
    entries = [("", "sentence_transformers.models.Transformer"), ("1_Scaling", "acme.Scaling")]
    write_json(
        folder / "modules.json",
        [{"idx": i, "name": str(i), "path": p, "type": t} for i, (p, t) in enumerate(entries)],
    )
    return folder / "1_Scaling" / "head.npz"


@pytest.mark.parametrize(
    "prepare",
    [
        shard,
        pickle_beside_a_stray_file,
        export_into_the_root,
        vocabulary_without_a_tokenizer_json,
        template,
        third_party,
    ],
)
def test_each_file_that_is_read_counts(copy: Path, prepare: Callable[[Path], Path]) -> None:
    read = prepare(copy)
    before = fingerprint(copy)
    content = bytearray(read.read_bytes())
    content[-1] ^= 1
    read.write_bytes(content)
    assert fingerprint(copy) != before


def test_weights_under_a_name_of_their_own_are_refused(copy: Path) -> None:
    edit_json(copy / "config.json", {"transformers_weights": "other.safetensors"})
    with pytest.raises(CheckpointError, match="transformers_weights"):
        fingerprint(copy)


def test_the_tokenizers_of_all_routes_count(copy: Path, bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "routed"
    types = {}
    for route in ("query", "document"):
        shutil.copytree(bert, folder / "0_Router" / f"{route}_0_Transformer")
        types[f"{route}_0_Transformer"] = "sentence_transformers.models.Transformer"
        pooling = folder / "0_Router" / f"{route}_1_Pooling"
        pooling.mkdir()
        write_json(pooling / "config.json", {"pooling_mode": "mean"})
        types[pooling.name] = "sentence_transformers.models.Pooling"
    structure = {
        route: [f"{route}_0_Transformer", f"{route}_1_Pooling"] for route in ("query", "document")
    }
    write_json(folder / "0_Router" / "router_config.json", {"types": types, "structure": structure})
    type_ = f"sentence_transformers.models.{ROUTER}"
    write_json(
        folder / "modules.json", [{"idx": 0, "name": "0", "path": "0_Router", "type": type_}]
    )
    seen = {fingerprint(folder)}
    for route in ("query", "document"):
        settings = folder / "0_Router" / f"{route}_0_Transformer" / "tokenizer_config.json"
        edit_json(settings, {"do_lower_case": False})
        seen.add(fingerprint(folder))
    assert len(seen) == 3


def test_what_is_done_to_vectors_changes_the_fingerprint_and_not_the_graph(bert: Path) -> None:
    whole = read_layout(bert, task="embedding")
    short = read_layout(bert, task="embedding", truncate_dim=4)
    fewer = read_layout(bert, task="embedding", num_layers=1)
    assert len({fingerprint_of(each, max_tokens=48) for each in (whole, short, fewer)}) == 3
    graphs = [fingerprint_of(graph_layout(each), max_tokens=48) for each in (whole, short, fewer)]
    assert graphs[0] == graphs[1] != graphs[2]


def test_a_model_saved_twice_is_the_same_model(copy: Path, tmp_path: Path) -> None:
    """Also one whose pooler, which no vector comes from, is missing."""
    state = load_file(copy / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if "pooler." not in name}
    assert len(kept) < len(state)
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    encoder = BiEncoder(str(copy), backend="torch", dtype="float32")
    for name in ("once", "twice"):
        encoder.save(tmp_path / name)
    assert fingerprint(tmp_path / "once") == fingerprint(tmp_path / "twice")
    assert json.loads((tmp_path / "once" / "modules.json").read_text())

"""Weights that are damaged, or not those of the config, are said to be so, and by which file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.errors import CheckpointError
from tests.encoders.checkpoints import edit_json, write_json


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


def open_torch(folder: Path) -> BiEncoder:
    return BiEncoder(str(folder), backend="torch", dtype="float32")


# Each breaks a whole checkpoint, and what the error must then name.
def truncate_header(folder: Path) -> str:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:20])
    return "model.safetensors"


def truncate_data(folder: Path) -> str:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    return "model.safetensors"


def replace_by_garbage(folder: Path) -> str:
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 8)
    return "model.safetensors"


def empty_the_weights(folder: Path) -> str:
    (folder / "model.safetensors").write_bytes(b"")
    return "model.safetensors"


def replace_by_a_corrupt_pickle(folder: Path) -> str:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04\x95garbage")
    return "pytorch_model.bin"


def remove_the_weights(folder: Path) -> str:
    (folder / "model.safetensors").unlink()
    return "neither model.safetensors nor pytorch_model.bin is there"


def take_a_layer_more(folder: Path) -> str:
    edit_json(folder / "config.json", {"num_hidden_layers": 1})
    return "model.safetensors has layers that its config.json does not count: encoder.layer.1."


def change_the_width(folder: Path) -> str:
    edit_json(folder / "config.json", {"hidden_size": 32})
    return "embeddings.LayerNorm.bias is of shape (16,), and by config.json it must be (32,)"


def change_the_vocabulary(folder: Path) -> str:
    edit_json(folder / "config.json", {"vocab_size": 500})
    return "model.safetensors: embeddings.word_embeddings.weight is of shape"


def write_nan(folder: Path) -> str:
    state = load_file(folder / "model.safetensors")
    state["encoder.layer.1.output.dense.weight"][3, 5] = float("nan")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return "model.safetensors: encoder.layer.1.output.dense.weight holds NaN"


def write_infinity(folder: Path) -> str:
    state = load_file(folder / "model.safetensors")
    state["embeddings.LayerNorm.bias"][0] = float("-inf")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return "model.safetensors: embeddings.LayerNorm.bias holds NaN or infinity"


def lose_a_shard(folder: Path) -> str:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    return "index.json: the file 'model-00002-of-00002.safetensors' that it names is missing"


def truncate_a_shard(folder: Path) -> str:
    shard(folder)
    weights = folder / "model-00002-of-00002.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    return "model-00002-of-00002.safetensors"


def lead_a_shard_out(folder: Path) -> str:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").rename(folder.parent / "outside.safetensors")
    point_second_shard(folder, "../outside.safetensors")
    return "model.safetensors.index.json: '../outside.safetensors' leads out of the folder"


def empty_the_index(folder: Path) -> str:
    shard(folder)
    write_json(folder / "model.safetensors.index.json", {"metadata": {}})
    return "model.safetensors.index.json: 'weight_map' names no file"


def name_an_unknown_architecture(folder: Path) -> str:
    edit_json(folder / "config.json", {"model_type": "homemade"})
    return "config.json: transformers cannot read it"


def cut_the_tokenizer(folder: Path) -> str:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text()[:200])
    return "tokenizer.json"


def shard(folder: Path) -> None:
    """The weights in two files and their index, as transformers splits them."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
    places = {key: names[key.startswith("encoder.layer.1.")] for key in state}
    for name in names:
        part = {key: state[key] for key, place in places.items() if place == name}
        save_file(part, folder / name, metadata={"format": "pt"})
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})


def point_second_shard(folder: Path, name: str) -> None:
    path = folder / "model.safetensors.index.json"
    path.write_text(path.read_text().replace("model-00002-of-00002.safetensors", name))


@pytest.mark.parametrize("backend", ["torch", "openvino"])
@pytest.mark.parametrize(
    "break_",
    [
        truncate_header,
        truncate_data,
        replace_by_garbage,
        empty_the_weights,
        replace_by_a_corrupt_pickle,
        remove_the_weights,
        take_a_layer_more,
        change_the_width,
        change_the_vocabulary,
        write_nan,
        write_infinity,
        lose_a_shard,
        truncate_a_shard,
        lead_a_shard_out,
        empty_the_index,
        name_an_unknown_architecture,
        cut_the_tokenizer,
    ],
)
def test_what_is_wrong_is_named(copy: Path, break_: Callable[[Path], str], backend: str) -> None:
    named = break_(copy)
    with pytest.raises(CheckpointError) as raised:
        BiEncoder(str(copy), backend=backend, dtype="float32")
    assert str(copy) in str(raised.value)
    assert named in str(raised.value)


def test_a_sharded_checkpoint_has_the_same_vectors(copy: Path, bert: Path) -> None:
    shard(copy)
    assert (open_torch(copy).encode(["a cell"]) == open_torch(bert).encode(["a cell"])).all()


def test_harmless_extra_weights_are_passed_over(copy: Path, bert: Path, masked_lm: Path) -> None:
    state = load_file(copy / "model.safetensors")
    extra = {
        "embeddings.position_ids": torch.arange(50).unsqueeze(0),
        "cls.predictions.bias": torch.zeros(3),
        "classifier.layers.7.weight": torch.zeros(3, 3),
        "decoder.layer.9.weight": torch.zeros(2),
    }
    whole = {key: weight for key, weight in state.items() if not key.startswith("pooler.")}
    save_file(whole | extra, copy / "model.safetensors", metadata={"format": "pt"})
    assert (open_torch(copy).encode(["a cell"]) == open_torch(bert).encode(["a cell"])).all()
    assert open_torch(masked_lm).dimension == 16  # its head is not asked for


def test_a_model_inside_its_heads_with_layers_to_spare(masked_lm: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(masked_lm, tmp_path / "copy"))
    edit_json(folder / "config.json", {"num_hidden_layers": 1})
    for kind in (BiEncoder, SparseEncoder):
        with pytest.raises(CheckpointError, match=r"does not count: bert\.encoder\.layer\.1\."):
            kind(str(folder), backend="torch")

"""What is wrong with a checkpoint is said as a CheckpointError that names the place."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.errors import CheckpointError, ConfigError
from tests.encoders.checkpoints import MAX_TOKENS, edit_json, write_json


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


def open_torch(folder: Path) -> BiEncoder:
    return BiEncoder(str(folder), backend="torch", dtype="float32")


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_truncated_safetensors(copy: Path, backend: str) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=str(copy)):
        BiEncoder(str(copy), backend=backend)


class Exploit:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.witness),)


def test_a_pickle_with_code_is_refused(copy: Path, tmp_path: Path) -> None:
    state = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    torch.save(state, copy / "pytorch_model.bin")
    before = open_torch(copy).encode(["a cell"])  # tensors alone are fine
    assert before.shape == (1, 16)
    torch.save({**state, "x": Exploit(tmp_path / "ran")}, copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=str(copy)):
        open_torch(copy)
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Exploit(tmp_path / "ran")))
    with pytest.raises(CheckpointError, match=str(copy)):
        open_torch(copy)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_with_code_in_a_dense_module_is_refused(copy: Path, tmp_path: Path) -> None:
    dense = copy / "2_Dense"
    dense.mkdir()
    write_json(dense / "config.json", {"in_features": 16, "out_features": 4})
    torch.save({"x": Exploit(tmp_path / "ran")}, dense / "pytorch_model.bin")
    write_modules(copy, "Pooling", "Dense")
    with pytest.raises(CheckpointError, match="2_Dense"):
        open_torch(copy)
    assert not (tmp_path / "ran").exists()


def write_modules(folder: Path, *types: str) -> None:
    entries = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    ]
    for position, type_ in enumerate(types, 1):
        dotted = type_ if "." in type_ else f"sentence_transformers.models.{type_}"
        entries.append(
            {"idx": position, "name": str(position), "path": f"{position}_{type_}", "type": dotted}
        )
    write_json(folder / "modules.json", entries)
    if "Pooling" in types:
        pooling = folder / f"{types.index('Pooling') + 1}_Pooling"
        pooling.mkdir(exist_ok=True)
        write_json(pooling / "config.json", {"pooling_mode": "mean"})


@pytest.mark.parametrize("type_", ["Reshape", "custom_st.Reshape"])
def test_an_unknown_module_type_is_named(copy: Path, type_: str) -> None:
    write_modules(copy, "Pooling", type_)
    with pytest.raises(CheckpointError, match=f"module type '{type_}' is not supported") as raised:
        open_torch(copy)
    assert "search_engine.modules" in str(raised.value)


def test_a_first_module_that_is_not_a_transformer(copy: Path) -> None:
    write_json(
        copy / "modules.json",
        [{"path": "", "type": "sentence_transformers.models.StaticEmbedding"}],
    )
    with pytest.raises(CheckpointError, match="StaticEmbedding"):
        open_torch(copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{", "cannot be read as JSON"),
        ('[{"idx": 0}]', "needs a 'type' and a 'path'"),
        ('[{"type": "x", "path": "../.."}]', "leads out of the folder"),
        ("[]", "there is no module in it"),
    ],
)
def test_a_malformed_modules_json(copy: Path, content: str, message: str) -> None:
    (copy / "modules.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        open_torch(copy)


def test_an_unknown_pooling_mode_is_named(copy: Path) -> None:
    write_modules(copy, "Pooling")
    write_json(copy / "1_Pooling" / "config.json", {"pooling_mode": "median"})
    with pytest.raises(CheckpointError, match="'median'"):
        open_torch(copy)


def test_a_dense_config_without_a_size(copy: Path) -> None:
    write_modules(copy, "Pooling", "Dense")
    with pytest.raises(CheckpointError, match=r"2_Dense lacks the Dense's config\.json"):
        open_torch(copy)
    (copy / "2_Dense").mkdir()
    write_json(copy / "2_Dense" / "config.json", {"in_features": 16})
    with pytest.raises(CheckpointError, match="out_features"):
        open_torch(copy)


def test_an_activation_that_is_code_of_someone_else(copy: Path) -> None:
    write_modules(copy, "Pooling", "Dense")
    (copy / "2_Dense").mkdir()
    settings = {"in_features": 16, "out_features": 4, "activation_function": "os.system"}
    write_json(copy / "2_Dense" / "config.json", settings)
    with pytest.raises(CheckpointError, match=r"'os\.system' is not one of torch\.nn"):
        open_torch(copy)


def test_an_architecture_that_needs_code_from_the_checkpoint(copy: Path) -> None:
    edit_json(
        copy / "config.json",
        {"model_type": "homemade", "auto_map": {"AutoConfig": "code.C", "AutoModel": "code.M"}},
    )
    (copy / "code.py").write_text(f"open({str(copy / 'ran')!r}, 'w')")
    with pytest.raises(CheckpointError, match=r"config\.json: 'auto_map' says") as raised:
        open_torch(copy)
    assert str(copy) in str(raised.value)
    assert not (copy / "ran").exists()


def test_a_missing_config(copy: Path) -> None:
    write_modules(copy, "Pooling")
    (copy / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json of the transformer is missing"):
        open_torch(copy)


def test_a_broken_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        open_torch(copy)


def test_missing_weights_are_not_made_up(copy: Path, bert: Path) -> None:
    with pytest.raises(CheckpointError, match="masked-language-model head"):
        SparseEncoder(str(bert), backend="torch")
    with pytest.raises(CheckpointError, match="classification head"):
        CrossEncoder(str(bert), backend="torch")
    edit_json(copy / "config.json", {"num_hidden_layers": 3})
    with pytest.raises(CheckpointError, match=r"model\.safetensors lacks .*encoder\.layer\.2\."):
        open_torch(copy)


def test_a_checkpoint_saved_by_a_pickle_of_tensors_has_the_same_vectors(
    copy: Path, bert: Path
) -> None:
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    assert (open_torch(copy).encode(["a cell"]) == open_torch(bert).encode(["a cell"])).all()
    assert json.loads((copy / "config.json").read_text())["model_type"] == "bert"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("modules.json", 3, "must hold a list"),
        ("config.json", [], "must hold an object"),
        ("config_sentence_transformers.json", [], "must hold an object"),
        ("config_sentence_transformers.json", {"prompts": ["q"]}, "'prompts' must be an object"),
        ("config_sentence_transformers.json", {"prompts": {"query": 1}}, "'query' must be a text"),
        ("config_sentence_transformers.json", {"default_prompt_name": []}, "must be a text"),
        ("sentence_bert_config.json", [1], "must hold an object"),
        ("sentence_bert_config.json", {"max_seq_length": "x"}, "must be a whole number, not 'x'"),
        ("sentence_bert_config.json", {"max_seq_length": True}, "must be a whole number"),
        ("sentence_bert_config.json", {"max_seq_length": -1}, "is -1, and must be at least 1"),
        ("sentence_bert_config.json", {"max_seq_length": 0}, "is 0, and must be at least 1"),
        ("tokenizer_config.json", [], "must hold an object"),
        ("tokenizer_config.json", {"model_max_length": "x"}, "must be a number, not 'x'"),
    ],
)
def test_a_setting_of_the_wrong_kind(copy: Path, name: str, content: object, message: str) -> None:
    write_json(copy / name, content)
    with pytest.raises(CheckpointError, match=message) as raised:
        open_torch(copy)
    assert str(copy / name) in str(raised.value)


def test_a_stated_length_without_limit_is_that_of_the_tokenizer(copy: Path) -> None:
    write_json(copy / "sentence_bert_config.json", {"max_seq_length": 10**30})
    assert open_torch(copy).max_tokens == MAX_TOKENS


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("torch.nn.Linear", r"'torch\.nn\.Linear' cannot be made without settings"),
        ("os.system", r"'os\.system' is not one of torch\.nn"),
        (3, "activation 3 is not one of torch"),
    ],
)
def test_an_activation_of_a_cross_encoder_that_is_none(
    classifier: Path, tmp_path: Path, activation: object, message: str
) -> None:
    folder = Path(shutil.copytree(classifier, tmp_path / "copy"))
    write_json(folder / "config_sentence_transformers.json", {"activation_fn": activation})
    with pytest.raises(CheckpointError, match=message) as raised:
        CrossEncoder(str(folder), backend="torch")
    assert str(folder / "config_sentence_transformers.json") in str(raised.value)


def test_an_adapter_is_no_model(copy: Path) -> None:
    write_modules(copy, "Pooling")
    write_json(copy / "adapter_config.json", {"base_model_name_or_path": "base"})
    with pytest.raises(CheckpointError, match=r"adapter_config\.json: this is an adapter"):
        open_torch(copy)
    for name in ("config.json", "model.safetensors"):
        (copy / name).unlink()
    with pytest.raises(CheckpointError, match="an adapter"):
        open_torch(copy)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_vocabulary_that_is_larger_than_the_embeddings(copy: Path, backend: str) -> None:
    state = load_file(copy / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    state[name] = state[name][:50].clone()
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    edit_json(copy / "config.json", {"vocab_size": 50})
    with pytest.raises(CheckpointError, match=r"token ids up to 150, and .* has 50") as raised:
        BiEncoder(str(copy), backend=backend, dtype="float32")
    assert str(copy / "tokenizer.json") in str(raised.value)


def test_weights_of_a_small_module_that_are_not_numbers(copy: Path) -> None:
    write_modules(copy, "Pooling", "Dense")
    (copy / "2_Dense").mkdir()
    write_json(copy / "2_Dense" / "config.json", {"in_features": 16, "out_features": 4})
    weights = {"linear.weight": torch.full((4, 16), float("nan")), "linear.bias": torch.zeros(4)}
    save_file(weights, copy / "2_Dense" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"2_Dense/model\.safetensors: .* holds NaN"):
        open_torch(copy)


def test_the_attention_that_a_config_asks_for_is_not_fetched(copy: Path, bert: Path) -> None:
    for key in ("attn_implementation", "_attn_implementation"):
        edit_json(copy / "config.json", {key: "someone/kernel"})
    assert (open_torch(copy).encode(["a cell"]) == open_torch(bert).encode(["a cell"])).all()


@pytest.mark.parametrize("device", ["mps", "cuda:99", "nowhere"])
def test_a_device_that_is_not_there(bert: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=f"'{device}' cannot be used here"):
        BiEncoder(str(bert), device=device, dtype="float32")

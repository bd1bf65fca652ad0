"""The modules of dense layouts give the vectors of Sentence Transformers' modules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import (
    Dropout,
    LayerNorm,
    Pooling,
    WeightedLayerPooling,
    WordWeights,
)
from tokenizers import Tokenizer

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.modules.convolution import Convolution
from search_engine.encoders.modules.dense import Dense as OurDense
from search_engine.encoders.modules.pooling import Pooling as OurPooling
from search_engine.errors import CheckpointError
from tests.encoders.checkpoints import TEXTS, edit_json, write_trunk

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
# Every text twice, so that long and short ones share batches in whatever order they are sorted.
MIXED = TEXTS * 2


def save(folder: Path, modules: list[torch.nn.Module]) -> Path:
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    return folder


def assert_same(
    folder: Path, reference: Path | None = None, *, backend: str = "torch", alone: bool = False
) -> BiEncoder:
    """Compare vectors; `alone` has the reference encode each text in a batch of its own."""
    theirs = SentenceTransformer(str(reference or folder), device="cpu")
    expected = theirs.encode(list(MIXED), batch_size=1 if alone else 32)
    assert expected.std(axis=0).min() > 1e-4
    ours = BiEncoder(str(folder), backend=backend, dtype="float32")
    np.testing.assert_allclose(ours.encode(MIXED), expected, atol=1e-5, rtol=1e-5)
    assert ours.dimension == expected.shape[1]
    return ours


def assert_saved_the_same(ours: BiEncoder, folder: Path, saved: Path) -> None:
    """What we save is the same to both libraries."""
    ours.save(saved)
    assert_same(saved, folder)
    assert_same(folder, saved)


def weights(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """The module with other parameters than those that it begins with."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5 + 0.3)
    return module


def test_dense_on_tokens_layer_norm_and_dropout(bert: Path, tmp_path: Path) -> None:
    folder = save(
        tmp_path / "st",
        [
            Transformer(str(bert)),
            weights(
                Dense(
                    16,
                    12,
                    activation_function=torch.nn.ReLU(),
                    module_input_name="token_embeddings",
                    use_residual=True,
                ),
                1,
            ),
            Normalize(module_input_name="token_embeddings"),
            Pooling(12, "mean"),
            weights(LayerNorm(12), 2),
            Dropout(0.4),
        ],
    )
    ours = assert_same(folder, backend="openvino")
    assert_saved_the_same(ours, folder, tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "5_Dropout" / "config.json").read_text()) == {
        "dropout": 0.4
    }


def test_residuals_and_no_activation(bert: Path, tmp_path: Path) -> None:
    folder = save(
        tmp_path / "st",
        [
            Transformer(str(bert)),
            Pooling(16, "mean"),
            weights(Dense(16, 16, use_residual=True), 1),
            weights(Dense(16, 5, bias=False, activation_function=None), 2),
        ],
    )
    assert_saved_the_same(assert_same(folder), folder, tmp_path / "saved")


def test_scores_of_a_dense_module(tmp_path: Path) -> None:
    reference = weights(Dense(4, 3, module_output_name="scores"), 1)
    reference.save(str(tmp_path))
    reference.save_config(str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    ours = OurDense.load(tmp_path, config, width=4)
    vectors = torch.randn(5, 4)
    features = ours({"sentence_embedding": vectors})
    assert torch.equal(features["sentence_embedding"], vectors)
    expected = reference({"sentence_embedding": vectors})["scores"]
    torch.testing.assert_close(features["scores"], expected)
    assert {**config, **ours.config()} == config
    with pytest.raises(CheckpointError, match="from 'all_layer_embeddings' to 'scores'"):
        OurDense.load(tmp_path, config | {"module_input_name": "all_layer_embeddings"}, width=4)


def test_weighted_layers(tmp_path: Path) -> None:
    trunk = write_trunk(tmp_path / "trunk")
    edit_json(trunk / "config.json", {"output_hidden_states": True})
    layers = weights(WeightedLayerPooling(16, num_hidden_layers=2, layer_start=1), 1)
    folder = save(tmp_path / "st", [Transformer(str(trunk)), layers, Pooling(16, "mean")])
    ours = assert_same(folder, backend="openvino")
    assert_saved_the_same(ours, folder, tmp_path / "saved")
    weighted = ours.encode(TEXTS)
    # Without all layers the module does nothing, there as here.
    edit_json(folder / "config.json", {"output_hidden_states": False})
    last = assert_same(folder).encode(TEXTS)
    assert np.abs(weighted - last).max() > 0.1


def test_weighted_layers_of_a_shortened_transformer(tmp_path: Path) -> None:
    trunk = write_trunk(tmp_path / "trunk")
    edit_json(trunk / "config.json", {"output_hidden_states": True, "num_hidden_layers": 1})
    layers = WeightedLayerPooling(16, num_hidden_layers=2, layer_start=1)
    folder = save(tmp_path / "st", [Transformer(str(trunk)), layers, Pooling(16, "mean")])
    with pytest.raises(CheckpointError, match=r"weighs 2 layers from layer 1 on, and its .* has 1"):
        BiEncoder(str(folder), backend="torch", dtype="float32")


def test_pooling_divides_by_the_sum_of_word_weights(bert: Path, tmp_path: Path) -> None:
    vocabulary = Tokenizer.from_file(str(bert / "tokenizer.json")).get_vocab()
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    module = WordWeights(words, {"cell": 3.5, "the": 0.1, "[CLS]": 0.0}, unknown_word_weight=0.7)
    modes = ("mean", "mean_sqrt_len_tokens", "weightedmean")
    folder = save(tmp_path / "st", [Transformer(str(bert)), module, Pooling(16, modes)])
    assert_saved_the_same(assert_same(folder), folder, tmp_path / "saved")


@pytest.mark.parametrize("config", [{"pooling_mode": []}, {"pooling_mode_cls_token": False}, {}])
def test_no_pooling_mode_is_the_mean(tmp_path: Path, config: dict[str, Any]) -> None:
    assert OurPooling.load(tmp_path, config, width=4).modes == ("mean",)


def test_pooling_of_masked_tokens_against_the_reference() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(5, 6, 4, generator=generator)
    mask = torch.tensor([[1] * n + [0] * (6 - n) for n in (6, 3, 1, 5, 0)])
    for mode in MODES:
        given = {"token_embeddings": tokens, "attention_mask": mask}
        ours = OurPooling(4, (mode,), include_prompt=True)(dict(given))["sentence_embedding"]
        expected = Pooling(4, mode)(dict(given))["sentence_embedding"]
        # Nothing is as large as minus infinity in a vector that is to be searched.
        torch.testing.assert_close(ours, expected.nan_to_num(neginf=0))
    first = torch.randn(5, 4, generator=generator)
    given = {"token_embeddings": tokens, "attention_mask": mask, "cls_token_embeddings": first}
    assert torch.equal(
        OurPooling(4, ("cls",), include_prompt=True)(given)["sentence_embedding"], first
    )


@pytest.mark.parametrize("architecture", ["llama", "modernbert", "bert"])
def test_left_padding_is_the_same_as_right(tmp_path: Path, architecture: str) -> None:
    trunk = write_trunk(tmp_path / "trunk", architecture=architecture)
    edit_json(trunk / "tokenizer_config.json", {"padding_side": "left"})
    pooling = Pooling(16, ("cls", "lasttoken", "weightedmean"))
    folder = save(tmp_path / "st", [Transformer(str(trunk)), pooling])
    theirs = SentenceTransformer(str(folder), device="cpu")
    assert theirs.tokenizer.padding_side == "left"
    # Where positions are counted from the padding on, the reference gives a text other vectors
    # with other texts beside it than alone.
    assert_same(folder, alone=architecture == "bert")


@pytest.mark.parametrize(("sizes", "strides"), [([1, 2], [1, 1]), ([3, 5], [1, 2])])
def test_windows_that_do_not_align(sizes: list[int], strides: list[int]) -> None:
    with pytest.raises(ValueError, match="all odd or all even"):
        Convolution(4, 2, kernel_sizes=sizes, strides=strides)

"""The first layers of a transformer make the vectors of a transformer that has no others."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.errors import ConfigError
from tests.encoders.checkpoints import TEXTS, edit_json, write_trunk

# Where each family keeps its layers, and what its config calls their number.
STACKS = {
    "bert": ("encoder.layer", "num_hidden_layers"),
    "distilbert": ("transformer.layer", "n_layers"),
    "modernbert": ("layers", "num_hidden_layers"),
    "t5": ("encoder.block", "num_layers"),
    "qwen3": ("layers", "num_hidden_layers"),
}


def open_layers(folder: Path, num_layers: int | None, *, backend: str = "torch") -> BiEncoder:
    return BiEncoder(str(folder), backend=backend, dtype="float32", num_layers=num_layers)


def cut_reference(folder: Path, architecture: str, kept: int) -> np.ndarray[Any, Any]:
    """Mean-pooled vectors of the whole model after its upper layers were thrown away."""
    from transformers import AutoModel, AutoModelForTextEncoding, AutoTokenizer

    loader = AutoModelForTextEncoding if architecture == "t5" else AutoModel
    model = loader.from_pretrained(folder).eval()
    if architecture == "albert":
        model.config.num_hidden_layers = kept  # the one layer that it has is run so many times
    else:
        parent, _, name = STACKS[architecture][0].rpartition(".")
        stack = model.get_submodule(parent)
        setattr(stack, name, getattr(stack, name)[:kept])
        model.config.num_hidden_layers = kept
    tokenizer = AutoTokenizer.from_pretrained(folder)
    vectors = []
    with torch.inference_mode():
        for text in TEXTS:
            inputs = tokenizer(text, truncation=True, return_tensors="pt")
            if architecture in ("t5", "qwen3"):
                inputs.pop("token_type_ids", None)
            vectors.append(model(**inputs).last_hidden_state[0].mean(dim=0).numpy())
    return np.stack(vectors)


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers.*")
@pytest.mark.parametrize("architecture", [*STACKS, "albert"])
def test_the_first_layers_of_each_family(tmp_path: Path, architecture: str) -> None:
    folder = write_trunk(tmp_path / "trunk", architecture=architecture, layers=3)
    ours = open_layers(folder, 2)
    expected = cut_reference(folder, architecture, 2)
    np.testing.assert_allclose(ours.encode(TEXTS), expected, atol=1e-5)
    whole = open_layers(folder, None)
    assert np.abs(whole.encode(TEXTS) - expected).max() > 1e-3
    np.testing.assert_array_equal(open_layers(folder, 3).encode(TEXTS), whole.encode(TEXTS))
    assert ours.fingerprint != whole.fingerprint


def test_openvino_keeps_the_graphs_of_each_number_apart(tmp_path: Path) -> None:
    folder = write_trunk(tmp_path / "trunk", layers=3)
    for kept in (1, 2, None, 1):
        np.testing.assert_allclose(
            open_layers(folder, kept, backend="openvino").encode(TEXTS),
            open_layers(folder, kept).encode(TEXTS),
            atol=1e-5,
        )


@pytest.mark.parametrize("architecture", ["distilbert", "t5", "modernbert"])
def test_a_saved_model_has_so_many_layers(tmp_path: Path, architecture: str) -> None:
    folder = write_trunk(tmp_path / "trunk", architecture=architecture, layers=3)
    ours = open_layers(folder, 1)
    ours.save(tmp_path / "saved")
    stack, setting = STACKS[architecture]
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config[setting] == 1
    with safe_open(tmp_path / "saved" / "model.safetensors", framework="np") as weights:
        names = [name for name in weights.keys() if f"{stack}." in name]  # noqa: SIM118
    assert names
    assert all(f"{stack}.0." in name for name in names)
    again = open_layers(tmp_path / "saved", None)
    np.testing.assert_array_equal(again.encode(TEXTS), ours.encode(TEXTS))


@pytest.mark.parametrize("backend", ["torch", "openvino"])
@pytest.mark.parametrize("kept", [-1, 0, 3])
def test_a_number_that_the_model_has_not(bert: Path, backend: str, kept: int) -> None:
    with pytest.raises(ConfigError, match=f"num_layers is {kept}, but .* has 2 layers") as raised:
        open_layers(bert, kept, backend=backend)
    assert str(bert) in str(raised.value)


def test_layers_in_groups_cannot_be_left_out(tmp_path: Path) -> None:
    from transformers import AlbertConfig, AlbertModel

    folder = write_trunk(tmp_path / "trunk", architecture="albert", layers=4)
    grouped = AlbertConfig.from_pretrained(folder)
    grouped.num_hidden_groups = 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        AlbertModel(grouped).save_pretrained(folder)
    assert open_layers(folder, None).encode(["a cell"]).shape == (1, 16)
    with pytest.raises(ConfigError, match=r"'albert' .* cannot do with fewer layers"):
        open_layers(folder, 2)


def test_a_model_whose_blocks_are_no_layers(tmp_path: Path) -> None:
    from transformers import FunnelConfig, FunnelModel

    folder = write_trunk(tmp_path / "trunk")
    sizes = {"d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32, "block_sizes": [1, 1]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FunnelModel(FunnelConfig(vocab_size=200, **sizes)).save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"'funnel' .* cannot do with fewer layers"):
        open_layers(folder, 1)


def test_layers_that_the_config_does_not_count_may_be_left_out_by_name(tmp_path: Path) -> None:
    folder = write_trunk(tmp_path / "trunk", layers=3)
    expected = open_layers(folder, 1).encode(TEXTS)
    edit_json(folder / "config.json", {"num_hidden_layers": 2})
    np.testing.assert_array_equal(open_layers(folder, 1).encode(TEXTS), expected)

"""Checkpoints that would write elsewhere, never end, or score by chance are refused."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from search_engine.encoders.backends.openvino_conversion import convert_module
from search_engine.encoders.backends.selection import ExportError
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.building import build_checkpoint
from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.modules.pooling import Pooling
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.encoders.tokenizers.chat_template import _refuse_powers
from search_engine.errors import CheckpointError, ConfigError, ModelNotFoundError
from tests.encoders.checkpoints import edit_json, write_json, write_trunk


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


@pytest.mark.parametrize("path", ["/etc", "../..", "a\0b"])
def test_a_path_out_of_the_folder(copy: Path, path: str) -> None:
    type_ = "sentence_transformers.models.Transformer"
    write_json(copy / "modules.json", [{"idx": 0, "name": "0", "path": path, "type": type_}])
    with pytest.raises(CheckpointError, match=r"modules\.json: path .* leads out of the folder"):
        read_layout(copy, task="embedding")


def test_json_that_is_too_deep(copy: Path) -> None:
    (copy / "modules.json").write_text("[" * 200_000)
    with pytest.raises(CheckpointError, match=r"modules\.json cannot be read as JSON"):
        read_layout(copy, task="embedding")


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("config_sentence_transformers.json", {"truncate_dim": -5}, "'truncate_dim' is -5"),
        ("config_sentence_transformers.json", {"max_active_dims": 0}, "'max_active_dims' is 0"),
        ("config_sentence_transformers.json", {"similarity_fn_name": "jaccard"}, "'jaccard'"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "SparseEncoder"),
        ("config.json", {"type_vocab_size": "x"}, "'type_vocab_size' must be a whole number"),
        ("config.json", {"model_type": ["bert"]}, "'model_type' must be a text"),
        ("tokenizer_config.json", {"do_lower_case": "yes"}, "'do_lower_case' must be true or"),
    ],
)
def test_settings_that_mean_nothing(
    copy: Path, file: str, changes: dict[str, object], message: str
) -> None:
    edit_json(copy / file, changes)
    with pytest.raises(CheckpointError, match=message) as raised:
        BiEncoder(str(copy), backend="torch")
    assert file in str(raised.value)


def test_a_cross_encoder_without_its_pooler_would_score_by_chance(
    classifier: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(classifier, tmp_path / "copy"))
    state = load_file(copy / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if "pooler." not in name}
    assert len(kept) < len(state)
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks weights .*pooler"):
        CrossEncoder(str(copy), backend="torch")


def test_a_checkpoint_without_a_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        BiEncoder(str(copy), backend="torch")


def test_a_pooling_without_its_settings_or_for_another_model(copy: Path) -> None:
    types = ("Transformer", "Pooling")
    entries = [
        {"idx": i, "name": str(i), "path": "" if i == 0 else "1_Pooling",
         "type": f"sentence_transformers.models.{type_}"}
        for i, type_ in enumerate(types)
    ]  # fmt: skip
    write_json(copy / "modules.json", entries)
    with pytest.raises(CheckpointError, match=r"1_Pooling lacks the Pooling's config\.json"):
        BiEncoder(str(copy), backend="torch")
    (copy / "1_Pooling").mkdir()
    write_json(copy / "1_Pooling" / "config.json", {"word_embedding_dimension": 8})
    with pytest.raises(CheckpointError, match="vectors of 8 numbers"):
        BiEncoder(str(copy), backend="torch")
    write_json(copy / "modules.json", entries[:1])
    with pytest.raises(CheckpointError, match="makes one vector of a text"):
        BiEncoder(str(copy), backend="torch")


def test_a_dense_model_is_no_sparse_encoder() -> None:
    with pytest.raises(CheckpointError, match="open it with BiEncoder"):
        SparseEncoder("all-MiniLM-L6-v2", offline=True)


def test_no_name_and_a_file() -> None:
    with pytest.raises(ModelNotFoundError, match="no model is named"):
        BiEncoder("", offline=True)
    with pytest.raises(ModelNotFoundError, match="is a file"):
        BiEncoder(__file__, offline=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "ranking"}, "task is 'ranking'"),
        ({"similarity": "jaccard"}, "similarity is 'jaccard'"),
        ({"default_prompt_name": "query"}, "default_prompt_name is 'query'"),
        ({"max_tokens": 0}, "max_tokens is 0"),
    ],
)
def test_building_with_settings_that_mean_nothing(
    bert: Path, tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build_checkpoint(tmp_path / "built", [str(bert), Pooling(16, ("cls",))], **settings)
    assert not (tmp_path / "built").exists()


def test_a_template_that_raises_to_powers() -> None:
    _refuse_powers("{% for m in messages %}{{ m.content * 2 }}{% endfor %}", source="here")
    with pytest.raises(CheckpointError, match="here: its chat template raises a number to a power"):
        _refuse_powers({"default": "{{ (7 ** (3 ** 16)) | string | length }}"}, source="here")


def test_rotations_that_depend_on_the_length(tmp_path: Path) -> None:
    """OpenVINO and ONNX would fix those of the traced length; torch is taken instead."""
    folder = write_trunk(tmp_path / "rope", architecture="llama")
    rotations = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    edit_json(folder / "config.json", {"rope_parameters": rotations})
    encoder = BiEncoder(str(folder), dtype="float32")
    assert encoder.backend == "torch"
    exact = BiEncoder(str(folder), backend="torch", dtype="float32")
    texts = ["a cell " * 40, "x"]
    np.testing.assert_array_equal(encoder.encode(texts), exact.encode(texts))


def test_a_conversion_that_fails_leaves_logging_as_it_is(tmp_path: Path) -> None:
    """OpenVINO sets the root logger to errors only, and back only where it succeeds."""
    root = logging.getLogger()
    before = root.level, list(root.filters), list(root.handlers)

    class Unconvertible(nn.Module):
        def forward(self, ids: Tensor) -> Tensor:
            raise ValueError("no")

    with pytest.raises(ExportError, match="OpenVINO cannot convert"):
        convert_module(Unconvertible(), ["input_ids"], source=tmp_path)
    assert (root.level, list(root.filters), list(root.handlers)) == before

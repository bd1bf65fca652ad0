"""A student of some of the teacher's layers has their weights, and the vectors they make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.errors import ConfigError
from search_engine.training.distillation.fewer_layers import spread_layers, write_fewer_layers
from tests.encoders.checkpoints import (
    TEXTS,
    edit_json,
    write_sentence_transformer,
    write_trunk,
)

# Where each family keeps its layers.
STACKS = {
    "bert": "encoder.layer",
    "distilbert": "transformer.layer",
    "modernbert": "layers",
    "qwen3": "layers",
    "t5": "encoder.block",
}


def cut_reference(folder: Path, architecture: str, chosen: list[int]) -> np.ndarray:
    """Mean-pooled vectors of the whole model after all layers but the chosen were thrown away."""
    from transformers import AutoModel, AutoModelForTextEncoding, AutoTokenizer

    loader = AutoModelForTextEncoding if architecture == "t5" else AutoModel
    model = loader.from_pretrained(folder).eval()
    parent, _, name = STACKS[architecture].rpartition(".")
    stack = model.get_submodule(parent)
    layers = getattr(stack, name)
    setattr(stack, name, torch.nn.ModuleList(layers[number] for number in chosen))
    model.config.num_hidden_layers = len(chosen)
    model.config.use_cache = False
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[number] for number in chosen]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    vectors = []
    with torch.inference_mode():
        for text in TEXTS:
            inputs = tokenizer(text, truncation=True, return_tensors="pt")
            if architecture in ("t5", "qwen3"):
                inputs.pop("token_type_ids", None)
            vectors.append(model(**inputs).last_hidden_state[0].mean(dim=0).numpy())
    return np.stack(vectors)


@pytest.mark.parametrize("architecture", list(STACKS))
def test_the_layers_of_each_family(tmp_path: Path, architecture: str) -> None:
    trunk = write_trunk(tmp_path / "trunk", architecture=architecture, layers=5)
    chosen = [0, 2, 3]
    write_fewer_layers(str(trunk), tmp_path / "student", layers=chosen, offline=True)
    before = load_file(trunk / "model.safetensors")
    after = load_file(tmp_path / "student" / "model.safetensors")
    stack = STACKS[architecture]
    compared = 0
    for name, weight in after.items():
        source = name
        for position, number in enumerate(chosen):
            if name.startswith(f"{stack}.{position}."):
                source = name.replace(f"{stack}.{position}.", f"{stack}.{number}.", 1)
                compared += 1
        assert torch.equal(weight, before[source]), name
    kept = tuple(f"{stack}.{number}." for number in chosen)
    assert compared == sum(name.startswith(kept) for name in before)
    expected = cut_reference(trunk, architecture, chosen)
    student = BiEncoder(str(tmp_path / "student"), backend="torch", dtype="float32")
    for text, vector in zip(TEXTS, expected, strict=True):
        np.testing.assert_allclose(student.encode([text])[0], vector, atol=2e-5)


def test_other_modules_and_settings_stay(teacher: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    write_fewer_layers(str(teacher), tmp_path / "student", layers=[1, 3])
    student = BiEncoder(str(tmp_path / "student"), backend="torch", dtype="float32")
    assert student.prompts["query"] == "query "
    vectors = student.encode_query(list(TEXTS))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    theirs = SentenceTransformer(str(tmp_path / "student"), device="cpu", local_files_only=True)
    expected = theirs.encode(list(TEXTS), prompt_name="query")
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert len(theirs[0].auto_model.encoder.layer) == 2


def test_sparse_and_cross_encoders(tmp_path: Path) -> None:
    for head, kind, encoder in (
        ("MaskedLM", "sparse", SparseEncoder),
        ("SequenceClassification", "cross", CrossEncoder),
    ):
        trunk = write_trunk(tmp_path / kind, head=head, layers=3)
        folder = tmp_path / f"{kind}-student"
        write_fewer_layers(str(trunk), folder, layers=[0, 2], kind=kind)  # type: ignore[arg-type]
        before = load_file(trunk / "model.safetensors")
        after = load_file(folder / "model.safetensors")
        moved = {name.replace("layer.1.", "layer.2.") for name in after}
        assert moved == {name for name in before if "layer.1." not in name}
        assert all(
            torch.equal(weight, before[name.replace("layer.1.", "layer.2.")])
            for name, weight in after.items()
        )
        assert encoder(str(folder), backend="torch", offline=True).name == str(folder)  # type: ignore[operator]


def test_layers_that_are_not_there(teacher: Path, tmp_path: Path) -> None:
    for layers in ([], [2, 1], [1, 1], [-1, 2]):
        with pytest.raises(ConfigError, match="ascending order"):
            write_fewer_layers(str(teacher), tmp_path / "student", layers=layers)
    with pytest.raises(ConfigError, match=r"no layer 4: .* has 4"):
        write_fewer_layers(str(teacher), tmp_path / "student", layers=[0, 4])
    assert not (tmp_path / "student").exists()


def test_architectures_that_cannot_do_without(tmp_path: Path) -> None:
    shared = write_trunk(tmp_path / "albert", architecture="albert", layers=3)
    with pytest.raises(ConfigError, match="share their weights"):
        write_fewer_layers(str(shared), tmp_path / "student", layers=[0, 2])
    # The first layer of T5 holds what all know of distances.
    t5 = write_trunk(tmp_path / "t5", architecture="t5", layers=3)
    with pytest.raises(ConfigError, match="Keep the first layer"):
        write_fewer_layers(str(t5), tmp_path / "student", layers=[1, 2])
    assert not (tmp_path / "student").exists()


def test_layers_are_spread_evenly(teacher: Path, tmp_path: Path) -> None:
    assert spread_layers(str(teacher), 1) == [0]
    assert spread_layers(str(teacher), 2) == [0, 3]
    assert spread_layers(str(teacher), 3) == [0, 2, 3]
    assert spread_layers(str(teacher), 4) == [0, 1, 2, 3]
    for count in (0, 5):
        with pytest.raises(ConfigError, match="of the 4"):
            spread_layers(str(teacher), count)


def test_what_truncates_the_vectors_stays(tmp_path: Path, bert: Path) -> None:
    folder = write_sentence_transformer(tmp_path / "model", bert)
    edit_json(folder / "config_sentence_transformers.json", {"truncate_dim": 5})
    write_fewer_layers(str(folder), tmp_path / "cut", layers=[1])
    assert BiEncoder(str(tmp_path / "cut"), backend="torch").dimension == 5

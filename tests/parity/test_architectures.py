"""Each family of transformers gives Sentence Transformers' vectors, on both backends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.errors import CheckpointError
from tests.encoders.checkpoints import (
    ARCHITECTURES,
    MAX_TOKENS,
    TEXTS,
    edit_json,
    write_sentence_transformer,
    write_trunk,
)

DECODERS = ("qwen2", "qwen3", "llama", "mistral")
# The default run converts those that differ in what they see and in how they count positions.
CONVERTED = ("mpnet", "deberta-v3", "modernbert", "t5", "mistral")
ALSO_CONVERTED = sorted(set(ARCHITECTURES) - {*CONVERTED, "gpt2", "longformer"})


def write_family(folder: Path, architecture: str) -> Path:
    trunk = write_trunk(folder / "trunk", architecture=architecture)
    pooling = "lasttoken" if architecture in DECODERS else "mean"
    return write_sentence_transformer(folder / "st", trunk, pooling=pooling)


def assert_same(folder: Path, *, backend: str, batch_size: int = 32) -> BiEncoder:
    theirs = SentenceTransformer(str(folder), device="cpu")
    ours = BiEncoder(str(folder), backend=backend, dtype="float32")
    expected = theirs.encode(list(TEXTS), batch_size=batch_size)
    assert expected.std(axis=0).mean() > 0.05
    np.testing.assert_allclose(ours.encode(TEXTS), expected, atol=1e-5)
    assert ours.backend == backend
    assert ours.max_tokens == theirs.max_seq_length == MAX_TOKENS
    assert ours.truncated_texts > 0
    return ours


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"gpt2", "longformer"}))
def test_torch(tmp_path: Path, architecture: str) -> None:
    folder = write_family(tmp_path, architecture)
    ours = assert_same(folder, backend="torch")
    # Padding changes nothing.
    alone = np.concatenate([ours.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(ours.encode(TEXTS), alone, atol=1e-5)
    ours.save(tmp_path / "saved")
    again = SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(list(TEXTS))
    np.testing.assert_allclose(ours.encode(TEXTS), again, atol=1e-5)


@pytest.mark.parametrize(
    "architecture",
    [*CONVERTED, *(pytest.param(name, marks=pytest.mark.slow) for name in ALSO_CONVERTED)],
)
def test_openvino(tmp_path: Path, architecture: str) -> None:
    assert_same(write_family(tmp_path, architecture), backend="openvino")


def test_a_full_t5_whose_config_has_the_decoder(tmp_path: Path) -> None:
    from transformers import T5Config, T5Model

    folder = write_trunk(tmp_path / "trunk", architecture="t5")
    T5Model(T5Config.from_pretrained(folder, is_encoder_decoder=True)).save_pretrained(folder)
    assert_same(write_sentence_transformer(tmp_path / "st", folder), backend="torch")
    theirs = SentenceTransformer(str(tmp_path / "st"), device="cpu").encode(list(TEXTS))
    bare = BiEncoder(str(folder), backend="torch", dtype="float32")
    np.testing.assert_allclose(bare.encode(TEXTS), theirs, atol=1e-5)


def test_an_encoder_decoder_that_is_none_of_ours_is_named(tmp_path: Path) -> None:
    folder = write_trunk(tmp_path / "trunk")
    edit_json(folder / "config.json", {"model_type": "bart", "is_encoder_decoder": True})
    with pytest.raises(CheckpointError, match=r"config\.json: of an encoder-decoder.*'bart'"):
        BiEncoder(str(folder), backend="torch")


def test_learned_positions_of_a_decoder_begin_at_the_text(tmp_path: Path) -> None:
    # The reference pads this model on the left and counts the padding, so its vectors are those
    # of the text only where nothing is padded.
    assert_same(write_family(tmp_path, "gpt2"), backend="torch", batch_size=1)


@pytest.mark.slow
def test_what_cannot_be_converted_falls_back_to_torch(tmp_path: Path) -> None:
    folder = write_family(tmp_path, "longformer")
    with pytest.raises(CheckpointError, match="cannot convert"):
        BiEncoder(str(folder), backend="openvino", dtype="float32")
    assert BiEncoder(str(folder), dtype="float32").backend == "torch"
    assert_same(folder, backend="torch")


@pytest.mark.parametrize("architecture", ["electra", "deberta-v3", "modernbert", "xlm-roberta"])
def test_pairs(tmp_path: Path, architecture: str) -> None:
    from sentence_transformers import CrossEncoder as TheirCrossEncoder

    folder = write_trunk(
        tmp_path / "trunk", architecture=architecture, head="SequenceClassification"
    )
    pairs = [("what is a cell", text) for text in TEXTS]
    expected = TheirCrossEncoder(str(folder), device="cpu").predict(pairs)
    assert expected.std() > 1e-3
    ours = CrossEncoder(str(folder), backend="torch", dtype="float32")
    np.testing.assert_allclose(ours.predict(pairs), expected, atol=1e-5)

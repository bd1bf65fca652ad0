"""What the bi-encoder promises beyond parity: order, batches, counts, fingerprints, settings."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_engine.encoders import inference
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.checkpoints.fingerprint import fingerprint_of
from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.encoders.tokenizers.text_tokenizer import TextTokenizer
from search_engine.errors import ConfigError
from tests.encoders.checkpoints import MAX_TOKENS, TEXTS, edit_json, write_sentence_transformer

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning:transformers.*", "ignore::DeprecationWarning"
)


@pytest.fixture(scope="module")
def torch_encoder(bert: Path) -> BiEncoder:
    return BiEncoder(str(bert), backend="torch", dtype="float32")


@pytest.fixture(scope="module")
def openvino_encoder(bert: Path) -> BiEncoder:
    return BiEncoder(str(bert), backend="openvino", dtype="float32")


texts = st.lists(st.text(max_size=40) | st.sampled_from(TEXTS), max_size=30)


@pytest.mark.parametrize("name", ["torch_encoder", "openvino_encoder"])
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=texts, budget=st.integers(1, 400), window=st.integers(1, 40))
def test_together_in_any_order_as_one_by_one(
    request: pytest.FixtureRequest, name: str, texts: list[str], budget: int, window: int
) -> None:
    encoder: BiEncoder = request.getfixturevalue(name)
    finished: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder._inference.first, "_token_budget", budget)
        patch.setattr(inference, "WINDOW", window)
        together = encoder.encode(texts, on_batch=finished.append)
    alone = [encoder.encode([text])[0] for text in texts]
    assert together.dtype == np.float32
    assert together.shape == (len(texts), 16)
    np.testing.assert_allclose(together, np.reshape(alone, together.shape), atol=2e-5)
    assert sum(finished) == len(texts)


def test_nothing_to_encode(torch_encoder: BiEncoder) -> None:
    assert torch_encoder.encode([]).shape == (0, 16)
    assert torch_encoder.encode_query([]).dtype == np.float32


def test_text_that_was_cut_is_counted(bert: Path) -> None:
    encoder = BiEncoder(str(bert), backend="torch", dtype="float32")
    fits, cut = "x " * (MAX_TOKENS - 2), "x " * (MAX_TOKENS - 1)
    encoder.encode([fits, cut, "x", cut])
    assert (encoder.truncated_texts, encoder.truncated_tokens) == (2, 2)
    encoder.encode_query([cut + "x x"])
    assert (encoder.truncated_texts, encoder.truncated_tokens) == (3, 5)
    assert encoder.max_tokens == MAX_TOKENS
    # For chunking, the tokenizer itself cuts and pads nothing.
    assert len(encoder.tokenizer.encode(cut * 10).ids) == 10 * (MAX_TOKENS - 1) + 2
    assert len(encoder.tokenizer.encode("x").ids) == 3


def test_half_a_surrogate_pair_is_read_as_a_replacement(torch_encoder: BiEncoder) -> None:
    found = torch_encoder.encode(["a \ud83d cell", "the cell"])
    np.testing.assert_array_equal(found, torch_encoder.encode(["a ? cell", "the cell"]))


def test_a_prompt_that_does_not_exist(torch_encoder: BiEncoder) -> None:
    with pytest.raises(ConfigError, match=r"no prompt named 'q'; it has document, query\."):
        torch_encoder.encode(["x"], prompt_name="q")


def test_fingerprint_follows_what_changes_a_vector(bert: Path, tmp_path: Path) -> None:
    folder = write_sentence_transformer(tmp_path / "st", bert, dense=True)

    def fingerprint() -> str:
        layout = read_layout(folder, task="embedding")
        return fingerprint_of(layout, max_tokens=TextTokenizer(layout).max_tokens)

    first = fingerprint()
    seen = {first}
    elsewhere = shutil.copytree(folder, tmp_path / "elsewhere")
    for dtype in ("float32", "bfloat16"):
        encoder = BiEncoder(str(elsewhere), backend="torch", dtype=dtype)
        assert encoder.fingerprint == first
    edit_json(folder / "config.json", {"transformers_version": "0", "_name_or_path": "x"})
    assert fingerprint() == first
    for file, change in (
        ("sentence_bert_config.json", {"max_seq_length": 20}),
        ("config_sentence_transformers.json", {"prompts": {"query": "the "}}),
        ("1_Pooling/config.json", {"pooling_mode": "cls"}),
        ("config.json", {"layer_norm_eps": 1e-3}),
        ("tokenizer_config.json", {"do_lower_case": False}),
    ):
        edit_json(folder / file, change)
        seen.add(fingerprint())
    dense = folder / "2_Dense" / "model.safetensors"
    content = bytearray(dense.read_bytes())
    content[-1] ^= 1
    dense.write_bytes(content)
    seen.add(fingerprint())
    assert len(seen) == 7
    assert all(len(each) == 64 for each in seen)


def test_saving_into_a_folder_that_is_not_empty(torch_encoder: BiEncoder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is not empty"):
        torch_encoder.save(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": "jax"}, "'jax' is not one of"),
        ({"dtype": "int4"}, "'int4' is not one of"),
        ({"dtype": "float16"}, "float16 is for GPUs"),
        ({"backend": "openvino", "device": "cuda"}, "runs on the CPU"),
    ],
)
def test_settings_that_contradict(bert: Path, given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BiEncoder(str(bert), **given)


def test_what_auto_becomes(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from search_engine.encoders.backends import selection

    monkeypatch.setattr(selection, "_cpu_has_bfloat16", lambda: True)
    encoder = BiEncoder(str(bert))
    assert (encoder.backend, encoder.dtype) == ("openvino", "bfloat16")
    monkeypatch.setattr(selection, "_cpu_has_bfloat16", lambda: False)
    monkeypatch.setattr(selection, "find_spec", lambda _name: None)
    encoder = BiEncoder(str(bert))
    assert (encoder.backend, encoder.dtype) == ("torch", "float32")
    with pytest.raises(ConfigError, match="openvino is not installed"):
        BiEncoder(str(bert), backend="openvino")

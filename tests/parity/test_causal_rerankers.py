"""Causal language models that answer yes or no give the scores of Sentence Transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import CrossEncoder as TheirCrossEncoder
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.cross_encoder.modules import Transformer as TheirTransformer

from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.errors import CheckpointError
from tests.encoders.causal_checkpoints import (
    MAX_TOKENS,
    STRUCTURED,
    TEMPLATE,
    write_causal_model,
)
from tests.encoders.checkpoints import TEXTS, edit_json, write_json

# Some are cut, and lengths differ, so that there is padding: on their left, on our right.
PAIRS = [("what is a cell", text) for text in TEXTS]
INSTRUCTION = "the shorter one"


def assert_same(folder: Path, *, backend: str = "torch") -> CrossEncoder:
    theirs = TheirCrossEncoder(str(folder), device="cpu")
    ours = CrossEncoder(str(folder), backend=backend, dtype="float32")
    for prompt in (None, INSTRUCTION):
        expected = theirs.predict(PAIRS, prompt=prompt)
        assert expected.std() > 1e-3
        np.testing.assert_allclose(ours.predict(PAIRS, prompt=prompt), expected, atol=1e-5)
    assert not np.allclose(theirs.predict(PAIRS), expected, atol=1e-4)
    assert ours.truncated_texts > 0
    assert ours.max_tokens == theirs.max_seq_length == MAX_TOKENS
    return ours


@pytest.mark.parametrize("template", [None, TEMPLATE], ids=["plain", "template"])
@pytest.mark.parametrize(
    ("architecture", "backend", "sizes"),
    [
        ("Llama", "torch", {}),
        ("Qwen2", "openvino", {}),
        ("Qwen3", "torch", {"tie_word_embeddings": True}),
        # Its logits are capped behind the head.
        ("Gemma2", "torch", {"final_logit_softcapping": 0.5}),
    ],
)
def test_bare_language_models(
    tmp_path: Path, architecture: str, backend: str, sizes: dict[str, object], template: str | None
) -> None:
    folder = write_causal_model(
        tmp_path / "model", architecture=architecture, template=template, **sizes
    )
    assert_same(folder, backend=backend)


@pytest.mark.parametrize("template", [None, TEMPLATE], ids=["plain", "template"])
@pytest.mark.parametrize("false", [None, 30])
def test_the_layout_with_answers_of_its_own(
    tmp_path: Path, false: int | None, template: str | None
) -> None:
    trunk = write_causal_model(tmp_path / "trunk", template=template)
    model = TheirCrossEncoder(
        modules=[
            TheirTransformer(str(trunk), transformer_task="text-generation"),
            LogitScore(true_token_id=77, false_token_id=false),
        ],
        prompts={"other": "find it"},
        activation_fn=torch.nn.Identity(),
        device="cpu",
    )
    model.save(str(tmp_path / "saved"), create_model_card=False)
    assert_same(tmp_path / "saved")
    named = CrossEncoder(str(tmp_path / "saved"), backend="torch", dtype="float32")
    np.testing.assert_allclose(
        named.predict(PAIRS, prompt_name="other"),
        model.predict(PAIRS, prompt_name="other"),
        atol=1e-5,
    )


def test_content_in_parts_and_variables_of_the_template(tmp_path: Path) -> None:
    folder = write_causal_model(tmp_path / "model", template=STRUCTURED)
    assert_same(folder)
    TheirCrossEncoder(
        modules=[
            TheirTransformer(
                str(folder),
                transformer_task="text-generation",
                processing_kwargs={"chat_template": {"add_generation_prompt": True}},
            ),
            LogitScore(true_token_id=77),
        ],
        device="cpu",
    ).save(str(tmp_path / "saved"), create_model_card=False)
    asked = assert_same(tmp_path / "saved")
    edit_json(tmp_path / "saved" / "sentence_bert_config.json", {"processing_kwargs": {}})
    assert not np.allclose(asked.predict(PAIRS), assert_same(tmp_path / "saved").predict(PAIRS))


def test_a_layout_that_does_not_name_messages_takes_texts_as_they_are(tmp_path: Path) -> None:
    trunk = write_causal_model(tmp_path / "trunk", template=TEMPLATE)
    TheirCrossEncoder(str(trunk), device="cpu").save(str(tmp_path / "s"), create_model_card=False)
    rendered = assert_same(tmp_path / "s").predict(PAIRS)
    text = {"text": {"method": "forward", "method_output_name": "logits"}}
    edit_json(tmp_path / "s" / "sentence_bert_config.json", {"modality_config": text})
    assert not np.allclose(assert_same(tmp_path / "s").predict(PAIRS), rendered, atol=1e-4)


def test_only_the_rows_of_the_answers_are_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_causal_model(tmp_path / "model")
    widths: list[int] = []
    forward = transformers.Qwen3ForCausalLM.forward

    def watched(self: torch.nn.Module, *args: object, **named: object) -> object:
        outputs = forward(self, *args, **named)
        widths.append(outputs.logits.shape[-1])
        return outputs

    monkeypatch.setattr(transformers.Qwen3ForCausalLM, "forward", watched)
    CrossEncoder(str(folder), backend="torch", dtype="float32").predict(PAIRS)
    assert set(widths) == {2}


def test_answers_that_the_model_does_not_have(tmp_path: Path) -> None:
    folder = write_causal_model(tmp_path / "model", template=TEMPLATE)
    TheirCrossEncoder(str(folder), device="cpu").save(str(tmp_path / "s"), create_model_card=False)
    for changes, message in (
        ({"false_token_id": 9999}, "none of the id 9999"),
        ({"true_token_id": -1}, "none of the id -1; correct"),
        ({"true_token_id": None}, "'true_token_id' is missing"),
        ({"true_token_id": "yes"}, "must be a whole number"),
        ({"module_input_name": "logits"}, "'logits' is not supported"),
    ):
        config = tmp_path / "s" / "1_LogitScore" / "config.json"
        kept = config.read_text()
        edit_json(config, changes)
        with pytest.raises(CheckpointError, match=message):
            CrossEncoder(str(tmp_path / "s"), backend="torch")
        config.write_text(kept)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    del tokenizer["model"]["vocab"]["no"]
    tokenizer["model"]["merges"].remove(["n", "o"])
    write_json(folder / "tokenizer.json", tokenizer)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: .*lacks a token for one of them"):
        CrossEncoder(str(folder), backend="torch")


def test_what_we_save_is_loaded_by_both(tmp_path: Path) -> None:
    folder = write_causal_model(tmp_path / "model", tie_word_embeddings=True)
    exact = assert_same(folder)
    exact.save(tmp_path / "saved")
    assert (assert_same(tmp_path / "saved").predict(PAIRS) == exact.predict(PAIRS)).all()


def test_bfloat16_is_close(tmp_path: Path) -> None:
    folder = write_causal_model(tmp_path / "model", template=TEMPLATE)
    exact = CrossEncoder(str(folder), backend="torch", dtype="float32").predict(PAIRS)
    rough = CrossEncoder(str(folder), backend="torch", dtype="bfloat16").predict(PAIRS)
    np.testing.assert_allclose(rough, exact, atol=0.05)

"""Our bi-encoder gives Sentence Transformers' vectors; each loads what the other saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from search_engine.encoders.bi_encoder import BiEncoder
from tests.encoders.checkpoints import (
    TEXTS,
    edit_json,
    write_json,
    write_sentence_transformer,
    write_trunk,
)

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
PROMPTS = {"query": "query of the ", "document": "a document ", "other": "made "}


def assert_same(
    folder: Path, reference: Path | None = None, *, backend: str = "torch", atol: float = 1e-5
) -> BiEncoder:
    theirs = SentenceTransformer(str(reference or folder), device="cpu")
    ours = BiEncoder(str(folder), backend=backend, dtype="float32")
    for method in ("encode", "encode_query", "encode_document"):
        np.testing.assert_allclose(
            getattr(ours, method)(TEXTS), getattr(theirs, method)(list(TEXTS)), atol=atol, rtol=1e-5
        )
    assert ours.dimension == theirs.get_embedding_dimension()
    assert ours.max_tokens == theirs.max_seq_length
    assert ours.similarity == theirs.similarity_fn_name
    return ours


@pytest.mark.parametrize("mode", MODES)
def test_each_pooling_mode(bert: Path, tmp_path: Path, mode: str) -> None:
    assert_same(write_sentence_transformer(tmp_path / "st", bert, pooling=mode))


@pytest.mark.parametrize("mode", MODES)
def test_pooling_without_the_prompt(bert: Path, tmp_path: Path, mode: str) -> None:
    folder = write_sentence_transformer(
        tmp_path / "st", bert, pooling=mode, include_prompt=False, prompts=PROMPTS
    )
    ours = assert_same(folder)
    # Leaving the prompt out of the pooling does not leave it out of the attention.
    assert not np.allclose(ours.encode_query(TEXTS), ours.encode(TEXTS), atol=1e-3)


@pytest.mark.parametrize("modes", [("cls", "mean"), ("weightedmean", "max", "cls"), MODES])
def test_concatenated_pooling_in_the_order_given(
    bert: Path, tmp_path: Path, modes: tuple[str, ...]
) -> None:
    folder = write_sentence_transformer(tmp_path / "st", bert, pooling=modes)
    ours = assert_same(folder)
    assert ours.dimension == 16 * len(modes)
    ours.save(tmp_path / "saved")
    assert_same(tmp_path / "saved", folder)


@pytest.mark.parametrize(
    ("architecture", "backend"),
    [("roberta", "torch"), ("distilbert", "torch"), ("roberta", "openvino")],
)
def test_architectures(tmp_path: Path, architecture: str, backend: str) -> None:
    trunk = write_trunk(tmp_path / "trunk", architecture=architecture)
    folder = write_sentence_transformer(tmp_path / "st", trunk, normalize=True)
    assert_same(folder, backend=backend)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_dense_normalize_prompts_and_similarity(bert: Path, tmp_path: Path, backend: str) -> None:
    folder = write_sentence_transformer(
        tmp_path / "st",
        bert,
        pooling=("mean", "lasttoken"),
        include_prompt=False,
        dense=True,
        normalize=True,
        prompts=PROMPTS,
        default_prompt_name="other",
        similarity="dot",
    )
    ours = assert_same(folder, backend=backend)
    theirs = SentenceTransformer(str(folder), device="cpu")
    for given in ({"prompt_name": "document"}, {"prompt": "the cell: "}, {"prompt": ""}):
        np.testing.assert_allclose(
            ours.encode(TEXTS, **given), theirs.encode(list(TEXTS), **given), atol=1e-5
        )
    ours.save(tmp_path / "saved")
    assert_same(tmp_path / "saved", folder)
    rough = BiEncoder(str(folder), backend=backend, dtype="bfloat16").encode_query(TEXTS)
    assert (rough * theirs.encode_query(list(TEXTS))).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(np.linalg.norm(rough, axis=1), 1, atol=1e-5)


def test_what_document_prompts_fall_back_to(bert: Path, tmp_path: Path) -> None:
    folder = write_sentence_transformer(
        tmp_path / "st", bert, prompts={"query": "query ", "passage": "the "}
    )
    assert_same(folder)
    edit_json(folder / "config_sentence_transformers.json", {"prompts": {"passage": "the "}})
    assert_same(folder)
    edit_json(
        folder / "config_sentence_transformers.json",
        {"prompts": {"passage": "the "}, "default_prompt_name": "passage"},
    )
    assert_same(folder)


def test_the_old_spelling_of_the_layout(bert: Path, tmp_path: Path) -> None:
    folder = write_sentence_transformer(
        tmp_path / "st", bert, pooling=("cls", "mean"), dense=True, normalize=True
    )
    modules = json.loads((folder / "modules.json").read_text())
    for module in modules:
        module["type"] = "sentence_transformers.models." + module["type"].rpartition(".")[2]
    write_json(folder / "modules.json", modules)
    write_json(
        folder / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": 16,
            "pooling_mode_cls_token": True,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    )
    (folder / "4_Normalize" / "config.json").unlink()
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False})
    ours = assert_same(folder)
    assert ours.max_tokens == 20
    ours.save(tmp_path / "saved")
    assert_same(tmp_path / "saved", folder)


def test_lower_casing_asked_for_by_the_checkpoint(tmp_path: Path) -> None:
    trunk = write_trunk(tmp_path / "trunk", architecture="roberta")
    folder = write_sentence_transformer(tmp_path / "st", trunk)
    cased = BiEncoder(str(folder), backend="torch", dtype="float32").encode(["THE CELL"])
    edit_json(folder / "sentence_bert_config.json", {"do_lower_case": True})
    ours = assert_same(folder)
    assert not np.allclose(ours.encode(["THE CELL"]), cased, atol=1e-3)


def test_the_tokenizer_config_overrules_the_tokenizer(tmp_path: Path) -> None:
    folder = write_trunk(tmp_path / "trunk")
    lowered = assert_same(folder).encode(["THE CELL"])
    edit_json(folder / "tokenizer_config.json", {"do_lower_case": False, "strip_accents": True})
    assert not np.allclose(assert_same(folder).encode(["THE CELL"]), lowered, atol=1e-3)


def test_a_bare_checkpoint_is_mean_pooled(bert: Path) -> None:
    assert_same(bert)


class TestEmbeddedDefault:
    """The model that works with no network, on real text."""

    @pytest.fixture(scope="class")
    @classmethod
    def exact(cls) -> SentenceTransformer:
        from search_engine.encoders.checkpoints.finding import find_checkpoint

        folder = find_checkpoint("all-MiniLM-L6-v2", offline=True)
        return SentenceTransformer(str(folder), device="cpu")

    @pytest.mark.parametrize(("backend", "dtype"), [("torch", "float32"), ("openvino", "float32")])
    def test_float32(self, exact: SentenceTransformer, backend: str, dtype: str) -> None:
        ours = BiEncoder("all-MiniLM-L6-v2", backend=backend, dtype=dtype, offline=True)
        np.testing.assert_allclose(ours.encode(TEXTS), exact.encode(list(TEXTS)), atol=1e-5)
        assert (ours.dimension, ours.max_tokens, ours.similarity) == (384, 256, "cosine")

    @pytest.mark.parametrize("backend", ["torch", "openvino"])
    def test_bfloat16(self, exact: SentenceTransformer, backend: str) -> None:
        ours = BiEncoder("all-MiniLM-L6-v2", backend=backend, dtype="bfloat16", offline=True)
        cosines = (ours.encode(TEXTS) * exact.encode(list(TEXTS))).sum(axis=1)
        assert cosines.min() > 0.9995
        assert cosines.mean() > 0.9999

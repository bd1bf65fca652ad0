"""Checkpoints built from a list of modules, opened by both libraries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import CrossEncoder as TheirCrossEncoder
from sentence_transformers import SentenceTransformer
from sentence_transformers import SparseEncoder as TheirSparseEncoder
from sentence_transformers.base.modules import Normalize as TheirNormalize
from sentence_transformers.base.modules import Transformer as TheirTransformer
from sentence_transformers.sentence_transformer.modules import Pooling as TheirPooling
from torch import nn

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.building import build_checkpoint
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.modules.normalize import Normalize
from search_engine.encoders.modules.pooling import Pooling
from search_engine.encoders.modules.splade_pooling import SpladePooling
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.errors import ConfigError
from tests.encoders.checkpoints import TEXTS
from tests.parity.test_sparse_encoder import densify

PROMPTS = {"query": "the query ", "document": "a document "}


def test_a_transformer_with_pooling(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "built"
    build_checkpoint(
        folder,
        [str(bert), Pooling(16, ("cls", "max"), include_prompt=False), Normalize(32)],
        prompts=PROMPTS,
        default_prompt_name="query",
        similarity="dot",
        max_tokens=20,
    )
    trunk = TheirTransformer(str(bert), max_seq_length=20)
    pooling = TheirPooling(16, ("cls", "max"), include_prompt=False)
    reference = SentenceTransformer(
        modules=[trunk, pooling, TheirNormalize()],
        prompts=PROMPTS,
        default_prompt_name="query",
        device="cpu",
    )
    ours = BiEncoder(str(folder), backend="torch", dtype="float32")
    theirs = SentenceTransformer(str(folder), device="cpu")
    for method in ("encode", "encode_query", "encode_document"):
        expected = getattr(reference, method)(list(TEXTS))
        np.testing.assert_allclose(getattr(ours, method)(TEXTS), expected, atol=1e-5)
        np.testing.assert_allclose(getattr(theirs, method)(list(TEXTS)), expected, atol=1e-5)
    assert (ours.max_tokens, ours.similarity) == (20, "dot")
    assert (theirs.max_seq_length, theirs.similarity_fn_name) == (20, "dot")


def test_a_sparse_encoder(masked_lm: Path, tmp_path: Path) -> None:
    head = SpladePooling(0, strategy="sum", logarithms=2)
    build_checkpoint(tmp_path / "built", [str(masked_lm), head], task="sparse")
    theirs = TheirSparseEncoder(str(tmp_path / "built"), device="cpu")
    expected = theirs.encode_document(list(TEXTS)).to_dense().numpy()
    ours = SparseEncoder(str(tmp_path / "built"), backend="torch", dtype="float32")
    np.testing.assert_allclose(densify(ours.encode_document(TEXTS)), expected, atol=1e-5)
    assert theirs[1].pooling_strategy == "sum"
    assert theirs.similarity_fn_name == "dot"


def test_a_cross_encoder(classifier: Path, tmp_path: Path) -> None:
    build_checkpoint(tmp_path / "built", [str(classifier)], task="score")
    pairs = [("a cell", text) for text in TEXTS]
    expected = TheirCrossEncoder(str(classifier), device="cpu").predict(pairs)
    theirs = TheirCrossEncoder(str(tmp_path / "built"), device="cpu").predict(pairs)
    ours = CrossEncoder(str(tmp_path / "built"), backend="torch", dtype="float32").predict(pairs)
    np.testing.assert_allclose(theirs, expected, atol=1e-6)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


class Unregistered(nn.Module):
    pass


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([], "at least one module"),
        ([Normalize(16)], "the first module must read texts, which Normalize does not"),
        (["bert", "bert"], "only the first module can be the name"),
        (["bert", Unregistered()], "no name is registered for the class Unregistered"),
    ],
)
def test_modules_that_do_not_fit(
    bert: Path, tmp_path: Path, modules: list[object], message: str
) -> None:
    given = [str(bert) if each == "bert" else each for each in modules]
    with pytest.raises(ConfigError, match=message):
        build_checkpoint(tmp_path / "built", given)
    assert not (tmp_path / "built").exists()


def test_a_folder_in_use_is_left_alone(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(ConfigError, match="is not empty"):
        build_checkpoint(tmp_path, [str(bert), Pooling(16, ("mean",), include_prompt=True)])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

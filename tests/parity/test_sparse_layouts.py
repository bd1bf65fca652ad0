"""Sparse checkpoints of other shapes: routes, tables of weights, CSR, and every kind of head."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import SparseEncoder as TheirSparseEncoder
from sentence_transformers.base.modules import Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.sparse_encoder.modules import (
    SparseAutoEncoder,
    SparseStaticEmbedding,
    SpladePooling,
)
from transformers import AutoTokenizer

from search_engine.encoders.modules import splade_pooling
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.errors import CheckpointError
from tests.encoders.checkpoints import TEXTS, edit_json, write_json, write_trunk
from tests.parity.test_sparse_encoder import assert_same, densify


def write_routed(folder: Path, masked_lm: Path, *, prompt: str = "") -> Path:
    """Queries by a table of weights, documents by SPLADE."""
    tokenizer = AutoTokenizer.from_pretrained(masked_lm)
    torch.manual_seed(2)
    table = SparseStaticEmbedding(tokenizer, torch.rand(len(tokenizer.get_vocab())))
    trunk = Transformer(str(masked_lm), transformer_task="fill-mask")
    router = Router.for_query_document(
        query_modules=[table], document_modules=[trunk, SpladePooling("max")]
    )
    model = TheirSparseEncoder(
        modules=[router], prompts={"query": prompt, "document": ""}, device="cpu"
    )
    model.save(str(folder), create_model_card=False)
    return folder


def write_csr(folder: Path, bert: Path, *, normalize: bool) -> Path:
    trunk = Transformer(str(bert))
    torch.manual_seed(3)
    latents = SparseAutoEncoder(16, 40, k=5, k_aux=7, normalize=normalize)
    for parameter in latents.parameters():
        torch.nn.init.normal_(parameter)
    model = TheirSparseEncoder(
        modules=[trunk, Pooling(16, "mean"), Normalize(), latents], device="cpu"
    )
    model.save(str(folder), create_model_card=False)
    # As written by hand: how many latents are kept stands with the module alone.
    edit_json(folder / "config_sentence_transformers.json", {"max_active_dims": None})
    return folder


def their_vectors(folder: Path, method: str) -> NDArray[np.float32]:
    theirs = TheirSparseEncoder(str(folder), device="cpu")
    vectors: NDArray[np.float32] = getattr(theirs, method)(list(TEXTS)).to_dense().numpy()
    return vectors


# MobileBERT joins a second matrix to the decoder's: there the head computes all logits itself.
@pytest.mark.parametrize(
    ("architecture", "deferred"),
    [
        ("bert", True),
        ("roberta", True),
        ("distilbert", True),
        ("mpnet", True),
        ("albert", True),
        ("modernbert", True),
        ("xlm-roberta", True),
        ("mobilebert", False),
    ],
)
def test_heads_in_chunks_of_the_vocabulary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, deferred: bool
) -> None:
    monkeypatch.setattr(splade_pooling, "_CHUNK", 17)
    if architecture == "mobilebert":
        trunk = write_mobilebert(tmp_path / "trunk")
    else:
        trunk = write_trunk(tmp_path / "trunk", architecture=architecture, head="MaskedLM")
    move_biases(trunk)
    assert_same(trunk)
    widths: list[int] = []
    pool = splade_pooling.SpladePooling._pool

    def watch(self: splade_pooling.SpladePooling, logits: torch.Tensor) -> torch.Tensor:
        widths.append(logits.shape[-1])
        return pool(self, logits)

    monkeypatch.setattr(splade_pooling.SpladePooling, "_pool", watch)
    ours = SparseEncoder(str(trunk), backend="torch", dtype="float32")
    assert max(widths) == (17 if deferred else ours.size)


def write_mobilebert(folder: Path) -> Path:
    from transformers import MobileBertConfig, MobileBertForMaskedLM

    write_trunk(folder, head="MaskedLM")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "model.safetensors").unlink()
    torch.manual_seed(0)
    MobileBertForMaskedLM(
        MobileBertConfig(
            vocab_size=config["vocab_size"],
            hidden_size=16,
            embedding_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            intra_bottleneck_size=8,
            max_position_embeddings=config["max_position_embeddings"],
            initializer_range=0.3,
        )
    ).save_pretrained(folder)
    return folder


def move_biases(trunk: Path) -> None:
    """Random biases instead of zeros, so that a lost one is seen."""
    from safetensors.torch import load_file, save_file

    state = load_file(trunk / "model.safetensors")
    torch.manual_seed(4)
    for name, tensor in state.items():
        if name.endswith("bias"):
            tensor.normal_(std=0.3)
    save_file(state, trunk / "model.safetensors", metadata={"format": "pt"})


def test_a_saved_head_is_complete(tmp_path: Path) -> None:
    trunk = write_trunk(tmp_path / "trunk", head="MaskedLM")
    move_biases(trunk)
    SparseEncoder(str(trunk), max_active_dims=9).save(tmp_path / "saved")
    theirs = TheirSparseEncoder(str(trunk), device="cpu", max_active_dims=9)
    expected = theirs.encode_document(list(TEXTS)).to_dense().numpy()
    np.testing.assert_allclose(
        their_vectors(tmp_path / "saved", "encode_document"), expected, atol=1e-6
    )
    found = SparseEncoder(str(tmp_path / "saved"), backend="torch", dtype="float32")
    assert found.max_active_dims == 9
    np.testing.assert_allclose(densify(found.encode_document(TEXTS)), expected, atol=1e-5)


def test_chunks_in_a_traced_graph(masked_lm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SparseEncoder(str(masked_lm), backend="torch", dtype="float32")
    expected = densify(whole.encode_document(TEXTS))
    monkeypatch.setattr(splade_pooling, "_CHUNK", 13)
    monkeypatch.setenv("XDG_CACHE_HOME", str(masked_lm.parent / "chunks"))
    ours = SparseEncoder(str(masked_lm), backend="openvino", dtype="float32")
    assert ours.size == whole.size
    np.testing.assert_allclose(densify(ours.encode_document(TEXTS)), expected, atol=1e-5)


def test_queries_by_table_documents_by_splade(masked_lm: Path, tmp_path: Path) -> None:
    folder = write_routed(tmp_path / "routed", masked_lm, prompt="the cell ")
    assert_same(folder)
    ours = SparseEncoder(str(folder), backend="torch", dtype="float32")
    assert (ours.backend, ours.max_active_dims, ours.similarity) == ("table", None, "dot")
    # Not even a special token of an empty text, and a word counts once.
    edit_json(folder / "config_sentence_transformers.json", {"prompts": {}})
    ours = SparseEncoder(str(folder), backend="torch", dtype="float32")
    empty, once, often = (ours.encode_query([text]) for text in ("", "cell", "cell cell"))
    assert len(empty.indices) == 0
    assert once.indices.tolist() == often.indices.tolist() == [ours.tokenizer.token_to_id("cell")]
    assert once.weights.tolist() == often.weights.tolist()


def test_a_routed_checkpoint_is_saved_whole(masked_lm: Path, tmp_path: Path) -> None:
    folder = write_routed(tmp_path / "routed", masked_lm, prompt="the cell of a ")
    SparseEncoder(str(folder), backend="torch", dtype="float32").save(tmp_path / "saved")
    for method in ("encode_query", "encode_document"):
        np.testing.assert_allclose(
            their_vectors(tmp_path / "saved", method), their_vectors(folder, method), atol=1e-6
        )
    assert_same(tmp_path / "saved")


def test_questions_by_table_load_no_torch(masked_lm: Path, tmp_path: Path) -> None:
    folder = write_routed(tmp_path / "routed", masked_lm)
    script = (
        "import sys\n"
        "from search_engine.encoders.sparse_encoder import SparseEncoder\n"
        f"vectors = SparseEncoder({str(folder)!r}).encode_query(['the cell'])\n"
        "assert len(vectors.indices) == 2, vectors\n"
        "loaded = {'torch', 'transformers', 'openvino'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("type_", ["IDF", "SparseStaticEmbedding"])
def test_weights_of_an_idf_file(masked_lm: Path, tmp_path: Path, type_: str) -> None:
    folder = write_routed(tmp_path / "routed", masked_lm)
    (table,) = folder.glob("query_0_*")
    (table / "model.safetensors").unlink()
    edit_json(table / "config.json", {"path": "/elsewhere/idf.json"})
    write_json(folder / "idf.json", {"the": 0.25, "cell": 2, "no such token": 9.0})
    router = json.loads((folder / "router_config.json").read_text(encoding="utf-8"))
    router["types"][table.name] = f"sentence_transformers.sparse_encoder.models.{type_}"
    write_json(folder / "router_config.json", router)
    ours = SparseEncoder(str(folder), backend="torch", dtype="float32")
    (found,) = ours.decode(ours.encode_query(["the cell of the cell"]))
    assert found == [("cell", 2.0), ("the", 0.25)]
    before = ours.fingerprint
    write_json(folder / "idf.json", {"the": 0.5})
    assert SparseEncoder(str(folder)).fingerprint != before


def test_weights_of_a_table_in_half_precision(masked_lm: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_routed(tmp_path / "routed", masked_lm)
    (table,) = folder.glob("query_0_*")
    state = load_file(table / "model.safetensors")
    halved = {name: tensor.bfloat16() for name, tensor in state.items()}
    save_file(halved, table / "model.safetensors")
    ours = SparseEncoder(str(folder)).encode_query(["cell"])
    assert ours.weights.tolist() == halved["weight"][ours.indices].float().tolist()


def test_a_table_that_does_not_fit_its_tokenizer(masked_lm: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    folder = write_routed(tmp_path / "routed", masked_lm)
    (table,) = folder.glob("query_0_*")
    save_file({"weight": np.ones(6, np.float32)}, table / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"token \d+ of the tokenizer has no weight"):
        SparseEncoder(str(folder)).encode_query(["the cell"])
    save_file({"weight": np.ones((6, 2), np.float32)}, table / "model.safetensors")
    with pytest.raises(CheckpointError, match="2 dimensions"):
        SparseEncoder(str(folder))
    (table / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights of tokens"):
        SparseEncoder(str(folder))


@pytest.mark.parametrize(
    ("backend", "normalize"), [("torch", False), ("torch", True), ("openvino", True)]
)
def test_csr(bert: Path, tmp_path: Path, backend: str, normalize: bool) -> None:
    folder = write_csr(tmp_path / "csr", bert, normalize=normalize)
    assert_same(folder, backend=backend)
    theirs = TheirSparseEncoder(str(folder), device="cpu")
    ours = SparseEncoder(str(folder), backend=backend, dtype="float32")
    # More than the 5 that the checkpoint keeps, and fewer.
    for most in (11, 2):
        expected = theirs.encode_document(list(TEXTS), max_active_dims=most).to_dense().numpy()
        found = ours.encode_document(TEXTS, max_active_dims=most)
        assert np.diff(found.indptr).max() == most
        np.testing.assert_allclose(densify(found), expected, atol=1e-5)


def test_a_saved_csr(bert: Path, tmp_path: Path) -> None:
    folder = write_csr(tmp_path / "csr", bert, normalize=True)
    SparseEncoder(str(folder), backend="torch").save(tmp_path / "saved")
    np.testing.assert_allclose(
        their_vectors(tmp_path / "saved", "encode"), their_vectors(folder, "encode"), atol=1e-6
    )
    assert_same(tmp_path / "saved")


def test_nothing_follows_the_latents(bert: Path, tmp_path: Path) -> None:
    folder = write_csr(tmp_path / "csr", bert, normalize=False)
    entries = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    entries.append({**entries[2], "idx": 4, "name": "4"})
    write_json(folder / "modules.json", entries)
    with pytest.raises(CheckpointError, match="must be the last module"):
        SparseEncoder(str(folder))

"""Low-rank adapters: what they change, what is trained, and what is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import search_engine.training.lora as lora
from search_engine import BiEncoder, CrossEncoder, SparseEncoder
from search_engine.encoders.checkpoints.layout import Task, read_layout
from search_engine.errors import ConfigError
from search_engine.training import LoraSettings, TrainingSet
from search_engine.training.checkpoints import read_checkpoint, write_checkpoint
from search_engine.training.lora import add_adapters
from search_engine.training.losses.bi_encoder import MultipleNegativesRankingLoss
from search_engine.training.losses.cross_encoder import BinaryCrossEntropyLoss
from search_engine.training.losses.loss import Loss
from search_engine.training.training_model import TrainingModel
from tests.encoders.checkpoints import MAX_TOKENS, write_trunk
from tests.training.runs import QUICK, LearnedScale, run, scored_set, weights_of, write_rows

_TEXTS = ["the cell", "a membrane of lipids", "x"]
_RANK = LoraSettings(rank=2, alpha=3, dropout=0.0)


def _model(folder: Path, settings: LoraSettings = _RANK, *, task: Task = "embedding",
           loss: Loss | None = None) -> TrainingModel:  # fmt: skip
    losses = {"data": loss or LearnedScale()}
    model = TrainingModel(read_layout(folder, task=task), losses)
    add_adapters(model, settings, seed=0)
    return model


def _shake(model: TrainingModel) -> None:
    """Adapters begin with a product of zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)


def _outputs(model: TrainingModel) -> Tensor:
    torch.manual_seed(2)
    shape = (3, 9)
    inputs = {
        "input_ids": torch.randint(5, 40, shape),
        "attention_mask": torch.ones(shape, dtype=torch.int64),
        "token_type_ids": torch.zeros(shape, dtype=torch.int64),
    }
    graph: Any = model.graphs["any"]
    with torch.no_grad():
        return graph(*(inputs[name] for name in graph.input_names))  # type: ignore[no-any-return]


def test_only_adapters_heads_and_losses_are_trained(dense_encoder: Path) -> None:
    trained = {n for n, p in _model(dense_encoder).named_parameters() if p.requires_grad}
    adapters = {name for name in trained if ".lora_" in name}
    # Two layers of six linear ones each, two matrices beside each; the pooler feeds no vector.
    assert len(adapters) == 2 * 6 * 2
    assert not any("pooler" in name for name in adapters)
    others = {"graphs.any.heads.1.linear.weight", "graphs.any.heads.1.linear.bias",
              "graphs.any.heads.2.linear.weight", "losses.0.scale"}  # fmt: skip
    assert trained - adapters == others


def test_a_classification_head_is_trained_whole(classifier: Path) -> None:
    model = _model(classifier, task="score", loss=BinaryCrossEntropyLoss())
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    whole = {name.rpartition("model.")[2] for name in trained if ".lora_" not in name}
    assert whole == {"classifier.weight", "classifier.bias"}
    assert sum(".lora_" in name for name in trained) == 2 * (2 * 6 + 1), "its pooler is read"


def test_the_layers_of_ones_choice(dense_encoder: Path) -> None:
    chosen = LoraSettings(rank=2, modules=("query", "value"))
    trained = [n for n, p in _model(dense_encoder, chosen).named_parameters() if p.requires_grad]
    adapted = {name.partition(".lora_")[0].rpartition(".")[2] for name in trained if "lora" in name}
    assert adapted == {"query", "value"}
    with pytest.raises(ConfigError, match="ends with 'q_proj'; they are query, key, value, dense"):
        _model(dense_encoder, LoraSettings(modules=("q_proj",)))


def test_the_formula(dense_encoder: Path) -> None:
    model = _model(dense_encoder)
    _shake(model)
    layer = model.transformers()[0].encoder.layer[0].attention.self.query
    x = torch.randn(4, 16)
    low = x @ layer.lora_A.default.weight.T @ layer.lora_B.default.weight.T
    expected = x @ layer.base_layer.weight.T + layer.base_layer.bias + 3 / 2 * low
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("kind", ["dense", "sparse", "gpt2", "cross"])
def test_the_written_model_is_the_merged_one(
    kind: str, dense_encoder: Path, masked_lm: Path, classifier: Path, tmp_path: Path
) -> None:
    task: Task = {"sparse": "sparse", "cross": "score"}.get(kind, "embedding")  # type: ignore[assignment]
    base = {"dense": dense_encoder, "sparse": masked_lm, "cross": classifier}.get(kind)
    if base is None:
        base = write_trunk(tmp_path / "gpt2", architecture="gpt2")
    model = _model(base, task=task)
    before = _outputs(model)
    _shake(model)
    expected = _outputs(model)
    assert float((expected - before).abs().max()) > 1e-2
    write_checkpoint(model, tmp_path / "written")
    assert not any("lora" in name for name in weights_of(tmp_path / "written")
                   if not name.startswith("training."))  # fmt: skip
    merged = TrainingModel(read_layout(tmp_path / "written", task=task), {})
    # Sums in another order; those of sparse vectors are of logits, which are the largest.
    torch.testing.assert_close(_outputs(merged), expected, atol=5e-6, rtol=1e-5)
    # Writing has left the adapters where they were, and reading puts them there exactly.
    assert torch.equal(_outputs(model), expected)
    again = _model(base, task=task)
    read_checkpoint(again, tmp_path / "written")
    assert torch.equal(_outputs(again), expected)


def test_the_library_opens_what_was_trained(dense_encoder: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    changes = {"lora": LoraSettings(rank=4), "gradient_checkpointing": True}
    settings = QUICK.model_copy(update=changes)
    report = run(dense_encoder, scored_set(tmp_path), tmp_path / "run", settings=settings)
    ours = BiEncoder(str(report.model), backend="torch", device="cpu", dtype="float32")
    theirs = SentenceTransformer(str(report.model), device="cpu")
    vectors = ours.encode(_TEXTS)
    np.testing.assert_allclose(vectors, theirs.encode(_TEXTS), atol=1e-5)
    base = BiEncoder(str(dense_encoder), backend="torch", device="cpu", offline=True)
    assert np.abs(vectors - base.encode(_TEXTS)).max() > 1e-2
    frozen, after = weights_of(dense_encoder), weights_of(report.model)
    changed = {name for name in frozen if not torch.equal(frozen[name], after[name])}
    assert all("weight" in name or name.startswith("2_Dense") for name in changed)
    assert not any("embeddings" in name or "LayerNorm" in name for name in changed)
    assert sum("encoder.layer" in name for name in changed) == 12


def test_sparse_and_cross_encoders_train_with_adapters(
    masked_lm: Path, classifier: Path, tmp_path: Path
) -> None:
    settings = QUICK.model_copy(update={"lora": _RANK, "max_steps": 2})
    rows = [{"anchor": f"the cell {i}", "positive": f"a membrane {i}"} for i in range(8)]
    pairs = TrainingSet(write_rows(tmp_path / "pairs.jsonl", rows),
                        MultipleNegativesRankingLoss(similarity="dot", scale=0.01))  # fmt: skip
    report = run(masked_lm, pairs, tmp_path / "sparse", kind="sparse", settings=settings)
    assert SparseEncoder(str(report.model), backend="torch", device="cpu", offline=True)
    labelled = [{"query": "the cell", "document": f"a {i}", "label": i % 2} for i in range(8)]
    judged = TrainingSet(write_rows(tmp_path / "judged.jsonl", labelled), BinaryCrossEntropyLoss())
    report = run(classifier, judged, tmp_path / "cross", kind="cross", settings=settings)
    ours = CrossEncoder(str(report.model), backend="torch", device="cpu", offline=True)
    base = CrossEncoder(str(classifier), backend="torch", device="cpu", offline=True)
    pair = [("the cell", "a 1")]
    assert abs(ours.predict(pair) - base.predict(pair)).max() > 1e-4
    assert ours.max_tokens == MAX_TOKENS


def test_without_peft_or_a_transformer(
    dense_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(lora, "find_spec", lambda name: None)
        with pytest.raises(ConfigError, match=r"needs peft: pip install 'search-engine\[train\]'"):
            _model(dense_encoder)

    import search_engine.training.failures as failures

    monkeypatch.setattr(failures, "find_spec", lambda name: None if name == "accelerate" else sys)
    with pytest.raises(ConfigError, match=r"needs accelerate: pip install 'search-engine\[train\]"):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "run")

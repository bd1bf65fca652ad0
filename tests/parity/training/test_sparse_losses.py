"""Each loss of a sparse encoder has the reference's value and gradients, through the encoder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SparseEncoder as TheirSparseEncoder
from sentence_transformers import util
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sparse_encoder import losses as reference
from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import (
    SpladeRegularizerWeightSchedulerCallback,
)
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from torch import Tensor, nn
from transformers import AutoTokenizer

from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.encoders.modules import splade_pooling
from search_engine.encoders.saving import save_checkpoint
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.encoders.tokenizers.opening import open_tokenizer
from search_engine.training.data.collating import TextColumn, TrainingBatch
from search_engine.training.losses import sparse_encoder as ours
from search_engine.training.losses.loss import Loss
from search_engine.training.training_model import TrainingModel
from tests.encoders.checkpoints import TEXTS, edit_json
from tests.parity.test_sparse_encoder import densify

COLUMNS = (
    ("what is a cell made of", "lipids", "query of the membrane " * 4, "numbers 1 2 3"),
    ("a cell membrane is made of lipids", "fats and oils", "x", "four five six " * 3),
    ("the dog of the query", "a document and a cell", "membrane", "numbers 1 2 3 4"),
    ("made of the quick lipids", "of a fox " * 6, "the lazy dog", "the cell"),
)
MARGINS = np.random.default_rng(1).normal(size=(4, 2)).astype(np.float32)
SCORES = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)
Maker = Callable[[TheirSparseEncoder], nn.Module]


@pytest.fixture(scope="module")
def splade(masked_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SPLADE checkpoint without dropout, so that it is the same while it is trained."""
    folder = tmp_path_factory.mktemp("splade") / "model"
    shutil.copytree(masked_lm, folder)
    edit_json(
        folder / "config.json", {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    )
    move_decoder_bias(folder)
    return folder


@pytest.fixture(scope="module")
def routed(splade: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Queries by a table of weights, documents by SPLADE."""
    folder = tmp_path_factory.mktemp("routed") / "model"
    tokenizer = AutoTokenizer.from_pretrained(splade)
    torch.manual_seed(2)
    table = SparseStaticEmbedding(tokenizer, torch.rand(len(tokenizer.get_vocab())) + 0.1)
    trunk = Transformer(str(splade), transformer_task="fill-mask")
    router = Router.for_query_document(
        query_modules=[table], document_modules=[trunk, SpladePooling("max")]
    )
    model = TheirSparseEncoder(modules=[router], device="cpu")
    model.save(str(folder), create_model_card=False)
    return folder


def move_decoder_bias(folder: Path) -> None:
    """Other biases than the zeros of a new model, whose part in the logits would not show."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(7)
    bias = weights["cls.predictions.bias"]
    weights["cls.predictions.bias"] = torch.randn(bias.shape, generator=generator)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@dataclass(frozen=True)
class Run:
    """The parts of a loss, and by name the gradient of each parameter."""

    parts: Mapping[str, float]
    gradients: Mapping[str, Tensor]


def make_batch(
    folder: Path, columns: Sequence[Sequence[str]], labels: Any, *, symmetric: bool = False
) -> TrainingBatch:
    layout = read_layout(folder, task="sparse")
    made = []
    for number, texts in enumerate(columns):
        kind: Any = None if symmetric else "document" if number else "query"
        tokens = open_tokenizer(layout.along(kind)).tokenize(list(texts))
        made.append(TextColumn(texts, tokens, kind))
    given = None if labels is None else torch.tensor(labels)
    return TrainingBatch("set", tuple(range(len(columns[0]))), tuple(made), given)


def run_ours(
    folder: Path, loss: Loss, columns: Sequence[Sequence[str]], labels: Any, *, progress: float = 1
) -> Run:
    model = TrainingModel(read_layout(folder, task="sparse"), {"set": loss})
    model.progress = progress
    model.train()
    batch = make_batch(folder, columns, labels)
    value = model(batch)
    value.backward()
    parts = {name: values[0] for name, values in model.components.items()}
    assert value.item() == pytest.approx(sum(parts.values()), rel=1e-6)
    gradients = {
        reference_name(name): parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return Run(parts, gradients)


def reference_name(name: str) -> str:
    """What Sentence Transformers calls a parameter of ours."""
    way, _, rest = name.removeprefix("graphs.").partition(".")
    rest = "0." + rest.removeprefix("trunk.")
    return rest if way == "any" else f"0.sub_modules.{way}.{rest}"


def run_theirs(
    folder: Path, make_loss: Maker, columns: Sequence[Sequence[str]], labels: Any
) -> Run:
    model = TheirSparseEncoder(str(folder), device="cpu").train()
    loss = make_loss(model)
    features = [
        model.preprocess(list(texts), task="document" if number else "query")
        for number, texts in enumerate(columns)
    ]
    value = loss(features, None if labels is None else torch.tensor(labels))
    sum(value.values()).backward()
    gradients = {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return Run({name: part.item() for name, part in value.items()}, gradients)


def assert_same(found: Run, expected: Run) -> None:
    assert found.parts == pytest.approx(dict(expected.parts), rel=1e-5, abs=1e-7)
    assert min(abs(part) for part in expected.parts.values()) > 1e-4
    assert found.gradients.keys() == expected.gradients.keys()
    largest = max(float(each.abs().max()) for each in expected.gradients.values())
    assert largest > 1e-2
    for name, gradient in expected.gradients.items():
        difference = float((found.gradients[name] - gradient).abs().max())
        assert difference <= 1e-5 * max(1, largest), name


def read_thresholds(folder: Path) -> tuple[int, int]:
    """Numbers of terms that some queries, and some documents, have more of than others."""
    encoder = SparseEncoder(str(folder), backend="torch", dtype="float32")
    queries = np.diff(encoder.encode_query(COLUMNS[0]).indptr)
    documents = np.diff(encoder.encode_document(sum(COLUMNS[1:], ())).indptr)
    return int(np.median(queries)), int(np.median(documents))


BASES: Mapping[str, tuple[Callable[[], Loss], Maker, Any]] = {
    "ranking": (
        ours.MultipleNegativesRankingLoss,
        reference.SparseMultipleNegativesRankingLoss,
        None,
    ),
    "ranking by cosine": (
        lambda: ours.MultipleNegativesRankingLoss(
            scale=7.0, similarity="cosine", directions=("query_to_doc", "doc_to_query")
        ),
        lambda model: reference.SparseMultipleNegativesRankingLoss(
            model,
            scale=7.0,
            similarity_fct=util.cos_sim,
            directions=("query_to_doc", "doc_to_query"),
        ),
        None,
    ),
    "margins": (ours.MarginMSELoss, reference.SparseMarginMSELoss, MARGINS),
    "margins of scores": (ours.MarginMSELoss, reference.SparseMarginMSELoss, SCORES),
    "divergence": (ours.DistillKLDivLoss, reference.SparseDistillKLDivLoss, SCORES),
    "sharp divergence": (
        lambda: ours.DistillKLDivLoss(temperature=0.5),
        lambda model: reference.SparseDistillKLDivLoss(model, temperature=0.5),
        SCORES,
    ),
    "divergence at two temperatures": (
        lambda: ours.DistillKLDivLoss(student_temperature=0.5, teacher_temperature=3.0),
        lambda model: reference.SparseDistillKLDivLoss(
            model, student_temperature=0.5, teacher_temperature=3.0
        ),
        SCORES,
    ),
}
OPTIONS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "documents alone": ({}, {}),
    "queries too": ({"query_weight": 0.05}, {"query_regularizer_weight": 0.05}),
    "symmetric": ({"symmetric": True}, {"use_document_regularizer_only": True}),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("path", ["splade", "routed"])
def test_losses(base: str, path: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(path)
    make_ours, make_theirs, labels = BASES[base]
    found = run_ours(folder, ours.SpladeLoss(make_ours(), 0.03, query_weight=0.05), COLUMNS, labels)
    expected = run_theirs(
        folder,
        lambda model: reference.SpladeLoss(
            model, make_theirs(model), 0.03, query_regularizer_weight=0.05
        ),
        COLUMNS,
        labels,
    )
    assert_same(found, expected)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("path", ["splade", "routed"])
def test_what_has_a_price(option: str, path: str, request: pytest.FixtureRequest) -> None:
    mine, theirs = OPTIONS[option]
    check_regularizers(request.getfixturevalue(path), mine, theirs)


@pytest.mark.parametrize("path", ["splade", "routed"])
def test_thresholds(path: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(path)
    queries, documents = read_thresholds(folder)
    free = check_regularizers(folder, {"query_weight": 0.05}, {"query_regularizer_weight": 0.05})
    part = check_regularizers(
        folder,
        {"query_weight": 0.05, "document_threshold": documents, "query_threshold": queries},
        {
            "query_regularizer_weight": 0.05,
            "document_regularizer_threshold": documents,
            "query_regularizer_threshold": queries,
        },
    )
    for name in ("document_regularizer_loss", "query_regularizer_loss"):
        assert 0 < part.parts[name] < 0.9 * free.parts[name]


def check_regularizers(folder: Path, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Run:
    found = run_ours(
        folder, ours.SpladeLoss(ours.MultipleNegativesRankingLoss(), 0.03, **mine), COLUMNS, None
    )
    expected = run_theirs(
        folder,
        lambda model: reference.SpladeLoss(
            model, reference.SparseMultipleNegativesRankingLoss(model), 0.03, **theirs
        ),
        COLUMNS,
        None,
    )
    assert_same(found, expected)
    return found


class L1(nn.Module):
    """The mean over texts of the sum of their weights, as a regularizer of the reference."""

    def compute_loss_from_embeddings(self, embeddings: Tensor) -> Tensor:
        return embeddings.abs().sum(dim=1).mean()


def test_another_regularizer_for_queries(splade: Path) -> None:
    found = run_ours(
        splade,
        ours.SpladeLoss(
            ours.MultipleNegativesRankingLoss(), 0.03, query_weight=0.02, query_regularizer="l1"
        ),
        COLUMNS,
        None,
    )
    expected = run_theirs(
        splade,
        lambda model: reference.SpladeLoss(
            model,
            reference.SparseMultipleNegativesRankingLoss(model),
            0.03,
            query_regularizer_weight=0.02,
            query_regularizer=L1(),
        ),
        COLUMNS,
        None,
    )
    assert_same(found, expected)


@pytest.mark.parametrize("strategy", ["max", "sum"])
def test_logits_of_a_few_terms_at_a_time(
    splade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    """The decoder is computed in the pooling: its gradients are those of the whole head."""
    folder = tmp_path / "model"
    TheirSparseEncoder(str(splade), device="cpu").save(str(folder), create_model_card=False)
    edit_json(folder / "1_SpladePooling" / "config.json", {"pooling_strategy": strategy})
    monkeypatch.setattr(splade_pooling, "_CHUNK", 17)
    found = check_regularizers(folder, {"query_weight": 0.05}, {"query_regularizer_weight": 0.05})
    tied = "0.model.bert.embeddings.word_embeddings.weight"
    # Terms that no text has a token for are reached through the decoder alone.
    used = {token for text in COLUMNS for each in text for token in _ids(folder, each)}
    unused = sorted(set(range(len(found.gradients[tied]))) - used)
    assert float(found.gradients[tied][unused].abs().max()) > 1e-3
    assert float(found.gradients["0.model.cls.predictions.bias"].abs().max()) > 1e-3


def _vocabulary(folder: Path) -> Mapping[str, int]:
    vocabulary: Mapping[str, int] = SparseEncoder(
        str(folder), backend="torch"
    ).tokenizer.get_vocab()
    return vocabulary


def _ids(folder: Path, text: str) -> list[int]:
    ids: list[int] = AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
    return ids


@pytest.mark.parametrize("path", ["splade", "routed"])
def test_a_few_texts_at_a_time(path: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(path)
    cached = ours.SpladeLoss(
        ours.CachedMultipleNegativesRankingLoss(mini_batch_size=2), 0.03, query_weight=0.05
    )
    assert cached.mini_batch_size == 2
    expected = run_theirs(
        folder,
        lambda model: reference.SpladeLoss(
            model,
            reference.SparseMultipleNegativesRankingLoss(model),
            0.03,
            query_regularizer_weight=0.05,
        ),
        COLUMNS,
        None,
    )
    assert_same(run_ours(folder, cached, COLUMNS, None), expected)


@pytest.mark.parametrize("schedule", ["linear", "quadratic"])
@pytest.mark.parametrize(("steps", "share"), [(30, 1 / 3), (40, 0.25), (7, 1.0)])
def test_weights_step_for_step(schedule: str, steps: int, share: float) -> None:
    weights = {"document_regularizer_weight": 0.3, "query_regularizer_weight": 0.7}
    theirs = reference.SpladeLoss(
        None, reference.SparseMultipleNegativesRankingLoss(None), **weights
    )
    callback = SpladeRegularizerWeightSchedulerCallback(theirs, schedule, share)
    mine = ours.SpladeLoss(
        ours.MultipleNegativesRankingLoss(), 0.3, schedule=schedule, warmup=share
    )
    state = SimpleNamespace(max_steps=steps, global_step=0)
    callback.on_train_begin(None, state, None)
    found = []
    for state.global_step in range(steps):
        callback.on_step_begin(None, state, None)
        found.append(mine.share_at(state.global_step / steps))
        assert 0.3 * found[-1] == pytest.approx(theirs.document_regularizer_weight, abs=1e-12)
        assert 0.7 * found[-1] == pytest.approx(theirs.query_regularizer_weight, abs=1e-12)
    assert found[0] == 0
    assert found[-1] > 0.7


def test_a_trained_router_opens_everywhere(routed: Path, tmp_path: Path) -> None:
    """Table and transformer are both trained, and give everyone the same vectors."""
    loss = ours.SpladeLoss(ours.MultipleNegativesRankingLoss(), 1e-3)
    model = TrainingModel(read_layout(routed, task="sparse"), {"set": loss})
    groups = [
        {"params": list(model.graphs[way].parameters()), "lr": rate}
        for way, rate in (("query", 0.05), ("document", 0.002))
    ]
    assert [tuple(each.shape) for each in groups[0]["params"]] == [(len(_vocabulary(routed)),)]
    optimizer = torch.optim.SGD(groups)
    model.train()
    batch = make_batch(routed, COLUMNS, None)
    before = model(batch)
    before.backward()
    assert all(float(each.grad.abs().max()) > 0 for each in groups[0]["params"])
    optimizer.step()
    assert model(batch).item() < before.item()
    folder = tmp_path / "trained"
    save_checkpoint(model.layout, folder, trained=model.trained())
    encoder = SparseEncoder(str(folder), backend="torch", dtype="float32")
    theirs = TheirSparseEncoder(str(folder), device="cpu")
    old = SparseEncoder(str(routed), backend="torch", dtype="float32")
    model.eval()
    with torch.no_grad():
        vectors = model._encode(make_batch(routed, [TEXTS, TEXTS], None), mini_batch_size=None)
    for method, mine in zip(("encode_query", "encode_document"), vectors, strict=True):
        opened = densify(getattr(encoder, method)(TEXTS))
        expected = getattr(theirs, method)(list(TEXTS)).to_dense().numpy()
        np.testing.assert_allclose(opened, expected, atol=1e-5)
        np.testing.assert_allclose(opened, mine.numpy(), atol=1e-5)
        assert np.abs(opened - densify(getattr(old, method)(TEXTS))).max() > 1e-3

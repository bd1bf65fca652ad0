"""Losses of a bi-encoder against loops over their formulas; what they refuse; one's own loss."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.errors import ConfigError, ModelNotFoundError, TrainingDataError
from search_engine.training.data.collating import TextColumn, TrainingBatch
from search_engine.training.data.formats import Format
from search_engine.training.losses import bi_encoder as losses
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss
from search_engine.training.training_model import TrainingModel
from tests.encoders.checkpoints import write_sentence_transformer

SIZES = st.integers(1, 5)
SEEDS = st.integers(0, 10_000)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


def columns(seed: int, count: int, size: int, dimension: int = 4) -> tuple[Tensor, ...]:
    return tuple(draw(seed, count, size, dimension))


def cosine(a: Any, b: Any) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


class Guide:
    """Gives the texts "0", "1"... the vectors of these numbers."""

    name = "a guide"

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors.numpy()
        self.calls: list[Any] = []

    def encode(self, texts: Sequence[str], *, kind: Any = None) -> Any:
        self.calls.append(kind)
        return self.vectors[[int(text) for text in texts]]


@settings(deadline=None, max_examples=40)
@given(SEEDS, SIZES, st.integers(1, 3), st.sampled_from([1.0, 20.0]))
def test_ranking_is_the_double_loop(seed: int, size: int, documents: int, scale: float) -> None:
    vectors = columns(seed, documents + 1, size)
    texts = [text for column in vectors[1:] for text in column]
    expected = 0.0
    for i in range(size):
        scores = [scale * cosine(vectors[0][i], text) for text in texts]
        expected += math.log(sum(map(math.exp, scores))) - scores[i]
    value = losses.MultipleNegativesRankingLoss(scale=scale)(VectorBatch(vectors))
    assert value.item() == pytest.approx(expected / size, abs=2e-4)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(2, 6))
def test_cosent_is_the_double_loop(seed: int, size: int) -> None:
    a, b = columns(seed, 2, size)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, 3, size)).float()
    total = 1.0
    for i in range(size):
        for j in range(size):
            if labels[i] > labels[j]:
                total += math.exp(5 * (cosine(a[j], b[j]) - cosine(a[i], b[i])))
    value = losses.CoSENTLoss(scale=5.0)(VectorBatch((a, b), labels))
    assert value.item() == pytest.approx(math.log(total), abs=1e-4)


@settings(deadline=None, max_examples=60)
@given(
    SEEDS,
    SIZES,
    st.integers(2, 4),
    st.sampled_from([-0.3, 0.0, 0.1, 0.5]),
    st.sampled_from(["absolute", "relative"]),
    st.booleans(),
    st.booleans(),
)
def test_guided_is_the_loop(
    seed: int,
    size: int,
    count: int,
    margin: float,
    strategy: Any,
    anchors: bool,
    positives: bool,
) -> None:
    vectors, seen = columns(seed, count, size), columns(seed + 1, count, size)
    guide = Guide(torch.cat(seen))
    texts = tuple([str(c * size + i) for i in range(size)] for c in range(count))
    loss = losses.GISTEmbedLoss(
        guide,  # type: ignore[arg-type]
        temperature=0.5,
        margin=margin,
        margin_strategy=strategy,
        contrast_anchors=anchors,
        contrast_positives=positives,
    )
    compared = [(0, 1), *([(0, 0)] if anchors else []), *([(1, 1)] if positives else [])]
    compared += [(0, column) for column in range(2, count)]
    expected = 0.0
    for i in range(size):
        own = cosine(seen[0][i], seen[1][i])
        limit = own - margin * (abs(own) if strategy == "relative" else 1)
        total = math.exp(cosine(vectors[0][i], vectors[1][i]) / 0.5)
        for left, right in compared:
            for j in range(size):
                itself = i == j and (left == right or (left, right) == (0, 1))
                if not itself and cosine(seen[left][i], seen[right][j]) <= limit:
                    total += math.exp(cosine(vectors[left][i], vectors[right][j]) / 0.5)
        expected += math.log(total) - cosine(vectors[0][i], vectors[1][i]) / 0.5
    value = loss(VectorBatch(vectors, texts=texts))
    assert value.item() == pytest.approx(expected / size, abs=1e-4)
    assert guide.calls == ["query"] + ["document"] * (count - 1)


def test_a_text_is_no_negative_of_itself() -> None:
    # To the guide anchor and positive are one, so that nothing is more similar than they are.
    guide = Guide(torch.ones(2, 4))
    batch = VectorBatch(columns(1, 2, 1), texts=(["0"], ["1"]))
    assert losses.GISTEmbedLoss(guide, temperature=0.5)(batch) == 0  # type: ignore[arg-type]


def test_a_guide_reads_a_batch_once_for_all_dimensions() -> None:
    guide = Guide(draw(1, 6, 4))
    inner = losses.GISTEmbedLoss(guide, temperature=0.5)  # type: ignore[arg-type]
    loss = losses.MatryoshkaLoss(inner, [4, 3, 2])
    batch = VectorBatch(columns(2, 2, 3), texts=(["0", "1", "2"], ["3", "4", "5"]))
    first = loss(batch)
    assert guide.calls == ["query", "document"]
    assert loss(VectorBatch(batch.vectors, texts=(["0", "1", "2"], ["5", "3", "4"]))) != first
    assert len(guide.calls) == 4


def test_a_guide_by_its_folder_reads_with_its_own_prompts(bert: Path, tmp_path: Path) -> None:
    prompts = {"query": "query of the ", "document": "a document "}
    folder = str(write_sentence_transformer(tmp_path / "guide", bert, prompts=prompts))
    texts = (["cell", "lipids", "a fox"], ["of lipids", "x", "the membrane"])
    opened = BiEncoder(folder)
    written = np.concatenate([opened.encode_query(texts[0]), opened.encode_document(texts[1])])
    plain = np.concatenate([opened.encode(texts[0]), opened.encode(texts[1])])
    vectors = columns(3, 2, 3)
    numbered = VectorBatch(vectors, texts=(["0", "1", "2"], ["3", "4", "5"]))
    options: Any = {"temperature": 0.3}
    by_name = losses.GISTEmbedLoss(folder, **options)
    value = by_name(VectorBatch(vectors, texts=texts))
    expected = losses.GISTEmbedLoss(Guide(torch.from_numpy(written)), **options)(numbered)  # type: ignore[arg-type]
    other = losses.GISTEmbedLoss(Guide(torch.from_numpy(plain)), **options)(numbered)  # type: ignore[arg-type]
    assert value == expected
    assert value != other
    assert by_name.settings()["guide"] == folder


@pytest.mark.parametrize("distance", ["euclidean", "manhattan", "cosine"])
def test_equal_texts_have_finite_gradients(distance: Any) -> None:
    same = draw(1, 3, 4).requires_grad_()
    other = draw(2, 3, 4)
    losses.TripletLoss(distance=distance)(VectorBatch((same, same.clone(), other))).backward()
    assert same.grad is not None and same.grad.isfinite().all()
    batch = VectorBatch((same, same.clone()), torch.tensor([1, 0, 1]))
    losses.ContrastiveLoss(distance=distance)(batch).backward()
    assert same.grad.isfinite().all()


def made(name: str) -> Loss:
    arguments: dict[str, tuple[Any, ...]] = {
        "GISTEmbedLoss": (Guide(draw(0, 1, 4)),),
        "SoftmaxLoss": (4, 3),
        "MatryoshkaLoss": (losses.TripletLoss(), [4, 2]),
    }
    return losses.LOSSES.get(name)(*arguments.get(name, ()))


@pytest.mark.parametrize("name", losses.LOSSES.names())
def test_each_says_what_data_it_takes_and_what_it_was_made_with(name: str) -> None:
    loss = made(name)
    assert loss.formats
    assert set(loss.formats) <= set(get_args(Format))
    assert getattr(losses, name) is type(loss)
    assert "formats" not in loss.settings()


def test_settings_of_losses_in_losses() -> None:
    inner = losses.CachedMultipleNegativesRankingLoss(
        mini_batch_size=8, directions=("query_to_doc",)
    )
    wrapped = losses.MatryoshkaLoss(inner, [4, 2], weights=[1, 0.5], dims_per_step=1)
    assert wrapped.settings() == {
        "loss": {
            "name": "CachedMultipleNegativesRankingLoss",
            "scale": 20.0,
            "similarity": "cosine",
            "directions": ("query_to_doc",),
            "partition": "joint",
            "hardness": None,
            "hardness_strength": 0.0,
            "gather": False,
            "mini_batch_size": 8,
        },
        "mini_batch_size": 8,
        "dimensions": (4, 2),
        "weights": (1, 0.5),
        "dims_per_step": 1,
    }
    assert losses.SoftmaxLoss(4, 3, product=True).settings() == {
        "dimension": 4,
        "num_labels": 3,
        "vectors": True,
        "difference": True,
        "product": True,
    }
    assert losses.MSELoss().settings() == {}


RANKING: Any = losses.MultipleNegativesRankingLoss
WRONG: dict[str, Callable[[], Loss]] = {
    "scale is 0": lambda: RANKING(scale=0),
    "similarity is 'l2'": lambda: RANKING(similarity="l2"),
    "direction is 'doc'": lambda: RANKING(directions=("query_to_doc", "doc")),
    "must have 'query_to_doc'": lambda: RANKING(directions=()),
    "partition is 'x'": lambda: RANKING(partition="x"),
    "needs the positive in each": lambda: RANKING(
        partition="per_direction", directions=("query_to_doc", "doc_to_doc")
    ),
    "hardness is 'x'": lambda: RANKING(hardness="x", hardness_strength=1.0),
    "hardness_strength is 0": lambda: RANKING(hardness="hard_negatives"),
    "without hardness nothing": lambda: RANKING(hardness_strength=1.0),
    "mini_batch_size is 0": lambda: losses.CachedMultipleNegativesRankingLoss(mini_batch_size=0),
    "temperature is 0": lambda: losses.GISTEmbedLoss("x", temperature=0),
    "margin_strategy is 'x'": lambda: losses.GISTEmbedLoss("x", margin_strategy="x"),
    "temperature is -1": lambda: losses.DistillKLDivLoss(temperature=-1),
    "similarity is 'cos'": lambda: losses.MarginMSELoss(similarity="cos"),
    "similarity is 'x'": lambda: losses.DistillKLDivLoss(similarity="x"),
    "distance is 'l1'": lambda: losses.TripletLoss(distance="l1"),
    "margin is 0": lambda: losses.TripletLoss(margin=0),
    "distance is 'dot'": lambda: losses.ContrastiveLoss(distance="dot"),
    "margin is -1": lambda: losses.ContrastiveLoss(margin=-1),
    "scale is nan": lambda: losses.CoSENTLoss(scale=math.nan),
    "similarity is 'y'": lambda: losses.CoSENTLoss(similarity="y"),
    "dimension is 0": lambda: losses.SoftmaxLoss(0, 2),
    "num_labels is 1": lambda: losses.SoftmaxLoss(4, 1),
    "sees nothing": lambda: losses.SoftmaxLoss(4, 2, vectors=False, difference=False),
    "dimensions are": lambda: losses.MatryoshkaLoss(losses.MSELoss(), []),
    "some of at least 1": lambda: losses.MatryoshkaLoss(losses.MSELoss(), [4, 0]),
    "1 weights for 2": lambda: losses.MatryoshkaLoss(losses.MSELoss(), [4, 2], weights=[1]),
    "dims_per_step is 3": lambda: losses.MatryoshkaLoss(losses.MSELoss(), [4, 2], dims_per_step=3),
}


@pytest.mark.parametrize("message", WRONG)
def test_options_that_are_refused(message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WRONG[message]()


def test_a_guide_that_is_nowhere_is_refused_when_the_loss_is_made() -> None:
    with pytest.raises(ModelNotFoundError, match=r"\./nowhere"):
        losses.GISTEmbedLoss("./nowhere")


BAD_LABELS: list[tuple[str, int, Tensor | None, str]] = [
    *((name, 2, None, "the data has none") for name in
      ("CoSENTLoss", "CosineSimilarityLoss", "ContrastiveLoss", "SoftmaxLoss", "MSELoss")),
    *((name, 3, None, "the data has none") for name in ("MarginMSELoss", "DistillKLDivLoss")),
    ("MarginMSELoss", 3, draw(0, 3, 3), r"\[3\] or \[3, 1\] or \[3, 2\].*3 texts.*\[3, 3\]"),
    ("MarginMSELoss", 4, draw(0, 3), r"\[3, 2\] or \[3, 3\]"),
    ("DistillKLDivLoss", 4, draw(0, 3, 2), r"\[3, 3\]"),
    ("MSELoss", 2, draw(0, 3, 5), r"\[3, 4\]"),
    ("CoSENTLoss", 2, draw(0, 3, 1), r"\[3\]"),
    ("SoftmaxLoss", 2, torch.tensor([0, 3, 1]), "from 0 to 2, and these go from 0 to 3"),
    ("SoftmaxLoss", 2, torch.tensor([0, -1, 1]), "from -1 to 1"),
    ("ContrastiveLoss", 2, torch.tensor([0.0, 0.5, 1.0]), "one is 0.5"),
    ("TripletLoss", 2, None, "2 columns"),
    ("GISTEmbedLoss", 2, None, "texts of each column"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "count", "labels", "message"), BAD_LABELS)
def test_data_that_is_refused(name: str, count: int, labels: Tensor | None, message: str) -> None:
    with pytest.raises(TrainingDataError, match=message):
        made(name)(VectorBatch(columns(1, count, 3), labels))


def test_dimensions_beyond_the_vectors_are_refused() -> None:
    batch = VectorBatch(columns(1, 3, 3))
    with pytest.raises(ConfigError, match="up to 5, and the encoder's vectors have 4"):
        losses.MatryoshkaLoss(losses.TripletLoss(), [5, 2])(batch)
    labels = torch.tensor([0, 1, 2])
    with pytest.raises(ConfigError, match="MatryoshkaLoss cannot wrap it"):
        losses.MatryoshkaLoss(losses.SoftmaxLoss(4, 3), [2])(VectorBatch(batch.vectors[:2], labels))


OWN = '''
import torch
from search_engine.training.losses.loss import Loss


class Pulling(Loss):
    """Pairs are drawn together, and lengths to a number that is learned."""

    formats = ("pairs",)

    def __init__(self):
        super().__init__()
        self.length = torch.nn.Parameter(torch.tensor(3.0))

    def forward(self, batch):
        a, b = batch.vectors
        return {
            "apart": ((a - b) ** 2).mean(),
            "length": ((a.norm(dim=1) - self.length) ** 2).mean(),
        }
'''


def test_a_loss_of_ones_own_trains(bert: Path, tmp_path: Path) -> None:
    path = tmp_path / "own_loss.py"
    path.write_text(OWN)
    spec = importlib.util.spec_from_file_location("own_loss", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    layout = read_layout(write_sentence_transformer(tmp_path / "st", bert), task="embedding")
    model = TrainingModel(layout, {"set": losses.MatryoshkaLoss(module.Pulling(), [16, 4])})
    plain = TrainingModel(layout, {"set": module.Pulling()})
    batch = batch_of(plain, ["a cell", "lipids"], ["of lipids", "the membrane"])
    first = plain(batch)
    assert first.item() == pytest.approx(
        sum(sum(values) for values in plain.components.values()), rel=1e-6
    )
    assert plain.components.keys() == {"apart", "length"}
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        plain(batch).backward()
        optimizer.step()
    assert plain(batch) < first / 2
    assert plain.losses[0].length != 3
    # What is cut has length 1, so that the second part is (1 - 3)^2 in either dimension.
    assert model(batch).item() > 8


def batch_of(model: TrainingModel, *texts: list[str]) -> TrainingBatch:
    from search_engine.encoders.tokenizers.opening import open_tokenizer

    tokenizer = open_tokenizer(model.layout)
    read = tuple(TextColumn(each, tokenizer.tokenize(each), None) for each in texts)
    return TrainingBatch("set", tuple(range(len(texts[0]))), read, None)

"""SPLADE's price on terms: its formulas by hand, its options, and what it passes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.losses import sparse_encoder as losses
from search_engine.training.losses.inputs import VectorBatch
from search_engine.training.losses.loss import Loss
from search_engine.training.losses.sparse_encoder.regularizers import regularize

# Texts of three, two, one and no terms.
VECTORS = ((1.0, 2.0, 0.5), (0.0, 4.0, 1.0), (3.0, 0.0, 0.0), (0.0, 0.0, 0.0))
QUERIES = ((1.0, 0.0, 2.0), (0.0, 0.5, 0.0))
IDF = (4.0, 0.5, 2.0)


class Constant(Loss):
    """A loss with parts, which no vector changes."""

    formats = ("scored_pairs",)
    mini_batch_size = 3

    def __init__(self, *, margin: float = 0.25) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, batch: VectorBatch) -> Mapping[str, Tensor]:
        return {"one": batch.vectors[0].new_tensor(1.0), "two": batch.vectors[0].new_tensor(2.0)}


def flops(rows: list[tuple[float, ...]], *, over: tuple[float, ...] = (1, 1, 1)) -> float:
    """As many loops as the formula has sums."""
    total = 0.0
    for term in range(3):
        mean = 0.0
        for row in rows:
            mean += row[term] / over[term] / len(rows)
        total += mean**2
    return total


def batch(*, progress: float = 1.0) -> VectorBatch:
    documents = torch.tensor(VECTORS)
    return VectorBatch((torch.tensor(QUERIES), documents[:2], documents[2:]), progress=progress)


def test_the_regularizers_by_hand() -> None:
    vectors = torch.tensor(VECTORS)
    empty = (0.0, 0.0, 0.0)
    rows = list(VECTORS)
    assert regularize(vectors, "flops").item() == pytest.approx(flops(rows))
    assert flops(rows) == pytest.approx(1.0 + 2.25 + 0.375**2)
    long = [rows[0], rows[1], empty, empty]
    assert regularize(vectors, "flops", threshold=1).item() == pytest.approx(flops(long))
    assert regularize(vectors, "l1").item() == pytest.approx((3.5 + 5.0 + 3.0) / 4)
    assert regularize(vectors, "l1", threshold=2).item() == pytest.approx(3.5 / 4)
    found = regularize(vectors, "idf_flops", idf=torch.tensor(IDF)).item()
    assert found == pytest.approx(flops(rows, over=IDF))


def test_idf_makes_frequent_terms_dear() -> None:
    """The price is that of the documents whose weights a query's table of IDF multiplies."""
    idf = torch.tensor(IDF)
    documents = torch.tensor(VECTORS, requires_grad=True)
    weighted = (documents * idf).detach().requires_grad_()
    regularize(documents, "flops").backward()
    regularize(weighted, "idf_flops", idf=idf).backward()
    assert documents.grad is not None
    assert weighted.grad is not None
    # By the chain rule, since weighted = documents * idf.
    torch.testing.assert_close(weighted.grad * idf, documents.grad)
    with pytest.raises(ConfigError, match="wants the IDF of each of the 3 terms, and 2 are"):
        regularize(documents, "idf_flops", idf=torch.tensor([1.0, 2.0]))


def test_parts() -> None:
    loss = losses.SpladeLoss(Constant(), 0.1, query_weight=0.2, query_regularizer="l1")
    parts = loss(batch())
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(
        {
            "one": 1.0,
            "two": 2.0,
            "document_regularizer_loss": 0.1 * flops(list(VECTORS)),
            "query_regularizer_loss": 0.2 * 3.5 / 2,
        }
    )
    half = losses.SpladeLoss(Constant(), 0.1, query_weight=0.2, warmup=0.5)(batch(progress=0.25))
    assert half["document_regularizer_loss"].item() == pytest.approx(0.025 * flops(list(VECTORS)))
    assert half["query_regularizer_loss"].item() == pytest.approx(0.05 * flops(list(QUERIES)))
    assert half["one"].item() == 1.0
    symmetric = losses.SpladeLoss(Constant(), 0.1, symmetric=True)(batch())
    assert symmetric["document_regularizer_loss"].item() == pytest.approx(
        0.1 * flops([*QUERIES, *VECTORS])
    )
    for free in (None, 0.0):
        parts = losses.SpladeLoss(Constant(), 0.1, query_weight=free)(batch())
        assert "query_regularizer_loss" not in parts


@pytest.mark.parametrize(("schedule", "exponent"), [("linear", 1), ("quadratic", 2)])
def test_the_schedule(schedule: str, exponent: int) -> None:
    loss = losses.SpladeLoss(Constant(), 0.1, schedule=schedule, warmup=0.4)
    shares = [loss.share_at(progress / 10) for progress in range(11)]
    expected = [min(1.0, (progress / 4) ** exponent) for progress in range(11)]
    assert shares == pytest.approx(expected)
    assert losses.SpladeLoss(Constant(), 0.1, warmup=0).share_at(0.0) == 1


def test_what_it_passes_on() -> None:
    loss = losses.SpladeLoss(Constant(margin=0.75), 0.1)
    assert loss.formats == ("scored_pairs",)
    assert loss.mini_batch_size == 3
    settings = loss.settings()
    assert settings["loss"] == {"name": "Constant", "margin": 0.75}
    assert settings["document_weight"] == 0.1
    assert settings["regularizer"] == "flops"


def test_defaults_of_sparse_vectors() -> None:
    ranking = losses.MultipleNegativesRankingLoss()
    assert (ranking.scale, ranking.similarity) == (1.0, "dot")
    cached = losses.CachedMultipleNegativesRankingLoss(mini_batch_size=5)
    assert (cached.scale, cached.similarity, cached.mini_batch_size) == (1.0, "dot", 5)
    divergence = losses.DistillKLDivLoss()
    assert (divergence.student_temperature, divergence.teacher_temperature) == (2.0, 2.0)
    assert losses.MarginMSELoss().similarity == "dot"
    # Two queries with the other's documents as negatives, by hand.
    queries, documents = torch.tensor(QUERIES), torch.tensor(VECTORS[:2])
    logits = [[2.0, 2.0], [1.0, 2.0]]
    expected = -sum(
        torch.tensor(row).log_softmax(0)[place].item() for place, row in enumerate(logits)
    )
    found = ranking(VectorBatch((queries, documents))).item()
    assert found == pytest.approx(expected / 2)


def test_every_name_stands_for_a_loss() -> None:
    for name in losses.LOSSES.names():
        assert issubclass(losses.LOSSES.get(name), Loss)
        assert getattr(losses, name) is losses.LOSSES.get(name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.SpladeLoss(Constant(), -0.1), "document_weight is -0.1"),
        (lambda: losses.SpladeLoss(Constant(), float("nan")), "document_weight is nan"),
        (lambda: losses.SpladeLoss(Constant(), 1, query_weight=-1), "query_weight is -1"),
        (lambda: losses.SpladeLoss(Constant(), 1, query_weight=1, symmetric=True), "no queries"),
        (lambda: losses.SpladeLoss(Constant(), 1, warmup=1.5), "warmup is 1.5"),
        (lambda: losses.SpladeLoss(Constant(), 1, schedule="cubic"), "'cubic'"),
        (lambda: losses.SpladeLoss(Constant(), 1, regularizer="l2"), "'l2'"),
        (lambda: losses.SpladeLoss(Constant(), 1, query_regularizer="l3"), "'l3'"),
        (lambda: losses.SpladeLoss(Constant(), 1, regularizer="idf_flops"), "needs the idf"),
        (
            lambda: losses.SpladeLoss(Constant(), 1, regularizer="idf_flops", idf=[1.0, 0.0]),
            "finite numbers above 0",
        ),
    ],
)
def test_options_that_cannot_be(make: Callable[[], Loss], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_single_column_needs_to_be_documents() -> None:
    alone = VectorBatch((torch.tensor(VECTORS),))
    with pytest.raises(TrainingDataError, match="finds no documents"):
        losses.SpladeLoss(Constant(), 0.1)(alone)
    parts = losses.SpladeLoss(Constant(), 0.1, symmetric=True)(alone)
    assert parts["document_regularizer_loss"].item() == pytest.approx(0.1 * flops(list(VECTORS)))

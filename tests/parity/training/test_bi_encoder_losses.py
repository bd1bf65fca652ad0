"""Each loss of a bi-encoder has the reference's value and gradients, through the whole encoder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer, util
from sentence_transformers.sentence_transformer import losses as reference
from torch import nn

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.training.losses import bi_encoder as ours
from search_engine.training.losses.loss import Loss
from tests.encoders.checkpoints import write_sentence_transformer, write_trunk
from tests.parity.training.bi_encoder_runs import (
    ANCHORS,
    POSITIVES,
    assert_same_run,
    build_model,
    pairs,
    run,
    run_ours,
    run_theirs,
    triples,
)

DIMENSION = 6
GRADES = [0.9, 0.1, 0.5, 0.5, 0.0, 1.0]
BINARY = [1, 0, 1, 1, 0, 0]
VECTORS = np.random.default_rng(3).normal(size=(6, DIMENSION)).tolist()
SCORES = np.random.default_rng(4).normal(size=(6, 3)).tolist()
SIMILARITIES = {"cosine": util.cos_sim, "dot": util.dot_score}
PAIRWISE = {"cosine": util.pairwise_cos_sim, "dot": util.pairwise_dot_score}
TRIPLET = reference.TripletDistanceMetric
SIAMESE = reference.SiameseDistanceMetric
Maker = Callable[[SentenceTransformer], nn.Module]


def four(**labels: list[Any]) -> dict[str, list[Any]]:
    return {**triples(), "negative_2": list(reversed(ANCHORS)), **labels}


@pytest.fixture(scope="session")
def folder(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sentence_transformer(tmp_path_factory.mktemp("student") / "st", bert, dense=True)


@pytest.fixture(scope="session")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trunk = write_trunk(tmp_path_factory.mktemp("guide") / "trunk", seed=5)
    return write_sentence_transformer(tmp_path_factory.mktemp("guide") / "st", trunk)


def check(
    folder: Path,
    loss: Loss,
    make: Maker,
    data: Mapping[str, list[Any]],
    *,
    tolerance: float = 1e-5,
) -> None:
    theirs = run_theirs(folder, make, data)
    assert_same_run(run_ours(folder, loss, data), theirs, tolerance=tolerance)


DIRECTIONS = (
    ("query_to_doc",),
    ("query_to_doc", "doc_to_query"),
    ("query_to_doc", "query_to_query"),
    ("query_to_doc", "doc_to_doc"),
    ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"),
)
RANKING: list[dict[str, Any]] = [
    *({"directions": each} for each in DIRECTIONS),
    *({"partition": "per_direction", "directions": each} for each in DIRECTIONS[:2]),
    {"scale": 5.0},
    {"scale": 1.0, "similarity": "dot"},
    *(
        {"hardness": each, "hardness_strength": 9.0}
        for each in ("in_batch_negatives", "hard_negatives", "all_negatives")
    ),
    {"hardness": "all_negatives", "hardness_strength": 5.0, "directions": DIRECTIONS[-1]},
]


def their_ranking_options(options: Mapping[str, Any]) -> dict[str, Any]:
    names = {"partition": "partition_mode", "hardness": "hardness_mode"}
    renamed = {names.get(name, name): value for name, value in options.items()}
    if "similarity" in renamed:
        renamed["similarity_fct"] = SIMILARITIES[renamed.pop("similarity")]
    return renamed


@pytest.mark.parametrize("columns", [2, 3, 4])
@pytest.mark.parametrize("options", RANKING, ids=str)
def test_multiple_negatives_ranking(folder: Path, options: dict[str, Any], columns: int) -> None:
    data = dict(itertools.islice(four().items(), columns))
    loss = ours.MultipleNegativesRankingLoss(**options)
    theirs = their_ranking_options(options)
    check(folder, loss, lambda m: reference.MultipleNegativesRankingLoss(m, **theirs), data)


@pytest.mark.parametrize("size", [1, 2, 4, 18, 100])
@pytest.mark.parametrize("options", [RANKING[0], RANKING[4], RANKING[-1]], ids=str)
def test_cached_multiple_negatives_ranking(
    folder: Path, options: dict[str, Any], size: int
) -> None:
    theirs = their_ranking_options(options)
    loss = ours.CachedMultipleNegativesRankingLoss(mini_batch_size=size, **options)
    cached = run_ours(folder, loss, triples())
    whole = run_ours(folder, ours.MultipleNegativesRankingLoss(**options), triples())
    make = reference.CachedMultipleNegativesRankingLoss
    expected = run_theirs(folder, lambda m: make(m, mini_batch_size=size, **theirs), triples())
    assert_same_run(cached, whole)
    assert_same_run(cached, expected)


GUIDED: list[dict[str, Any]] = [
    {},
    {"temperature": 0.05},
    {"margin": 0.02},
    {"margin_strategy": "relative", "margin": 0.03},
    {"contrast_anchors": False},
    {"contrast_positives": False},
    {"contrast_anchors": False, "contrast_positives": False, "margin": 0.01},
]


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("options", GUIDED, ids=str)
def test_gist_embed(folder: Path, guide: Path, options: dict[str, Any], columns: int) -> None:
    data = dict(itertools.islice(triples().items(), columns))
    opened = BiEncoder(str(guide), backend="torch", dtype="float32")
    theirs = SentenceTransformer(str(guide), device="cpu")
    make = reference.GISTEmbedLoss
    check(folder, ours.GISTEmbedLoss(opened, **options), lambda m: make(m, theirs, **options), data)


def test_gist_embed_in_mini_batches(folder: Path, guide: Path) -> None:
    opened = BiEncoder(str(guide), backend="torch", dtype="float32")
    theirs = SentenceTransformer(str(guide), device="cpu")
    loss = ours.GISTEmbedLoss(opened, temperature=0.05)
    loss.mini_batch_size = 4
    make = reference.CachedGISTEmbedLoss
    check(folder, loss, lambda m: make(m, theirs, temperature=0.05, mini_batch_size=4), triples())


@pytest.mark.parametrize("similarity", PAIRWISE)
@pytest.mark.parametrize(
    "data",
    [
        triples() | {"score": GRADES},
        triples() | {"score": [[each] for each in GRADES]},
        triples() | {"score": [each[:2] for each in SCORES]},
        four(score=[each[:2] for each in SCORES]),
        four(score=SCORES),
    ],
    ids=["margin", "margin list", "two scores", "two margins", "three scores"],
)
def test_margin_mse(folder: Path, similarity: Any, data: dict[str, list[Any]]) -> None:
    make = reference.MarginMSELoss
    check(
        folder,
        ours.MarginMSELoss(similarity=similarity),
        lambda m: make(m, similarity_fct=PAIRWISE[similarity]),
        data,
    )


@pytest.mark.parametrize("similarity", PAIRWISE)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    "data", [triples() | {"score": [each[:2] for each in SCORES]}, four(score=SCORES)], ids=len
)
def test_distill_kl_div(
    folder: Path, similarity: Any, temperature: float, data: dict[str, list[Any]]
) -> None:
    make = reference.DistillKLDivLoss
    check(
        folder,
        ours.DistillKLDivLoss(similarity=similarity, temperature=temperature),
        lambda m: make(m, similarity_fct=PAIRWISE[similarity], temperature=temperature),
        data,
    )


def test_distill_kl_div_with_a_temperature_for_each(folder: Path) -> None:
    options = {"student_temperature": 0.5, "teacher_temperature": 2.0}
    check(
        folder,
        ours.DistillKLDivLoss(**options),
        lambda m: reference.DistillKLDivLoss(m, **options),
        four(score=SCORES),
    )


@pytest.mark.parametrize(
    "data",
    [{"text": list(ANCHORS)}, {"english": list(ANCHORS), "german": list(POSITIVES)}, triples()],
    ids=len,
)
def test_mse(folder: Path, data: dict[str, list[Any]]) -> None:
    check(folder, ours.MSELoss(), reference.MSELoss, data | {"vector": VECTORS})


@pytest.mark.parametrize("margin", [0.2, 5.0])
@pytest.mark.parametrize("distance", ["euclidean", "cosine", "manhattan"])
def test_triplet(folder: Path, distance: Any, margin: float) -> None:
    metric = getattr(TRIPLET, distance.upper())
    check(
        folder,
        ours.TripletLoss(distance=distance, margin=margin),
        lambda m: reference.TripletLoss(m, distance_metric=metric, triplet_margin=margin),
        triples(),
    )


@pytest.mark.parametrize("similarity", PAIRWISE)
@pytest.mark.parametrize("scale", [1.0, 20.0])
@pytest.mark.parametrize("grades", [GRADES, BINARY], ids=str)
def test_cosent(folder: Path, similarity: Any, scale: float, grades: list[Any]) -> None:
    make = reference.CoSENTLoss
    check(
        folder,
        ours.CoSENTLoss(scale=scale, similarity=similarity),
        lambda m: make(m, scale=scale, similarity_fct=PAIRWISE[similarity]),
        pairs(score=grades),
    )


@pytest.mark.parametrize("grades", [GRADES, BINARY], ids=str)
def test_cosine_similarity(folder: Path, grades: list[Any]) -> None:
    loss = ours.CosineSimilarityLoss()
    check(folder, loss, reference.CosineSimilarityLoss, pairs(score=grades))


@pytest.mark.parametrize("size_average", [True, False])
@pytest.mark.parametrize(("distance", "margin"), [
    ("cosine", 0.5), ("cosine", 1.5), ("euclidean", 3.0), ("manhattan", 8.0),
])  # fmt: skip
def test_contrastive(folder: Path, distance: Any, margin: float, size_average: bool) -> None:
    metric = getattr(SIAMESE, "COSINE_DISTANCE" if distance == "cosine" else distance.upper())
    options = {"margin": margin, "size_average": size_average}
    make = reference.ContrastiveLoss
    check(
        folder,
        ours.ContrastiveLoss(distance=distance, **options),
        lambda m: make(m, distance_metric=metric, **options),
        pairs(label=BINARY),
    )


@pytest.mark.parametrize(
    ("vectors", "difference", "product"),
    [each for each in itertools.product([True, False], repeat=3) if any(each)],
)
def test_softmax(folder: Path, vectors: bool, difference: bool, product: bool) -> None:
    loss = ours.SoftmaxLoss(DIMENSION, 3, vectors=vectors, difference=difference, product=product)

    def make(model: SentenceTransformer) -> nn.Module:
        made = reference.SoftmaxLoss(model, DIMENSION, 3, vectors, difference, product)
        made.classifier.load_state_dict(loss.classifier.state_dict())
        return made

    data = pairs(label=[0, 1, 2, 2, 1, 0])
    expected = run_theirs(folder, make, data)
    assert {"loss.classifier.weight", "loss.classifier.bias"} <= expected.gradients.keys()
    assert_same_run(run_ours(folder, loss, data), expected)


INNER: dict[str, tuple[Callable[[], Loss], Maker, dict[str, list[Any]]]] = {
    "ranking": (
        lambda: ours.MultipleNegativesRankingLoss(),
        reference.MultipleNegativesRankingLoss,
        triples(),
    ),
    "cached": (
        lambda: ours.CachedMultipleNegativesRankingLoss(mini_batch_size=2),
        lambda m: reference.CachedMultipleNegativesRankingLoss(m, mini_batch_size=2),
        triples(),
    ),
    "triplet": (lambda: ours.TripletLoss(), reference.TripletLoss, triples()),
    "cosent": (lambda: ours.CoSENTLoss(), reference.CoSENTLoss, pairs(score=GRADES)),
    "mse": (lambda: ours.MSELoss(), reference.MSELoss, pairs(vector=VECTORS)),
    "margin": (
        lambda: ours.MarginMSELoss(),
        reference.MarginMSELoss,
        four(score=SCORES),
    ),
}


@pytest.mark.parametrize("weights", [(), (0.5, 1.0, 2.0)])
@pytest.mark.parametrize("inner", INNER)
def test_matryoshka(folder: Path, inner: str, weights: tuple[float, ...]) -> None:
    loss, make, data = INNER[inner]
    dimensions = [2, DIMENSION, 4]
    check(
        folder,
        ours.MatryoshkaLoss(loss(), dimensions, weights=weights),
        lambda m: reference.MatryoshkaLoss(m, make(m), dimensions, weights or None),
        data,
    )


@pytest.mark.parametrize("inner", ["ranking", "cached"])
def test_matryoshka_of_some_dimensions_a_step(folder: Path, inner: str) -> None:
    loss, make, data = INNER[inner]
    single = {
        each: run_theirs(folder, lambda m, d=each: reference.MatryoshkaLoss(m, make(m), [d]), data)
        for each in (2, 4, DIMENSION)
    }
    seen = set()
    for progress in np.linspace(0, 1, 9):
        wrapped = ours.MatryoshkaLoss(loss(), [2, 4, DIMENSION], dims_per_step=2)
        made = run_ours(folder, wrapped, data, progress=float(progress))
        # Two of the three, which the value tells apart.
        (drawn,) = [
            chosen
            for chosen in itertools.combinations(single, 2)
            if abs(made.value - sum(single[each].value for each in chosen)) < 1e-4
        ]
        seen.add(drawn)
        for name, gradient in made.gradients.items():
            expected = sum(single[each].gradients[name] for each in drawn)
            torch.testing.assert_close(gradient, expected, atol=1e-4, rtol=1e-4)
    assert len(seen) == 3


def test_matryoshka_around_a_guided_loss(folder: Path, guide: Path) -> None:
    opened = BiEncoder(str(guide), backend="torch", dtype="float32")
    theirs = SentenceTransformer(str(guide), device="cpu")
    inner = ours.GISTEmbedLoss(opened, temperature=0.1)
    check(
        folder,
        ours.MatryoshkaLoss(inner, [DIMENSION, 3]),
        lambda m: reference.MatryoshkaLoss(
            m, reference.GISTEmbedLoss(m, theirs, temperature=0.1), [DIMENSION, 3]
        ),
        triples(),
    )


@pytest.mark.parametrize("size", [1, 4, 100])
def test_recomputation_replays_the_dropout(
    folder: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = ours.CachedMultipleNegativesRankingLoss(mini_batch_size=size)
    model, batch = build_model(folder, loss, triples())
    still = run(model, batch)
    model.train()
    torch.manual_seed(11)
    cached = run(model, batch)
    assert abs(cached.value - still.value) > 1e-3
    # The same passes of the same seed, their activations kept: what autograd says without a cache.
    monkeypatch.setattr(
        "search_engine.training.training_model.checkpoint",
        lambda graph, *inputs, use_reentrant: graph(*inputs),
    )
    torch.manual_seed(11)
    kept = run(model, batch)
    assert cached.value == kept.value
    assert_same_run(cached, kept, tolerance=1e-6)

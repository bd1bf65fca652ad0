"""The losses of cross-encoders, against their papers' formulas written out as loops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.losses import cross_encoder
from search_engine.training.losses.inputs import ScoreBatch
from search_engine.training.losses.loss import Loss

DOCUMENTS = (3, 1, 4)
SCORES = [0.3, -1.2, 0.9, 0.4, 2.0, -0.5, 0.1, 1.1]
LABELS = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0, 1.0, 0.0]
Lists = list[tuple[list[float], list[float]]]


def make(name: str, **options: Any) -> Loss:
    return cross_encoder.LOSSES.get(name)(**options)


def batch_of(
    scores: list[float] = SCORES,
    labels: list[float] | None = LABELS,
    documents: tuple[int, ...] = DOCUMENTS,
) -> ScoreBatch:
    logits = torch.tensor(scores)[:, None].requires_grad_()
    return ScoreBatch(logits, documents, None if labels is None else torch.tensor(labels))


def lists_of(batch: ScoreBatch) -> Lists:
    scores, labels = batch.logits[:, 0].tolist(), batch.labels.tolist()
    ends = list(itertools.accumulate(batch.documents))
    return [
        (scores[end - count : end], labels[end - count : end])
        for end, count in zip(ends, batch.documents, strict=True)
    ]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def log_sigmoid(value: float) -> float:
    return -math.log(1 + math.exp(-value))


def ranking_likelihood(scores: list[float], order: tuple[int, ...]) -> float:
    """The chance of an order when documents are drawn one by one (Plackett-Luce)."""
    chance, left = 1.0, list(order)
    for place in order:
        chance *= math.exp(scores[place]) / sum(math.exp(scores[each]) for each in left)
        left.remove(place)
    return chance


def list_net(lists: Lists) -> float:
    found = []
    for scores, labels in lists:
        first = [math.exp(each) / sum(map(math.exp, scores)) for each in scores]
        wanted = [math.exp(each) / sum(map(math.exp, labels)) for each in labels]
        found.append(-sum(w * math.log(p) for w, p in zip(wanted, first, strict=True)))
    return mean(found)


def list_mle(lists: Lists) -> float:
    found = []
    for scores, labels in lists:
        order = sorted(range(len(labels)), key=lambda place: (-labels[place], place))
        found.append(-math.log(ranking_likelihood(scores, tuple(order))))
    return mean(found)


def rank_net(lists: Lists) -> float:
    found = [
        -math.log2(1 / (1 + math.exp(scores[j] - scores[i])))
        for scores, labels in lists
        for i, j in itertools.permutations(range(len(scores)), 2)
        if labels[i] > labels[j]
    ]
    return mean(found)


def lambda_loss(lists: Lists, *, k: int = 100, mu: float = 10.0) -> float:
    """NDCG-Loss2++, equations 13 to 16 of Wang et al. 2018."""
    found = []
    for scores, labels in lists:
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        ranks = {place: rank for rank, place in enumerate(order, start=1)}
        gain = [2**label - 1 for label in labels]
        best = sum(
            value / math.log2(1 + rank)
            for rank, value in enumerate(sorted(gain, reverse=True), start=1)
            if rank <= k
        )
        for i, j in itertools.permutations(range(len(scores)), 2):
            if labels[i] <= labels[j] or min(ranks[i], ranks[j]) > k:
                continue
            apart = abs(ranks[i] - ranks[j])
            rho = abs(1 / math.log2(1 + ranks[i]) - 1 / math.log2(1 + ranks[j]))
            delta = abs(1 / math.log2(1 + apart) - 1 / math.log2(2 + apart))
            weight = (rho + mu * delta) * abs(gain[i] - gain[j]) / best
            found.append(-weight * log_sigmoid(scores[i] - scores[j]) / math.log(2))
    return mean(found)


def adr_mse(lists: Lists) -> float:
    found = []
    for scores, labels in lists:
        for i in range(len(scores)):
            others = [j for j in range(len(scores)) if j != i]
            near = 1 + sum(1 / (1 + math.exp(scores[i] - scores[j])) for j in others)
            better = sum(labels[j] > labels[i] for j in others)
            equal = sum(labels[j] == labels[i] for j in others)
            rank = 1 + better + equal / 2
            found.append((rank - near) ** 2 / math.log2(1 + rank))
    return mean(found)


@pytest.mark.parametrize(
    ("name", "formula", "options"),
    [
        ("ListNetLoss", list_net, {}),
        ("ListMLELoss", list_mle, {}),
        ("RankNetLoss", rank_net, {}),
        ("LambdaLoss", lambda_loss, {}),
        ("LambdaLoss", lambda_loss, {"k": 2, "mu": 3.0}),
        ("ADRMSELoss", adr_mse, {}),
    ],
)
def test_ragged_lists(name: str, formula: Callable[..., float], options: dict[str, Any]) -> None:
    batch = batch_of()
    expected = formula(lists_of(batch), **options)
    assert make(name, **options)(batch).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "name",
    ["ListNetLoss", "ListMLELoss", "PListMLELoss", "RankNetLoss", "LambdaLoss", "ADRMSELoss",
     "MultipleNegativesRankingLoss", "MarginMSELoss", "MSELoss"],
)  # fmt: skip
def test_gradients_are_those_of_small_steps(name: str) -> None:
    loss = make(name)
    labels = LABELS if name != "MultipleNegativesRankingLoss" else None
    batch = batch_of(labels=labels)
    loss(batch).backward()
    for place in range(len(SCORES)):
        values = []
        for step in (0.01, -0.01):
            moved = [*SCORES]
            moved[place] += step
            values.append(loss(batch_of(moved, labels)).item())
        slope = (values[0] - values[1]) / 0.02
        assert batch.logits.grad[place].item() == pytest.approx(slope, abs=1e-3)
    assert batch.logits.grad.abs().max() > 0.05


def test_a_ranking_is_one_of_all() -> None:
    loss = make("ListMLELoss", respect_input_order=True)
    scores = SCORES[4:]
    chances = [
        math.exp(-loss(batch_of(list(order), None, (4,))).item())
        for order in itertools.permutations(scores)
    ]
    assert sum(chances) == pytest.approx(1.0, abs=1e-5)


def test_the_input_order_is_kept_among_equals() -> None:
    equal = batch_of(labels=[1.0] * len(SCORES))
    kept = make("ListMLELoss", respect_input_order=True)(batch_of(labels=None))
    assert make("ListMLELoss")(equal).item() == pytest.approx(kept.item())
    assert make("ListMLELoss")(batch_of()).item() != pytest.approx(kept.item(), abs=0.01)


def test_weights_of_ranks_in_long_lists() -> None:
    """2^(n - i) - 1 over their sum, also where 2^n is more than a float holds."""
    scores = torch.linspace(1, -1, 200).tolist()
    exact = [2 ** (200 - rank) - 1 for rank in range(1, 201)]
    logs = [
        score - math.log(sum(math.exp(each) for each in scores[place:]))
        for place, score in enumerate(scores)
    ]
    expected = -sum(w * value for w, value in zip(exact, logs, strict=True)) / sum(exact)
    value = make("PListMLELoss", respect_input_order=True)(batch_of(scores, None, (200,)))
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_margins_of_ragged_lists() -> None:
    lists = lists_of(batch_of())
    errors = [
        ((scores[0] - scores[j]) - (labels[0] - labels[j])) ** 2
        for scores, labels in lists
        for j in range(1, len(scores))
    ]
    assert make("MarginMSELoss")(batch_of()).item() == pytest.approx(mean(errors), rel=1e-5)


def test_ragged_negatives() -> None:
    lists = lists_of(batch_of())
    logs = [
        math.log(math.exp(2 * scores[0]) / sum(math.exp(2 * each) for each in scores))
        for scores, _ in lists
    ]
    loss = make("MultipleNegativesRankingLoss", scale=2.0, activation="identity")
    assert loss(batch_of(labels=None)).item() == pytest.approx(-mean(logs), rel=1e-5)


@pytest.mark.parametrize("name", ["RankNetLoss", "LambdaLoss"])
def test_nothing_to_order(name: str) -> None:
    """Lists of equal labels have no pairs; the loss is 0 and can be gone back through."""
    batch = batch_of(labels=[1.0] * len(SCORES))
    value = make(name)(batch)
    value.backward()
    assert value.item() == 0.0
    assert not batch.logits.grad.any()


@pytest.mark.parametrize("weighting", ["ndcg_loss1", "ndcg_loss2", "lambda_rank", "ndcg_loss2++"])
def test_nothing_relevant(weighting: str) -> None:
    value = make("LambdaLoss", weighting=weighting)(batch_of(labels=[0.0] * len(SCORES)))
    assert value.item() == 0.0


def test_values_by_query() -> None:
    values = torch.tensor(SCORES, requires_grad=True)
    batch = batch_of()
    rows = batch.by_query(values, fill=-9.0)
    wanted = [[0.3, -1.2, 0.9, -9.0], [0.4, -9.0, -9.0, -9.0], [2.0, -0.5, 0.1, 1.1]]
    torch.testing.assert_close(rows, torch.tensor(wanted))
    torch.testing.assert_close(batch.mask, torch.tensor(wanted) != -9.0)
    weights = torch.arange(12.0).reshape(3, 4)
    (rows * weights).sum().backward()
    torch.testing.assert_close(values.grad, weights[batch.mask])


@pytest.mark.parametrize("name", sorted(cross_encoder.LOSSES.names()))
def test_models_of_other_sizes_are_refused(name: str) -> None:
    loss, single = make(name), name != "CrossEntropyLoss"
    width = 3 if single else 1
    with pytest.raises(ConfigError, match="several" if not single else "has 3 labels"):
        loss.check_labels(width)
    loss.check_labels(1 if single else 3)
    labels = torch.tensor([0, 1])
    with pytest.raises(ConfigError, match=name):
        loss(ScoreBatch(torch.zeros(2, width), (2,), labels))


@pytest.mark.parametrize(
    "name", sorted(set(cross_encoder.LOSSES.names()) - {
        "MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss"}),
)  # fmt: skip
def test_labels_are_wanted(name: str) -> None:
    logits = torch.zeros(8, 3 if name == "CrossEntropyLoss" else 1)
    with pytest.raises(TrainingDataError, match=f"{name} wants"):
        make(name)(ScoreBatch(logits, DOCUMENTS))


@pytest.mark.parametrize("label", [3, -1])
def test_classes_out_of_range(label: int) -> None:
    batch = ScoreBatch(torch.zeros(2, 3), (1, 1), torch.tensor([0, label]))
    with pytest.raises(TrainingDataError, match=f"from 0 to 2.*one is {label}"):
        make("CrossEntropyLoss")(batch)


def test_probabilities_of_other_classes() -> None:
    batch = ScoreBatch(torch.zeros(2, 3), (1, 1), torch.zeros(2, 4))
    with pytest.raises(TrainingDataError, match="4 probabilities, and the model has 3"):
        make("CrossEntropyLoss")(batch)
    with pytest.raises(ConfigError, match="2 class_weights, and the model has 3"):
        make("CrossEntropyLoss", class_weights=(1.0, 2.0)).check_labels(3)


@pytest.mark.parametrize("label", [5.0, -0.5])
def test_labels_that_are_no_probability(label: float) -> None:
    batch = batch_of([0.1, 0.2], [1.0, label], (1, 1))
    with pytest.raises(TrainingDataError, match=f"one is {label:g}"):
        make("BinaryCrossEntropyLoss")(batch)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("BinaryCrossEntropyLoss", {"positive_weight": 0.0}),
        ("CrossEntropyLoss", {"label_smoothing": 1.5}),
        ("CrossEntropyLoss", {"activation": "gelu"}),
        ("MSELoss", {"activation": "gelu"}),
        ("MultipleNegativesRankingLoss", {"num_negatives": -1}),
        ("MultipleNegativesRankingLoss", {"scale": 0.0}),
        ("CachedMultipleNegativesRankingLoss", {"mini_batch_size": 0}),
        ("ListNetLoss", {"mini_batch_size": 0}),
        ("LambdaLoss", {"weighting": "ndcg"}),
        ("LambdaLoss", {"k": 0}),
        ("LambdaLoss", {"sigma": 0.0}),
        ("LambdaLoss", {"mu": -1.0}),
        ("RankNetLoss", {"reduction_log": "decimal"}),
        ("ADRMSELoss", {"alpha": 0.0}),
    ],
)
def test_options_out_of_range(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(options))} is"):
        make(name, **options)


def test_options_are_told() -> None:
    options = {"weighting": "none", "k": 3, "sigma": 2.0, "mu": 1.0, "reduction_log": "natural"}
    told = make("LambdaLoss", **options).settings()
    assert told | options == told
    for name in ("CachedMultipleNegativesRankingLoss", "ListNetLoss", "RankNetLoss"):
        assert make(name, mini_batch_size=3).settings()["mini_batch_size"] == 3
    assert make("MSELoss", activation="tanh").settings()["activation"] == "tanh"
    assert make("MultipleNegativesRankingLoss", num_negatives=None).settings()["scale"] == 10.0


def test_activations() -> None:
    logits = torch.tensor([[0.5], [-1.0]])
    expected = {
        "identity": (0.5, -1.0),
        "sigmoid": (0.622459, 0.268941),
        "tanh": (0.462117, -0.761594),
    }
    for name, values in expected.items():
        batch = ScoreBatch(logits, (2,), torch.zeros(2))
        squares: Tensor = make("MSELoss", activation=name)(batch)
        assert squares.item() == pytest.approx(mean([each**2 for each in values]), rel=1e-4)

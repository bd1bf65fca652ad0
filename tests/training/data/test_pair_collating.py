"""Which pairs a cross-encoder is given, and what each is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.encoders.tokenizers.opening import open_tokenizer
from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.data.collating import TrainingBatch
from search_engine.training.data.formats import Columns, Format
from search_engine.training.data.pair_collating import LabelledQuery, PairCollator, add_negatives
from search_engine.training.data.training_set import OpenedSet, TrainingSet
from search_engine.training.losses import cross_encoder
from search_engine.training.losses.loss import Loss

TEXTS = {"q": ["cell", "lipids"], "p": ["a cell", "of lipids"], "n": ["the", "made of"]}


def make(name: str, **options: Any) -> Loss:
    return cross_encoder.LOSSES.get(name)(**options)


def open_set(
    data: Mapping[str, Sequence[Any]],
    format_: Format,
    *,
    loss: Loss | None = None,
    label: str | None = None,
    prompts: Mapping[str, str] | None = None,
) -> OpenedSet:
    rows = Dataset.from_dict(dict(data))
    texts = tuple(name for name in data if name != label)
    origin = TrainingSet(rows, loss or make("ListNetLoss"), prompts=prompts or {})
    return OpenedSet("set", Columns(format_, texts, label), rows, origin)


def collate(folder: Path, opened: OpenedSet, rows: Sequence[int] | None = None) -> TrainingBatch:
    collator = PairCollator([opened], read_layout(folder, task="score"))
    places = range(len(opened.rows)) if rows is None else rows
    return collator([(0, row, opened.rows[row]) for row in places])["batch"]


def pairs_of(batch: TrainingBatch) -> list[tuple[str, str]]:
    return list(batch.columns[0].texts)


def test_lists(classifier: Path) -> None:
    data = {"q": ["x", "y"], "documents": [["a", "b", "c"], ["d"]], "s": [[0.5, 2.0, 1.0], [3.0]]}
    batch = collate(classifier, open_set(data, "lists", label="s"), [1, 0])
    assert pairs_of(batch) == [("y", "d"), ("x", "a"), ("x", "b"), ("x", "c")]
    assert batch.documents == (1, 3)
    assert batch.rows == (1, 0)
    torch.testing.assert_close(batch.labels, torch.tensor([3.0, 0.5, 2.0, 1.0]))


def test_tuples(classifier: Path) -> None:
    batch = collate(classifier, open_set(TEXTS, "tuples"))
    assert pairs_of(batch) == [
        ("cell", "a cell"), ("cell", "the"), ("lipids", "of lipids"), ("lipids", "made of"),
    ]  # fmt: skip
    assert batch.documents == (2, 2)
    torch.testing.assert_close(batch.labels, torch.tensor([1.0, 0.0, 1.0, 0.0]))


@pytest.mark.parametrize(
    ("format_", "labels", "dtype"),
    [("scored_pairs", [1.0, 0.5], torch.float32), ("labelled_pairs", [2, 1], torch.int64),
     ("scored_pairs", [1, 0], torch.float32)],
)  # fmt: skip
def test_pairs_with_labels(
    classifier: Path, format_: Format, labels: list[Any], dtype: torch.dtype
) -> None:
    data = {"q": TEXTS["q"], "p": TEXTS["p"], "label": labels}
    batch = collate(classifier, open_set(data, format_, label="label"))
    assert pairs_of(batch) == [("cell", "a cell"), ("lipids", "of lipids")]
    assert batch.documents == (1, 1)
    torch.testing.assert_close(batch.labels, torch.tensor(labels, dtype=dtype))


def test_probabilities(classifier: Path) -> None:
    values = [[0.2, 0.8], [1.0, 0.0]]
    data = {"q": TEXTS["q"], "p": TEXTS["p"], "label": values}
    opened = open_set(data, "vectors", loss=make("CrossEntropyLoss"), label="label")
    torch.testing.assert_close(collate(classifier, opened).labels, torch.tensor(values))


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.5, -1.0], [0.0, -0.5, 0.0, 1.0]),
        ([[0.5], [-1.0]], [0.0, -0.5, 0.0, 1.0]),
        ([[3.0, 2.5], [1.0, 2.0]], [3.0, 2.5, 1.0, 2.0]),
    ],
)
def test_margins_and_scores(classifier: Path, scores: list[Any], expected: list[float]) -> None:
    opened = open_set(TEXTS | {"s": scores}, "scored_tuples", label="s")
    torch.testing.assert_close(collate(classifier, opened).labels, torch.tensor(expected))


def test_the_prompt_is_before_each_query(classifier: Path) -> None:
    data = {"q": ["x", "y"], "documents": [["a", "b"], ["d"]], "s": [[0.5, 2.0], [3.0]]}
    opened = open_set(data, "lists", label="s", prompts={"q": "query: "})
    tokens = collate(classifier, opened).columns[0].tokens
    tokenizer = open_tokenizer(read_layout(classifier, task="score"))
    wanted = tokenizer.tokenize([("query: x", "a"), ("query: x", "b"), ("query: y", "d")])
    assert [list(each.ids) for each in tokens] == [list(each.ids) for each in wanted]
    with pytest.raises(ConfigError, match="a prompt for 'documents'"):
        collate(classifier, open_set(data, "lists", label="s", prompts={"documents": "d: "}))


@pytest.mark.parametrize("scale", [1, 3])
def test_all_documents_of_the_batch(classifier: Path, scale: int) -> None:
    data = {
        name: [f"{text} {n}" for n in range(scale) for text in texts]
        for name, texts in TEXTS.items()
    }
    loss = make("MultipleNegativesRankingLoss", num_negatives=None)
    batch = collate(classifier, open_set(data, "tuples", loss=loss))
    found = pairs_of(batch)
    count = 2 * scale
    assert batch.documents == (2 * count,) * count
    for row in range(count):
        mine = found[row * 2 * count : (row + 1) * 2 * count]
        assert mine[:2] == [(data["q"][row], data[name][row]) for name in ("p", "n")]
        others = {data[name][other] for name in "pn" for other in range(count) if other != row}
        assert {query for query, _ in mine} == {data["q"][row]}
        assert sorted(text for _, text in mine[2:]) == sorted(others)
    wanted = torch.zeros(count, 2 * count)
    wanted[:, 0] = 1
    torch.testing.assert_close(batch.labels, wanted.flatten())


def test_drawn_negatives_depend_on_the_rows_alone(classifier: Path) -> None:
    data = {"q": [f"q {n}" for n in range(8)], "p": [f"p {n}" for n in range(8)]}
    loss = make("MultipleNegativesRankingLoss", num_negatives=3)
    opened = open_set(data, "pairs", loss=loss)
    first = collate(classifier, opened)
    assert first.documents == (4,) * 8
    torch.manual_seed(7)
    np.random.seed(7)
    assert pairs_of(collate(classifier, opened)) == pairs_of(first)
    again = [*range(1, 8), 0]
    turned = pairs_of(collate(classifier, opened, again))
    assert turned[-4] == pairs_of(first)[0]
    assert sorted(turned) != sorted(pairs_of(first))
    torch.testing.assert_close(first.labels, torch.tensor([1.0, 0.0, 0.0, 0.0] * 8))


def test_other_rows_draw_other_places(classifier: Path) -> None:
    data = {"q": [f"q {n}" for n in range(16)], "p": [f"p {n}" for n in range(16)]}
    opened = open_set(data, "pairs", loss=make("MultipleNegativesRankingLoss", num_negatives=3))
    places = [
        [int(text.split()[1]) - rows[0] for _, text in pairs_of(collate(classifier, opened, rows))]
        for rows in (range(8), range(8, 16))
    ]
    assert places[0][::4] == places[1][::4]
    assert places[0] != places[1]


def test_draws_are_even_and_never_twice() -> None:
    queries = [LabelledQuery(f"q {n}", (f"p {n}", f"n {n}"), (1.0, 0.0)) for n in range(4)]
    generator = np.random.default_rng(0)
    counts: dict[str, int] = {}
    for _ in range(600):
        drawn = add_negatives(queries, 2, generator=generator)[0].documents[2:]
        assert len(set(drawn)) == 2
        for text in drawn:
            counts[text] = counts.get(text, 0) + 1
    assert sorted(counts) == ["n 1", "n 2", "n 3", "p 1", "p 2", "p 3"]
    # 200 each, with a standard deviation of 12.
    assert all(150 < count < 250 for count in counts.values())


def test_the_own_positive_is_no_negative() -> None:
    queries = [
        LabelledQuery("q 0", ("same", "n 0"), (1.0, 0.0)),
        LabelledQuery("q 1", ("same", "n 1"), (1.0, 0.0)),
        LabelledQuery("q 2", ("other", "same"), (1.0, 0.0)),
    ]
    first, _, last = add_negatives(queries, None, generator=np.random.default_rng(0))
    assert first.documents == ("same", "n 0", "n 1", "other")
    assert first.labels == (1.0, 0.0, 0.0, 0.0)
    assert last.documents == ("other", "same", "same", "n 0", "same", "n 1")


@pytest.mark.parametrize(
    ("format_", "label", "values", "message"),
    [
        ("lists", "s", {"q": "x", "documents": [], "s": []}, "no list of documents"),
        ("lists", "s", {"q": "x", "documents": "ab", "s": [1.0, 2.0]}, "no list of documents"),
        ("lists", "s", {"q": "x", "documents": None, "s": [1.0]}, "no list of documents"),
        ("lists", "s", {"q": "x", "documents": ["a"], "s": [1.0, 2.0]}, "2 s for 1 documents"),
        (
            "lists",
            "s",
            {"q": "x", "documents": ["a", "b"], "s": None},
            "else than finite numbers in s",
        ),
        ("lists", "s", {"q": "x", "documents": ["a", None], "s": [1.0, 2.0]}, "a text should be"),
        ("tuples", None, {"q": "x", "p": "a", "n": None}, "a text should be"),
        ("tuples", None, {"q": None, "p": "a", "n": "b"}, "a text should be"),
        ("scored_pairs", "s", {"q": "x", "p": "a", "s": "high"}, "else than finite numbers in s"),
        ("scored_pairs", "s", {"q": "x", "p": "a", "s": float("nan")}, "else than finite numbers"),
        ("labelled_pairs", "s", {"q": "x", "p": "a", "s": 0.5}, "0.5 in s, which is no class"),
        ("scored_tuples", "s", {"q": "x", "p": "a", "n": "b", "s": [1.0, 2.0, 3.0]}, "3 s for 2"),
    ],
)
def test_broken_examples(
    classifier: Path, format_: Format, label: str | None, values: dict[str, Any], message: str
) -> None:
    whole = open_set(
        {name: [["a"]] if name in ("documents",) else ["a"] for name in values},
        format_,
        label=label,
    )
    collator = PairCollator([whole], read_layout(classifier, task="score"))
    with pytest.raises(TrainingDataError, match=message) as caught:
        collator([(0, 5, values)])
    assert str(caught.value).startswith("set: example 5 (counted from 0)")


def test_probabilities_of_different_lengths(classifier: Path) -> None:
    data = {"q": TEXTS["q"], "p": TEXTS["p"], "label": [[0.2, 0.8], [1.0, 0.0, 0.0]]}
    opened = open_set(data, "vectors", loss=make("CrossEntropyLoss"), label="label")
    with pytest.raises(TrainingDataError, match=r"example 1 .* 3 probabilities, and others 2"):
        collate(classifier, opened)
    columns = replace(opened.columns, texts=("q",))
    with pytest.raises(TrainingDataError, match="there are 1: q"):
        PairCollator([replace(opened, columns=columns)], read_layout(classifier, task="score"))


@pytest.mark.parametrize(
    "loss",
    [make("BinaryCrossEntropyLoss"), make("MultipleNegativesRankingLoss", num_negatives=0)],
    ids=["BinaryCrossEntropyLoss", "MultipleNegativesRankingLoss"],
)
def test_pairs_without_any_negatives(classifier: Path, loss: Loss) -> None:
    data = {"q": TEXTS["q"], "p": TEXTS["p"]}
    with pytest.raises(TrainingDataError, match=f"no negatives, and {type(loss).__name__}"):
        collate(classifier, open_set(data, "tuples", loss=loss))
    assert collate(classifier, open_set(TEXTS, "tuples", loss=loss)).documents == (2, 2)

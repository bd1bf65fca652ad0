"""Examples of one format made into another."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.errors import TrainingDataError
from search_engine.training.data.conversions import triplets_of_classes
from tests.training.data.sets import open_rows


@given(
    st.lists(st.integers(0, 3), min_size=3, max_size=40),
    st.integers(0, 5),
    st.integers(1, 3),
)
def test_triplets_of_classes(classes: list[int], seed: int, per_text: int) -> None:
    rows = [(f"text {n}", label) for n, label in enumerate(classes)]
    label_of = dict(rows)
    counts = Counter(classes)
    if len(counts) < 2 or max(counts.values()) < 2:
        with pytest.raises(TrainingDataError):
            triplets_of_classes(rows, seed=seed)
        return
    made = list(triplets_of_classes(rows, seed=seed, per_text=per_text))
    for each in made:
        anchor, positive, negative = each["anchor"], each["positive"], each["negative"]
        assert anchor != positive and label_of[anchor] == label_of[positive]
        assert label_of[anchor] != label_of[negative]
    anchors = Counter(each["anchor"] for each in made)
    assert anchors == {text: per_text for text, label in rows if counts[label] > 1}
    assert made == list(triplets_of_classes(rows, seed=seed, per_text=per_text))


def test_positives_and_negatives_are_drawn_evenly() -> None:
    rows = [(f"{label}{n}", label) for label, count in enumerate((3, 4, 5)) for n in range(count)]
    made = list(triplets_of_classes(rows, seed=0, per_text=3000))
    positives = Counter(each["positive"] for each in made if each["anchor"] == "10")
    negatives = Counter(each["negative"] for each in made if each["anchor"] == "10")
    assert set(positives) == {"11", "12", "13"}
    assert set(negatives) == {"00", "01", "02", *(f"2{n}" for n in range(5))}
    # Five standard deviations of a binomial count.
    for counts in (positives, negatives):
        mean = 3000 / len(counts)
        assert all(abs(count - mean) < 5 * mean**0.5 for count in counts.values())


def test_classes_are_triplets_for_a_loss_of_tuples() -> None:
    rows = [{"text": f"{label}{n}", "class": label} for label in "ab" for n in range(3)]
    opened = open_rows(rows, "tuples", "pairs", prompts={"text": "topic: "})
    assert opened.columns.texts == ("anchor", "positive", "negative")
    assert len(opened.rows) == 6 and opened.size == 6
    assert all(r["anchor"][0] == r["positive"][0] != r["negative"][0] for r in opened.rows)
    assert opened.origin.prompts == dict.fromkeys(opened.columns.texts, "topic: ")


def test_lists_are_triplets_with_every_document() -> None:
    documents = ["n1", "p1", "n2", "p2", "n3", "p2"]
    rows = [
        {"query": "q", "documents": documents, "labels": [0, 2, 0, 1, 0, 0]},
        {"query": "r", "documents": ["p"], "labels": [1]},
        {"query": "s", "documents": ["n"], "labels": [0]},
    ]
    for stream in (False, True):
        opened = open_rows(rows, "tuples", stream=stream)
        assert [tuple(row.values()) for row in opened.rows] == [
            ("q", "p1", "n1"),
            ("q", "p2", "n2"),
            ("q", "p1", "n3"),
        ]
        reasons = [str(problem) for problem in opened.problems]
        assert "'r' has no negative" in reasons[0] and "'s' has no positive" in reasons[1]


def test_lists_and_tuples_are_labelled_pairs() -> None:
    lists = [{"query": "q", "documents": ["a", "b"], "labels": [2, 0]}]
    made = open_rows(lists, "labelled_pairs").rows.to_list()
    assert made == [
        {"query": "q", "document": "a", "label": 2},
        {"query": "q", "document": "b", "label": 0},
    ]
    assert open_rows(lists, "scored_pairs").rows["score"][:] == [2.0, 0.0]
    tuples = [{"anchor": "q", "positive": "p", "negative_1": "x", "negative_2": "y"}]
    pairs = open_rows(tuples, "labelled_pairs").rows
    assert [tuple(row.values()) for row in pairs] == [("q", "p", 1), ("q", "x", 0), ("q", "y", 0)]
    assert open_rows(tuples, "lists").rows.to_list() == [
        {"query": "q", "documents": ["p", "x", "y"], "labels": [1.0, 0.0, 0.0]}
    ]


def test_scored_tuples_are_lists_unless_they_are_margins() -> None:
    row = {"query": "q", "positive": "p", "negative": "n"}
    made = open_rows([row | {"score": [0.9, 0.2]}], "lists").rows.to_list()
    assert made == [{"query": "q", "documents": ["p", "n"], "labels": [0.9, 0.2]}]
    with pytest.raises(TrainingDataError, match="margins"):
        open_rows([row | {"score": [0.7]}], "lists")


def test_labelled_pairs_are_gathered_by_query() -> None:
    rows = [
        {"a": "q", "b": "p", "label": 1},
        {"a": "r", "b": "x", "label": 1},
        {"a": "q", "b": "n", "label": 0},
        {"a": "q", "b": "m", "label": 0},
    ]
    assert open_rows(rows, "lists").rows.to_list() == [
        {"query": "q", "documents": ["p", "n", "m"], "labels": [1.0, 0.0, 0.0]},
        {"query": "r", "documents": ["x"], "labels": [1.0]},
    ]
    opened = open_rows(rows, "tuples")
    triplets = [tuple(row.values()) for row in opened.rows]
    assert triplets == [("q", "p", "n"), ("q", "p", "m")]
    assert ["'r' has no negative" in str(problem) for problem in opened.problems] == [True]


def test_a_label_of_unknown_meaning_makes_no_triplet() -> None:
    rows = [{"a": "q", "b": f"{n}", "label": n % 2} for n in range(1000)]
    opened = open_rows([*rows, {"a": "q", "b": "strange", "label": -1}], "tuples")
    assert "strange" not in {text for row in opened.rows for text in row.values()}
    assert ["the label of 'q' is -1" in str(problem) for problem in opened.problems] == [True]

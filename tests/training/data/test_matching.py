"""Which format columns have, by their names and values."""

from __future__ import annotations

from typing import Any

import pytest

from search_engine.errors import TrainingDataError
from search_engine.training.data.matching import Match, match_columns


def match(sample: Any, *wanted: Any, **options: Any) -> Match:
    samples = sample if isinstance(sample, list) else [sample]
    return match_columns(samples, wanted=wanted, loss="SomeLoss", source="data", **options)


CASES: list[tuple[dict[str, Any], str, tuple[str, ...], str | None, tuple[str, ...]]] = [
    # record, format, texts, label, left out
    ({"positive": "p", "query": "q", "source": "s"}, "pairs", ("query", "positive"), None,
     ("source",)),
    ({"id": "7", "Answer": "p", "Question": "q"}, "pairs", ("Question", "Answer"), None, ("id",)),
    ({"text": "d", "query": "q"}, "pairs", ("query", "text"), None, ()),
    ({"negative_10": "x", "negative_2": "y", "negative": "z", "positive": "p", "anchor": "a"},
     "tuples", ("anchor", "positive", "negative", "negative_2", "negative_10"), None, ()),
    ({"sentence1": "a", "sentence2": "b", "score": 0.5}, "scored_pairs",
     ("sentence1", "sentence2"), "score", ()),
    ({"label": 1, "b": "b", "a": "a", "split": "train"}, "labelled_pairs", ("a", "b"), "label",
     ("split",)),
    ({"sentence": "b", "question": "a", "label": 1, "idx": 3}, "labelled_pairs",
     ("question", "sentence"), "label", ("idx",)),
    ({"text": "t", "label": 3, "label_text": "sports"}, "classes", ("text",), "label",
     ("label_text",)),
    ({"text": "t", "class": "sports"}, "classes", ("text",), "class", ()),
    ({"vector": [0.1, 0.2], "text": "t"}, "vectors", ("text",), "vector", ()),
    ({"query": "q", "documents": ["a", "b"], "labels": [1, 0]}, "lists", ("query", "documents"),
     "labels", ()),
    ({"query": "q", "answer": ["a", "b"], "labels": [1, 0]}, "lists", ("query", "answer"),
     "labels", ()),
    ({"query": "q", "positive": "p", "negative": "n", "score": [0.9, 0.1]}, "scored_tuples",
     ("query", "positive", "negative"), "score", ()),
    ({"query": "q", "positive": "p", "negative": "n", "score": 0.7}, "scored_tuples",
     ("query", "positive", "negative"), "score", ()),
    # Names that say nothing: the given order counts.
    ({"frage": "q", "antwort": "p"}, "pairs", ("frage", "antwort"), None, ()),
    ({"frage": "q", "antwort": "p", "url": "http"}, "pairs", ("frage", "antwort"), None, ("url",)),
    ({"frage": "q", "antwort": "p", "wert": 0.3}, "scored_pairs", ("frage", "antwort"), "wert", ()),
    ({"frage": "q", "antwort": "p", "jahr": 2020}, "pairs", ("frage", "antwort"), None, ("jahr",)),
    ({"question": "q", "context": "p"}, "pairs", ("question", "context"), None, ()),
]  # fmt: skip


@pytest.mark.parametrize(("record", "format_", "texts", "label", "left_out"), CASES)
def test_columns_are_found(record, format_, texts, label, left_out) -> None:
    found = match(record, format_)
    columns = found.reading.columns
    assert (columns.format, columns.texts, columns.label) == (format_, texts, label)
    assert set(found.left_out) == set(left_out)
    assert found.format == format_


def test_a_list_of_negatives_becomes_as_many_columns_as_most_have() -> None:
    samples = [{"query": "q", "positive": "p", "negatives": ["x"] * n} for n in (2, 3, 3, 5)]
    reading = match(samples, "tuples").reading
    names = ("query", "positive", "negative_1", "negative_2", "negative_3")
    assert reading.columns.texts == names and reading.negatives == 3
    assert match(samples, "lists").reading.columns.texts == ("query", "negatives")


def test_the_best_format_of_a_loss_is_taken() -> None:
    record = {"a": "a", "b": "b", "label": 1}
    assert match(record, "labelled_pairs", "scored_pairs").format == "labelled_pairs"
    assert match(record, "scored_pairs", "labelled_pairs").format == "scored_pairs"
    # One fraction among the labels makes them scores.
    assert match([record, record | {"label": 0.5}], "labelled_pairs", "scored_pairs").format == (
        "scored_pairs"
    )


def test_chosen_columns_count_in_their_order() -> None:
    record = {"query": "q", "positive": "p", "source": "s", "score": 0.1}
    found = match(record, "pairs", chosen=("positive", "source"))
    assert found.reading.texts == ("positive", "source")
    assert match(record, "scored_pairs", chosen=("score", "positive", "query")).reading.texts == (
        "positive",
        "query",
    )
    # A class that is a text, where nothing else can be meant.
    two = match({"review": "t", "kind": "k"}, "classes", chosen=("review", "kind"))
    assert (two.reading.texts, two.reading.label) == (("review",), "kind")


@pytest.mark.parametrize(
    ("record", "given", "wanted"),
    [
        ({"query": "q", "documents": ["p", "n"], "labels": [1, 0]}, "lists", "tuples"),
        ({"query": "q", "documents": ["p", "n"], "labels": [1, 0]}, "lists", "labelled_pairs"),
        ({"anchor": "q", "positive": "p", "negative": "n"}, "tuples", "lists"),
        ({"anchor": "q", "positive": "p", "negative": "n"}, "tuples", "labelled_pairs"),
        ({"a": "q", "b": "p", "label": 1}, "labelled_pairs", "tuples"),
        ({"text": "t", "class": 1}, "classes", "tuples"),
    ],
)
def test_another_format_is_made_where_a_loss_wants_it(record, given, wanted) -> None:
    found = match(record, wanted)
    assert (found.reading.columns.format, found.format) == (given, wanted)


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        # Dropping the label would train on negatives as if they were positives.
        ({"a": "q", "b": "p", "score": 0.1}, "pairs"),
        ({"a": "q", "b": "p", "label": 2}, "tuples"),
        ({"a": "q", "b": "p", "label": "neutral"}, "tuples"),
        ({"query": "q", "positive": "p", "source": "s"}, "tuples"),
        ({"query": "q", "positive": "p"}, "scored_pairs"),
        ({"query": "q"}, "pairs"),
        ({"a": "q", "b": "p", "label": 1, "score": 0.3}, "scored_pairs"),
        ({"a": 1, "b": 2}, "pairs"),
    ],
)
def test_what_cannot_be_meant_is_refused(record, wanted) -> None:
    with pytest.raises(TrainingDataError, match="SomeLoss wants") as caught:
        match(record, wanted)
    for name in record:
        assert name in str(caught.value)


def test_the_message_names_shapes_and_kinds() -> None:
    with pytest.raises(TrainingDataError) as caught:
        match({"query": "q", "score": [0.5]}, "pairs", "tuples")
    assert "(anchor, positive) or (anchor, positive, negative...)" in str(caught.value)
    assert "query (text), score (numbers)" in str(caught.value)

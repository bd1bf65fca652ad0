"""Texts with their prompts as an encoder of vectors reads them, and labels."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from tokenizers import Tokenizer

from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.errors import TrainingDataError
from search_engine.training.data.collating import TextCollator, TrainingBatch, make_labels
from search_engine.training.data.formats import Columns
from tests.encoders.checkpoints import MAX_TOKENS, write_sentence_transformer
from tests.training.data.sets import open_rows, open_texts

PROMPTS = {"query": "query: ", "document": "document: ", "other": "the "}


@pytest.fixture(scope="module")
def prompted(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompted") / "model"
    return write_sentence_transformer(folder, bert, prompts=PROMPTS, default_prompt_name="other")


@pytest.fixture(scope="module")
def unprompted_pooling(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pooling") / "model"
    return write_sentence_transformer(folder, bert, prompts=PROMPTS, include_prompt=False)


def collate(folder: Path, opened: Any) -> TrainingBatch:
    collator = TextCollator([opened], read_layout(folder, task="embedding"))
    return collator([(0, row, opened.rows[row]) for row in range(len(opened.rows))])["batch"]


def ids(folder: Path, texts: list[str]) -> list[list[int]]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    return [each.ids for each in tokenizer.encode_batch(texts)]


def test_columns_have_the_prompts_of_queries_and_documents(prompted: Path) -> None:
    opened = open_texts([("cell", "a cell", "lipids"), ("the cell " * 60, "of", "made")])
    batch = collate(prompted, opened)
    assert [column.kind for column in batch.columns] == ["query", "document", "document"]
    for column, name, prompt in zip(
        batch.columns, opened.columns.texts, ("query: ", "document: ", "document: "), strict=True
    ):
        assert list(column.texts) == opened.rows[name][:]
        expected = ids(prompted, [prompt + text for text in column.texts])
        assert [list(each.ids) for each in column.tokens] == expected
    assert (batch.set_name, batch.rows, batch.labels) == ("data", (0, 1), None)


def test_given_prompts_and_texts_that_are_neither(prompted: Path) -> None:
    rows = [{"sentence1": "cell", "sentence2": "a cell", "score": 0.5}]
    opened = open_rows(rows, "scored_pairs", prompts={"sentence1": "made of "})
    batch = collate(prompted, opened)
    assert [column.kind for column in batch.columns] == [None, None]
    # The other column has the prompt that the checkpoint gives by default.
    for column, text in zip(batch.columns, ("made of cell", "the a cell"), strict=True):
        assert [list(each.ids) for each in column.tokens] == ids(prompted, [text])


def test_tokens_of_a_prompt_are_not_pooled(unprompted_pooling: Path) -> None:
    opened = open_texts([("cell", "a cell")])
    batch = collate(unprompted_pooling, opened)
    collator = TextCollator([opened], read_layout(unprompted_pooling, task="embedding"))
    tokenizer = collator._tokenizer("query")
    for column, prompt in zip(batch.columns, ("query: ", "document: "), strict=True):
        skipped = tokenizer.count_prompt(prompt)
        assert skipped > 1
        expected = tokenizer.tokenize([prompt + text for text in column.texts], skipped=skipped)
        assert str(list(column.tokens)) == str(expected)
        assert str(expected) != str(tokenizer.tokenize([prompt + text for text in column.texts]))


@pytest.mark.parametrize(
    ("rows", "format_", "expected"),
    [
        ([{"a": "x", "b": "y", "score": s} for s in (1, 2.5)], "scored_pairs",
         torch.tensor([1.0, 2.5])),
        ([{"a": "x", "b": "y", "label": s} for s in (1, 0)], "labelled_pairs",
         torch.tensor([1, 0])),
        ([{"text": "x", "class": s} for s in (7, 5)], "classes", torch.tensor([7, 5])),
        ([{"text": "x", "vector": s} for s in ([1, 2], [0.5, 4])], "vectors",
         torch.tensor([[1, 2], [0.5, 4]])),
    ],
)  # fmt: skip
def test_labels(rows, format_, expected) -> None:
    opened = open_rows(rows, format_)
    made = make_labels(opened, [(0, n, row) for n, row in enumerate(opened.rows)])
    assert made is not None and made.dtype == expected.dtype
    torch.testing.assert_close(made, expected)


@pytest.mark.parametrize(
    ("format_", "values", "row", "said"),
    [
        ("scored_pairs", [0.5, math.nan], 5, "finite"),
        ("scored_pairs", [0.5, None], 5, "finite"),
        ("scored_pairs", [0.5, "1"], 5, "finite"),
        ("scored_tuples", [[1.0, 2.0], [1.0]], 5, "has 1 numbers, and example 4 has 2"),
        ("scored_tuples", [[1.0, 2.0], 1.0], 5, "no list of numbers"),
        ("vectors", [[1.0, math.inf], [1.0, 2.0]], 4, "finite"),
        ("labelled_pairs", [1, 0.5], 5, "not an integer"),
        ("classes", [[1], [2]], 4, "not an integer"),
    ],
)
def test_bad_labels_name_their_example(format_, values, row, said) -> None:
    opened = replace(
        open_texts([("a", "p")]), name="mine", columns=Columns(format_, ("a", "b"), "label")
    )
    examples = [(0, 4 + n, {"a": "x", "b": "y", "label": each}) for n, each in enumerate(values)]
    with pytest.raises(TrainingDataError, match=rf"mine: example {row} .*{said}"):
        make_labels(opened, examples)


def test_lists_are_for_cross_encoders(prompted: Path) -> None:
    rows = [{"query": "q", "documents": ["a", "b"], "labels": [1, 0]}]
    with pytest.raises(TrainingDataError, match="train a cross-encoder"):
        TextCollator([open_rows(rows, "lists")], read_layout(prompted, task="embedding"))


def test_a_batch_is_of_the_set_of_its_examples(prompted: Path) -> None:
    sets = [
        open_texts([("cell", "a cell")], name="one"),
        open_rows(datasets.Dataset.from_dict({"text": ["of"], "class": [3]}).to_list(), "classes",
                  name="two"),
    ]  # fmt: skip
    collator = TextCollator(sets, read_layout(prompted, task="embedding"))
    batch = collator([(1, 0, sets[1].rows[0])])["batch"]
    assert batch.set_name == "two" and len(batch.columns) == 1
    assert batch.labels is not None and batch.labels.tolist() == [3]

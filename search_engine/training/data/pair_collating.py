"""Examples to what a cross-encoder reads: pairs of texts, tokenized, and what each is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.tokenizers.opening import open_tokenizer
from search_engine.encoders.tokenizers.pairs import PromptedPair
from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.data.batches import Example
from search_engine.training.data.collating import TextColumn, TrainingBatch, prompt_of
from search_engine.training.data.training_set import OpenedSet

# Of a pair: its score or class, or the probability of each class.
Label: TypeAlias = float | Sequence[float]


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """A query and its documents.

    Attributes:
        query: the text.
        documents: in the order of the data; of pairs and tuples, the positive is the first.
        labels: what each document is worth.
    """

    query: str
    documents: tuple[str, ...]
    labels: tuple[Label, ...]


class PairCollator:
    """Examples to batches for a cross-encoder: every query with each of its documents.

    A loss that wants negatives of the batch (`num_negatives`) has documents of other examples put
    after those of each query, drawn by the rows of the batch: the same for the same batch.

    Args:
        sets: those that the examples are of.
        layout: of the checkpoint that is trained.

    Raises:
        TrainingDataError: the pairs of a set have no negatives, and its loss wants none of the
            batch, or a vector is not that of two texts.
        ConfigError: a set has a prompt for a column that is not the query's.
    """

    def __init__(self, sets: Sequence[OpenedSet], layout: Layout) -> None:
        for opened in sets:
            _check_columns(opened)
            _check_prompts(opened)
        self._sets = sets
        self._layout = layout
        self._tokenizer = open_tokenizer(layout)

    def __call__(self, examples: Sequence[Example]) -> dict[str, TrainingBatch]:
        """The batch under the name by which the model takes it.

        Raises:
            TrainingDataError: an example lacks a text, has not as many labels as documents, or a
                label is no finite number; the message names it.
        """
        number = examples[0][0]
        opened = self._sets[number]
        rows = tuple(row for _, row, _ in examples)
        queries = [read_query(opened, example) for example in examples]
        wanted = _wanted_negatives(opened)
        if wanted != 0:
            generator = np.random.default_rng((number, *rows))
            queries = add_negatives(queries, wanted, generator=generator)
        prompt = prompt_of(opened, 0, None, self._layout)
        pairs = [(each.query, document) for each in queries for document in each.documents]
        prompted = [PromptedPair(query, text, prompt=prompt) for query, text in pairs]
        column = TextColumn(pairs, self._tokenizer.tokenize(prompted), None)
        labels = _stack_labels(opened, rows, queries)
        counts = tuple(len(each.documents) for each in queries)
        return {"batch": TrainingBatch(opened.name, rows, (column,), labels, counts)}


def add_negatives(
    queries: Sequence[LabelledQuery], count: int | None, *, generator: np.random.Generator
) -> list[LabelledQuery]:
    """Each query with documents of the others behind its own, labelled 0.

    Documents with the text of the query's own positive, its first, are left out.

    Args:
        count: drawn for each query, each place of the batch at most once; None is all there are.
    """
    texts = [document for each in queries for document in each.documents]
    owners = np.repeat(np.arange(len(queries)), [len(each.documents) for each in queries])
    numbers: dict[str, int] = {}
    same = np.asarray([numbers.setdefault(text, len(numbers)) for text in texts])
    extended = []
    for position, each in enumerate(queries):
        positive = numbers[each.documents[0]]
        chosen = np.flatnonzero((owners != position) & (same != positive))
        if count is not None and count < len(chosen):
            chosen = generator.choice(chosen, count, replace=False)
        more = tuple(texts[place] for place in chosen)
        extended.append(
            replace(each, documents=each.documents + more, labels=each.labels + (0.0,) * len(more))
        )
    return extended


def read_query(opened: OpenedSet, example: Example) -> LabelledQuery:
    """An example as a query and its documents, with what each is worth.

    Of pairs and tuples, the positive is worth 1 and a negative 0. Of margins between a positive and
    its negatives, the positive is worth 0, and a negative as much less as it is worse.

    Raises:
        TrainingDataError: it lacks a text, has not as many labels as documents, or a label is no
            finite number.
    """
    _, row, values = example
    columns = opened.columns
    query, *documents = (values[name] for name in columns.texts)
    if columns.format == "lists":
        listed = documents[0]
        documents = list(listed) if isinstance(listed, Sequence | np.ndarray) else []
        if not documents or isinstance(listed, str):
            raise _error(opened, row, "has no list of documents")
    if not all(isinstance(text, str) for text in (query, *documents)):
        raise _error(opened, row, "has something else where a text should be")
    labels = _labels(opened, row, values, count=len(documents))
    return LabelledQuery(query, tuple(documents), tuple(labels))


def _labels(opened: OpenedSet, row: int, values: Any, *, count: int) -> Sequence[Label]:
    columns = opened.columns
    if columns.label is None:
        return [1.0, *[0.0] * (count - 1)]
    value = values[columns.label]
    several = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
    numbers: list[Any] = list(value) if several else [value]
    if not all(isinstance(each, int | float | np.number) and isfinite(each) for each in numbers):
        raise _error(opened, row, f"has something else than finite numbers in {columns.label}")
    if columns.format == "vectors":
        return [numbers]
    if columns.format == "labelled_pairs" and any(each != int(each) for each in numbers):
        raise _error(opened, row, f"has {numbers[0]:g} in {columns.label}, which is no class")
    if columns.format == "scored_tuples" and len(numbers) == count - 1:
        return [0.0, *(-margin for margin in numbers)]
    if len(numbers) != count:
        raise _error(opened, row, f"has {len(numbers)} {columns.label} for {count} documents")
    return numbers


def _stack_labels(
    opened: OpenedSet, rows: Sequence[int], queries: Sequence[LabelledQuery]
) -> Tensor:
    """The labels of all pairs, [pairs], or [pairs, classes]."""
    if opened.columns.format == "vectors":
        widths = [len(each.labels[0]) for each in queries]  # type: ignore[arg-type]
        for row, width in zip(rows, widths, strict=True):
            if width != widths[0]:
                raise _error(opened, row, f"has {width} probabilities, and others {widths[0]}")
    return torch.tensor(
        list(chain.from_iterable(each.labels for each in queries)),
        dtype=torch.int64 if opened.columns.format == "labelled_pairs" else torch.float32,
    )


def _error(opened: OpenedSet, row: int, fault: str) -> TrainingDataError:
    return TrainingDataError(
        f"{opened.name}: example {row} (counted from 0) {fault}. Mend it, or take it out."
    )


def _wanted_negatives(opened: OpenedSet) -> int | None:
    return opened.origin.loss.num_negatives


def _check_columns(opened: OpenedSet) -> None:
    columns = opened.columns
    if columns.format == "vectors" and len(columns.texts) != 2:
        raise TrainingDataError(
            f"{opened.name}: a cross-encoder wants the probabilities of two texts, (a, b, "
            f"probabilities), and there are {len(columns.texts)}: {', '.join(columns.texts)}."
        )
    is_bare = columns.format in ("pairs", "tuples") and len(columns.texts) == 2
    if is_bare and _wanted_negatives(opened) == 0:
        raise TrainingDataError(
            f"{opened.name}: (anchor, positive) has no negatives, and "
            f"{type(opened.origin.loss).__name__} takes none from the batch. Mine some, add labels,"
            " or take MultipleNegativesRankingLoss with num_negatives above 0."
        )


def _check_prompts(opened: OpenedSet) -> None:
    for name in opened.origin.prompts:
        if name != opened.columns.texts[0]:
            raise ConfigError(
                f"{opened.name}: there is a prompt for {name!r}, and a cross-encoder has one before"
                f" the query only; give it for {opened.columns.texts[0]!r}."
            )

"""Examples to what an encoder reads: texts with their prompts, tokenized, and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search_engine.encoders.batching import TokenizedText
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.checkpoints.module_specs import Input
from search_engine.encoders.tokenizers.opening import InputTokenizer, open_tokenizer
from search_engine.errors import TrainingDataError
from search_engine.training.data.batches import Example
from search_engine.training.data.formats import Format
from search_engine.training.data.training_set import OpenedSet
from search_engine.training.data.values import is_finite, kind_of

# Formats whose first text is a query, and whose others are documents.
ASYMMETRIC: tuple[Format, ...] = ("pairs", "tuples", "scored_tuples")


@dataclass(frozen=True, slots=True)
class TextColumn:
    """One column of a batch, or all its pairs.

    Attributes:
        texts: as they are in the data.
        tokens: the same, with their prompt, tokenized.
        kind: "query", "document", or None of texts that are neither.
    """

    texts: Sequence[Any]
    tokens: Sequence[TokenizedText]
    kind: Input


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Examples of one set, tokenized.

    Attributes:
        set_name: of the set.
        rows: where the examples stand in it.
        columns: texts column by column; of a cross-encoder, one column of all pairs.
        labels: [b] or [b, n]; of a cross-encoder, one for each pair; None without labels.
        documents: of a cross-encoder, how many of the pairs each query has; else empty.
    """

    set_name: str
    rows: tuple[int, ...]
    columns: tuple[TextColumn, ...]
    labels: Tensor | None
    documents: tuple[int, ...] = ()


class TextCollator:
    """Examples to batches for an encoder of single texts.

    Args:
        sets: those that the examples are of.
        layout: of the checkpoint that is trained.

    Raises:
        TrainingDataError: a set has lists of documents, which a cross-encoder alone takes.
    """

    def __init__(self, sets: Sequence[OpenedSet], layout: Layout) -> None:
        for opened in sets:
            if opened.columns.format == "lists":
                raise TrainingDataError(
                    f"{opened.name}: an encoder of single texts takes no lists of documents; choose"
                    " a loss of tuples, or train a cross-encoder."
                )
        self._sets = sets
        self._layout = layout
        self._tokenizers: dict[str, InputTokenizer] = {}

    def __call__(self, examples: Sequence[Example]) -> dict[str, TrainingBatch]:
        """The batch under the name by which the model takes it.

        Raises:
            TrainingDataError: a label is no finite number, or they differ in length.
        """
        opened = self._sets[examples[0][0]]
        columns = [
            self._column(opened, position, [example[name] for _, _, example in examples])
            for position, name in enumerate(opened.columns.texts)
        ]
        labels = make_labels(opened, examples)
        rows = tuple(row for _, row, _ in examples)
        return {"batch": TrainingBatch(opened.name, rows, tuple(columns), labels)}

    def _column(self, opened: OpenedSet, position: int, texts: Sequence[str]) -> TextColumn:
        kind: Input = None
        if opened.columns.format in ASYMMETRIC:
            kind = "document" if position else "query"
        prompt = prompt_of(opened, position, kind, self._layout)
        tokenizer = self._tokenizer(kind)
        skipped = tokenizer.count_prompt(prompt) if prompt and self._layout.excludes_prompt else 0
        tokens = tokenizer.tokenize([prompt + text for text in texts], skipped=skipped)
        return TextColumn(texts, tokens, kind)

    def _tokenizer(self, kind: Input) -> InputTokenizer:
        layout = self._layout.along(kind)
        folder = str(layout.trunk.folder)
        if folder not in self._tokenizers:
            self._tokenizers[folder] = open_tokenizer(layout)
        return self._tokenizers[folder]


def prompt_of(opened: OpenedSet, position: int, kind: Input, layout: Layout) -> str:
    """What is put before the texts of a column."""
    prompts = opened.origin.prompts
    name = opened.columns.texts[position]
    if name in prompts:
        return prompts[name]
    named = kind or layout.default_prompt_name
    return layout.prompts.get(named, "") if named else ""


def make_labels(opened: OpenedSet, examples: Sequence[Example]) -> Tensor | None:
    """The labels of some examples of a set, [b] or [b, n]; None where they have none.

    Returns:
        int64 of labelled pairs and classes, else float32.

    Raises:
        TrainingDataError: a label is no finite number, or they differ in length; the message names
            the examples.
    """
    columns = opened.columns
    if columns.label is None:
        return None
    values = [example[columns.label] for _, _, example in examples]
    whole = columns.format in ("labelled_pairs", "classes")
    lengths = [len(value) if kind_of(value) == "numbers" else 0 for value in values]
    for (_, row, _), value, length in zip(examples, values, lengths, strict=True):
        is_number = kind_of(value) in ("integer", "number")
        if not (is_number or length) or not is_finite(value):
            raise _error(opened, row, f"{columns.label} is {value!r:.60}, and not a finite number")
        if whole and (not is_number or value != int(value)):
            raise _error(opened, row, f"{columns.label} is {value!r:.60}, and not an integer")
        if length != lengths[0]:
            raise _error(
                opened,
                row,
                f"{columns.label} has {length or 'no list of'} numbers, and example "
                f"{examples[0][1]} has {lengths[0] or 'no list of them'}",
            )
    if lengths and lengths[0]:
        return torch.from_numpy(np.asarray(values, dtype=np.float32))
    return torch.tensor(values, dtype=torch.int64 if whole else torch.float32)


def _error(opened: OpenedSet, row: int, fault: str) -> TrainingDataError:
    return TrainingDataError(
        f"{opened.name}: example {row} (counted from 0): {fault}. Mend it, or take it out."
    )

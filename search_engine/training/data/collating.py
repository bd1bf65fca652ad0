"""Examples to what an encoder reads: texts with their prompts, tokenized, and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from search_engine.encoders.batching import TokenizedText
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.checkpoints.module_specs import Input
from search_engine.encoders.tokenizers.opening import InputTokenizer, open_tokenizer
from search_engine.encoders.tokenizers.pairs import PromptedPair
from search_engine.training.data.formats import Columns, Format
from search_engine.training.data.training_set import OpenedSet

Example: TypeAlias = tuple[int, int, Mapping[str, Any]]
# Formats whose first text is a query, and whose others are documents.
_ASYMMETRIC: tuple[Format, ...] = ("pairs", "tuples", "scored_tuples", "lists")


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
    """

    def __init__(self, sets: Sequence[OpenedSet], layout: Layout) -> None:
        self._sets = sets
        self._layout = layout
        self._tokenizers: dict[str, InputTokenizer] = {}

    def __call__(self, examples: Sequence[Example]) -> dict[str, TrainingBatch]:
        """The batch under the name by which the model takes it."""
        opened = self._sets[examples[0][0]]
        columns = [
            self._column(opened, position, [example[name] for _, _, example in examples])
            for position, name in enumerate(opened.columns.texts)
        ]
        labels = make_labels(opened.columns, [example for _, _, example in examples])
        rows = tuple(row for _, row, _ in examples)
        return {"batch": TrainingBatch(opened.name, rows, tuple(columns), labels)}

    def _column(self, opened: OpenedSet, position: int, texts: Sequence[str]) -> TextColumn:
        kind: Input = None
        if opened.columns.format in _ASYMMETRIC:
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


class PairCollator:
    """Examples to batches for a cross-encoder: every query with each of its documents."""

    def __init__(self, sets: Sequence[OpenedSet], layout: Layout) -> None:
        self._sets = sets
        self._layout = layout
        self._tokenizer = open_tokenizer(layout)

    def __call__(self, examples: Sequence[Example]) -> dict[str, TrainingBatch]:
        """The batch under the name by which the model takes it."""
        opened = self._sets[examples[0][0]]
        rows = tuple(row for _, row, _ in examples)
        prompt = prompt_of(opened, 0, None, self._layout)
        pairs: list[tuple[str, str]] = []
        labels: list[float] = []
        counts = []
        for _, _, example in examples:
            query, documents, grades = _as_list(opened.columns, example)
            pairs += [(query, document) for document in documents]
            labels += grades
            counts.append(len(documents))
        prompted = [PromptedPair(query, text, prompt=prompt) for query, text in pairs]
        column = TextColumn(pairs, self._tokenizer.tokenize(prompted), None)
        made = torch.tensor(labels) if labels else None
        return {"batch": TrainingBatch(opened.name, rows, (column,), made, tuple(counts))}


def prompt_of(opened: OpenedSet, position: int, kind: Input, layout: Layout) -> str:
    """What is put before the texts of a column."""
    prompts = opened.origin.prompts
    name = opened.columns.texts[position]
    if name in prompts:
        return prompts[name]
    named = kind or layout.default_prompt_name
    return layout.prompts.get(named, "") if named else ""


def make_labels(columns: Columns, examples: Sequence[Mapping[str, Any]]) -> Tensor | None:
    """The labels of some examples, [b] or [b, n]; None where they have none."""
    if columns.label is None:
        return None
    values = [example[columns.label] for example in examples]
    whole = columns.format in ("labelled_pairs", "classes")
    return torch.tensor(values, dtype=torch.int64 if whole else torch.float32)


def _as_list(columns: Columns, example: Mapping[str, Any]) -> tuple[str, list[str], list[Any]]:
    """An example as one query, its documents, and what each is worth."""
    query, *others = (example[name] for name in columns.texts)
    if columns.format == "lists":
        return query, list(others[0]), list(example[columns.label or ""])
    if columns.format == "tuples":
        return query, others, [1, *[0] * (len(others) - 1)]
    if columns.label is None:
        return query, others, []
    value = example[columns.label]
    return query, others, list(value) if isinstance(value, Sequence) else [value]

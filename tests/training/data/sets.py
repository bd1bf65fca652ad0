"""Training sets for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import datasets

from search_engine.training.data.formats import Format
from search_engine.training.data.training_set import OpenedSet, TrainingSet, open_training_set
from search_engine.training.losses.loss import Loss


class Takes(Loss):
    """A loss that takes some formats and is never computed."""

    def __init__(self, *formats: Format) -> None:
        super().__init__()
        self.formats = formats  # type: ignore[misc]


def write_lines(path: Path, records: Iterable[Any]) -> Path:
    """A JSONL file; what is bytes already is a line as it is."""
    lines = (each if isinstance(each, bytes) else json.dumps(each).encode() for each in records)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def open_rows(
    rows: list[Mapping[str, Any]], *formats: Format, stream: bool = False, **options: Any
) -> OpenedSet:
    """Rows in memory, opened."""
    source: Any = datasets.Dataset.from_list([dict(row) for row in rows])
    if stream:
        source = source.to_iterable_dataset()
    return open_training_set(TrainingSet(source, Takes(*formats), **options))


def open_texts(texts: list[tuple[str, ...]], **options: Any) -> OpenedSet:
    """Pairs or tuples, opened."""
    names = ("anchor", "positive", "negative_1", "negative_2")
    rows = [dict(zip(names, each, strict=False)) for each in texts]
    return open_rows(rows, "tuples" if len(texts[0]) > 2 else "pairs", **options)

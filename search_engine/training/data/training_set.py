"""Where training data comes from: a file, a data set of the hub, or one in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from search_engine.errors import TrainingDataError
from search_engine.training.data.formats import Columns, match_columns
from search_engine.training.losses.loss import Loss

Sampling: TypeAlias = Literal["shuffle", "no_duplicates", "group_by_label"]

# What `datasets` reads each kind of file with.
_READERS = {
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Examples and the loss that is computed from them.

    Attributes:
        source: a JSONL, CSV, TSV or Parquet file (plain or .gz), the name of a data set on the hub,
            or a `datasets.Dataset` or `IterableDataset`.
        loss: what is to be made small.
        name: what logs call it; None is the source's own.
        columns: those that are used, in the order that the loss takes them; none is all.
        prompts: by column, put before each of its texts; a column without one has the prompt that
            the checkpoint gives queries or documents.
        sampling: "shuffle"; "no_duplicates" lets no text stand twice in a batch, where it would be
            its own negative; "group_by_label" has at least two of each class in a batch.
        split: of a data set with several.
        streaming: read the source while training, never whole; needs `max_steps`.
    """

    source: Any
    loss: Loss
    name: str | None = None
    columns: Sequence[str] = ()
    prompts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    sampling: Sampling = "shuffle"
    split: str = "train"
    streaming: bool = False


@dataclass(frozen=True, slots=True)
class OpenedSet:
    """A training set, read and fitted to its loss.

    Attributes:
        name: unique among the sets of a run.
        columns: which column has which part in an example.
        rows: a `datasets.Dataset`, or an `IterableDataset` where it streams.
        origin: its training set.
    """

    name: str
    columns: Columns
    rows: Any
    origin: TrainingSet


def open_training_set(training_set: TrainingSet, *, offline: bool = False) -> OpenedSet:
    """Read a training set and find its format.

    Raises:
        TrainingDataError: it cannot be read, is empty, or its columns are not what its loss takes.
    """
    rows = _read_rows(training_set, offline=offline)
    name = training_set.name or (
        Path(training_set.source).name if isinstance(training_set.source, str | Path) else "data"
    )
    if training_set.columns:
        missing = [each for each in training_set.columns if each not in (rows.column_names or ())]
        if missing:
            raise TrainingDataError(
                f"{name}: there is no column {missing[0]!r}; the columns are "
                f"{', '.join(rows.column_names or ())}."
            )
        rows = rows.select_columns(list(training_set.columns))
    sample = next(iter(rows), None)
    if sample is None:
        raise TrainingDataError(f"{name}: there is no example in it.")
    if training_set.columns:
        sample = {column: sample[column] for column in training_set.columns}
    columns = match_columns(
        sample,
        wanted=training_set.loss.formats,
        loss=type(training_set.loss).__name__,
        source=name,
    )
    return OpenedSet(name, columns, rows, training_set)


def _read_rows(training_set: TrainingSet, *, offline: bool) -> Any:
    import datasets

    source = training_set.source
    if isinstance(source, datasets.Dataset | datasets.IterableDataset):
        return source
    path = Path(source)
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    reader = _READERS.get(suffixes[-1].lower()) if suffixes else None
    if not path.is_file() and not offline and path.suffix not in _READERS:
        return datasets.load_dataset(
            str(source), split=training_set.split, streaming=training_set.streaming
        )
    if path.is_file() and reader is not None:
        options: dict[str, Any] = {"delimiter": "\t"} if suffixes[-1] == ".tsv" else {}
        return datasets.load_dataset(
            reader,
            data_files=str(path),
            split="train",
            streaming=training_set.streaming,
            **options,
        )
    raise TrainingDataError(f"{source}: there is no such file; give {', '.join(_READERS)}.")

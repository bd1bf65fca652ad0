"""Where the records of a training set come from: a file, a folder, the hub, or memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from search_engine.errors import ReadError, TrainingDataError
from search_engine.training.data.file_records import (
    SUFFIXES,
    Numbered,
    format_suffix,
    has_types,
    read_file,
)

# What `datasets` returns; it ships no types that mypy could read.
_Table: TypeAlias = Any

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?")


@dataclass(frozen=True, slots=True)
class Source:
    """Records that can be read again and again.

    Attributes:
        place: what messages call it.
        read: the records from the first on, numbered, and what is wrong with others.
        untyped: values are all text.
        table: a `datasets.Dataset` that holds them; None of what is read one by one.
        has_lines: records are numbered by their lines, else by their rows, both from 1.
        endless: they come from a stream, whose length nobody knows.
        size: how many records there are; None where nobody knows.
    """

    place: str
    read: Callable[[], Iterator[Numbered | ReadError]]
    untyped: bool = False
    table: _Table = None
    has_lines: bool = False
    endless: bool = False
    size: int | None = None


def open_source(source: Any, *, split: str, streaming: bool, offline: bool) -> Source:
    """Find out where records come from.

    Raises:
        TrainingDataError: there is no such file, folder or data set, or it cannot be read.
    """
    import datasets

    if isinstance(source, datasets.DatasetDict | datasets.IterableDatasetDict):
        source = _choose_split(source, split, "the data set")
    if isinstance(source, datasets.Dataset | datasets.IterableDataset):
        return _of_table(source, "the data set", streaming=streaming)
    if not isinstance(source, str | Path):
        raise TrainingDataError(
            f"a {type(source).__name__} is no training data; give a file, a folder, the name of a "
            "data set on the hub, a datasets.Dataset or an IterableDataset."
        )
    try:
        path = Path(source).expanduser()
        is_folder = path.is_dir()
    except (OSError, RuntimeError) as error:
        raise TrainingDataError(f"{str(source)[:200]} cannot be looked up: {error}.") from error
    if is_folder:
        return _of_table(_load_folder(path, split), str(source), streaming=streaming)
    if path.is_file():
        if not format_suffix(path):
            raise TrainingDataError(
                f"{source}: the name says not what it holds; name it *{', *'.join(SUFFIXES)}, "
                "each plain or with .gz."
            )
        return Source(
            str(source),
            partial(read_file, path),
            untyped=not has_types(path),
            has_lines=format_suffix(path) != ".parquet",
            endless=streaming,
        )
    if format_suffix(path) or _HUB_NAME.fullmatch(str(source)) is None:
        raise TrainingDataError(f"{source}: there is no such file or folder; check the path.")
    table = _load_from_hub(str(source), split, streaming=streaming, offline=offline)
    return _of_table(table, str(source), streaming=streaming)


def _of_table(table: _Table, place: str, *, streaming: bool) -> Source:
    import datasets

    table = table.with_format(None)
    if isinstance(table, datasets.Dataset):
        return Source(
            place,
            partial(_number, table),
            table=None if streaming else table,
            endless=streaming,
            size=len(table),
        )
    splits = table.info.splits or {}
    size = getattr(splits.get(str(table.split)), "num_examples", None) or None
    return Source(place, partial(_number_stream, table), endless=True, size=size)


def _number(table: _Table) -> Iterator[Numbered | ReadError]:
    yield from enumerate(table, start=1)


def _number_stream(table: _Table) -> Iterator[Numbered | ReadError]:
    # Iterated as it is, it would give each worker of a loader a part of its own choice.
    for number, batch in enumerate(table.iter(batch_size=1), start=1):
        yield number, {name: values[0] for name, values in batch.items()}


def _load_folder(path: Path, split: str) -> _Table:
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise TrainingDataError(
            f"{path}: the folder holds no data set saved by datasets' save_to_disk ({error}); give "
            "one, or a file in it."
        ) from error
    if isinstance(loaded, datasets.DatasetDict):
        return _choose_split(loaded, split, str(path))
    return loaded


def _choose_split(splits: Mapping[str, _Table], split: str, place: str) -> _Table:
    if split not in splits:
        raise TrainingDataError(
            f"{place}: there is no split {split!r}; choose from {', '.join(sorted(splits))}."
        )
    return splits[split]


def _load_from_hub(name: str, split: str, *, streaming: bool, offline: bool) -> _Table:
    """One split of a data set on the hub, or in the cache of `datasets`."""
    # Imported here: pandas and pyarrow come with it.
    import datasets
    from datasets.packaged_modules.cache.cache import Cache

    repository, _, subset = name.partition(":")
    try:
        if not offline:
            return datasets.load_dataset(
                repository, subset or None, split=split, streaming=streaming
            )
        cached = Cache(
            repo_id=repository,
            dataset_name=repository.rpartition("/")[2],
            config_name=subset or None,
            version="auto",
            hash="auto",
        )
        splits = cached.as_dataset()
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        advice = (
            "load it once without offline, or give a file"
            if offline
            else "check the name and the split, write name:subset where it has several, or give "
            "a file"
        )
        raise TrainingDataError(
            f"{name}: there is no such file, and the data set cannot be loaded from the "
            f"{'cache' if offline else 'hub'} ({error}); {advice}."
        ) from error
    return _choose_split(splits, split, name)

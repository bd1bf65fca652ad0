"""Labels of a teacher on disk, made block by block and never twice."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from search_engine.errors import TrainingDataError
from search_engine.training.distillation.teachers import Teacher
from search_engine.training.processes import ask_first

# Rows that are labelled and written together; what an interruption costs at most.
BLOCK_ROWS = 1024


def label_rows(
    rows: Iterable[Mapping[str, Any]],
    teacher: Teacher,
    *,
    columns: Sequence[str],
    label: str,
    folder: Path,
    source: str,
    on_rows: Callable[[int], None] | None = None,
) -> Any:
    """The rows with what a teacher says of them, as a `datasets.Dataset` that is read from disk.

    Each block is a file of its own, whose name is a sum over teacher and texts: what was labelled
    before, also by a run that was interrupted, is not labelled again, and what has changed is. Of
    processes that train together the first labels, and the others open its files.

    Args:
        rows: with the columns of texts; read once, never whole in memory.
            Of several processes, the first reads them.
        columns: of texts, in the order that the teacher takes them; the others are left out.
        label: name of the new column, lists of float32.
        folder: for the files; several teachers and sources may share it.
        source: of the rows, for messages.
        on_rows: called with the number of rows of each block that is there.

    Raises:
        TrainingDataError: there is no row, or a text is missing.
    """
    import datasets

    def make() -> list[str]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        texts = _read_texts(rows, columns, source)
        while block := tuple(islice(texts, BLOCK_ROWS)):
            path = folder / f"{_sum_of(block, teacher, columns, label)}.arrow"
            if _open(path, len(block)) is None:
                _write(path, block, teacher, columns=columns, label=label)
            paths.append(str(path))
            if on_rows is not None:
                on_rows(len(block))
        if not paths:
            raise TrainingDataError(f"{source}: there is no example in it.")
        return paths

    return datasets.concatenate_datasets(
        [datasets.Dataset.from_file(path) for path in ask_first(make)]
    )


def _read_texts(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], source: str
) -> Iterator[tuple[str, ...]]:
    for number, row in enumerate(rows):
        texts = tuple(text for column in columns if isinstance(text := row.get(column), str))
        if len(texts) < len(columns):
            wrong = next(column for column in columns if not isinstance(row.get(column), str))
            raise TrainingDataError(
                f"{source}: example {number} (counted from 0) has {row.get(wrong)!r} for "
                f"{wrong!r}, and not a text; correct it or leave it out."
            )
        yield texts


def _sum_of(
    block: Sequence[Sequence[str]], teacher: Teacher, columns: Sequence[str], label: str
) -> str:
    made_of = json.dumps([teacher.fingerprint, label, list(columns), block])
    return sha256(made_of.encode()).hexdigest()


def _open(path: Path, count: int) -> Any:
    """The rows of a file; None where there is none, or not a whole one."""
    import datasets

    if not path.is_file():
        return None
    try:
        labelled = datasets.Dataset.from_file(str(path))
    except (pa.ArrowInvalid, OSError):
        return None
    return labelled if len(labelled) == count else None


def _write(
    path: Path,
    block: Sequence[Sequence[str]],
    teacher: Teacher,
    *,
    columns: Sequence[str],
    label: str,
) -> None:
    labels = teacher.label(block)
    arrays = [pa.array(texts, pa.string()) for texts in zip(*block, strict=True)]
    arrays.append(pa.array(list(labels), pa.list_(pa.float32())))
    table = pa.table(arrays, names=[*columns, label])
    # Renamed once it is whole; by process, since several runs may share the folder.
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with pa.ipc.new_stream(unfinished, table.schema) as writer:
            writer.write_table(table)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)

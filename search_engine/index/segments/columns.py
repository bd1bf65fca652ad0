"""The metadata of one segment, a column for each key: what a filter is evaluated on.

All columns are one file, `columns.safetensors`, which is memory-mapped. A tensor is named by the
number of its key and its part (see column); the keys themselves and n stand in the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from search_engine.filters import AllOf, AnyOf, Filter, Not, Present
from search_engine.index.segments.column import Column, stored_value
from search_engine.types import Metadata

FILE_NAME = "columns.safetensors"
# The names of safetensors and the dtypes of numpy.
_DTYPES = {"BOOL": "?", "U8": "u1", "U16": "<u2", "U32": "<u4", "I64": "<i8", "F64": "<f8"}


@dataclass(frozen=True, slots=True)
class Columns:
    """The metadata of n chunks.

    Attributes:
        by_key: the column of each key that has a value anywhere.
        count: n.
    """

    by_key: Mapping[str, Column]
    count: int

    def __len__(self) -> int:
        return self.count

    def keys(self) -> list[str]:
        """The keys that have a value anywhere, sorted."""
        return sorted(self.by_key)

    def texts(self, key: str) -> frozenset[str | None]:
        """The texts that chunks have under a key; None among them where one has none."""
        column = self.by_key.get(key)
        if column is None:
            return frozenset({None} if self.count else ())
        section = column.dictionary["text"]
        first = next(code for name, code, _ in column.sections() if name == "text")
        used = np.unique(column.codes).astype(np.int64)
        here = used[(used >= first) & (used < first + len(section))]
        texts = {text.decode() for text in section.take(here - first)}
        return frozenset(texts if len(here) == len(used) else {*texts, None})

    def matches(self, filter: Filter) -> NDArray[np.bool_]:
        """For which chunks a condition holds, bool [n]; see `filters.matches` for the meaning."""
        match filter:
            case AllOf(parts):
                mask = np.ones(self.count, np.bool_)
                for part in parts:
                    mask &= self.matches(part)
                return mask
            case AnyOf(parts):
                mask = np.zeros(self.count, np.bool_)
                for part in parts:
                    mask |= self.matches(part)
                return mask
            case Not(part):
                return ~self.matches(part)
        column = self.by_key.get(filter.key)
        if column is None:
            return np.zeros(self.count, np.bool_)
        if isinstance(filter, Present):
            present: NDArray[np.bool_] = column.codes != 0
            return present
        return column.matches(filter)


def build_columns(metadata: Sequence[Metadata]) -> Columns:
    """The columns of chunks, in their order."""
    # By key and section: the rows that have a value, and the values.
    found: dict[str, dict[str, tuple[list[int], list[Any]]]] = {}
    for row, items in enumerate(metadata):
        for key, value in items.items():
            if (stored := stored_value(value)) is not None:
                rows, values = found.setdefault(key, {}).setdefault(stored[0], ([], []))
                rows.append(row)
                values.append(stored[1])
    by_key = {key: Column.of(found[key], len(metadata)) for key in found}
    return Columns(by_key, len(metadata))


def gather_columns(parts: Sequence[Columns], picked: NDArray[np.int64]) -> Columns:
    """The columns of some rows of the parts laid end to end, as if built from these rows.

    Args:
        picked: int64 [m], the rows, in the order in which they are wanted.
    """
    by_key = {}
    for key in sorted({key for part in parts for key in part.by_key}):
        # One dictionary after the other: the codes of a part go on where those before it end.
        joined = np.zeros(sum(map(len, parts)), np.int64)
        shifted: list[tuple[int, Column]] = []
        row = shift = 0
        for part in parts:
            if (column := part.by_key.get(key)) is not None:
                has_value = column.codes != 0
                joined[row : row + len(part)][has_value] = column.codes[has_value] + np.int64(shift)
                shifted.append((shift, column))
                shift += column.value_count()
            row += len(part)
        codes = joined[picked]
        used = np.zeros(shift + 1, np.bool_)
        used[codes] = True
        merged = _merge(shifted, used)
        if merged.value_count():
            by_key[key] = Column(merged.codes[codes], merged.dictionary)
    return Columns(by_key, len(picked))


def _merge(shifted: Sequence[tuple[int, Column]], used: NDArray[np.bool_]) -> Column:
    """What the used ones of the shifted codes stand for, as a column with a row for each code."""
    found: dict[str, tuple[list[int], list[Any]]] = {}
    for shift, column in shifted:
        is_used = used[shift : shift + 1 + column.value_count()]
        for name, codes, values in column.used(is_used):
            all_codes, all_values = found.setdefault(name, ([], []))
            all_codes += (shift + codes).tolist()
            all_values += values
    return Column.of(found, len(used))


def write_columns(folder: Path, columns: Columns) -> None:
    """Save as `columns.safetensors`; the same columns give the same bytes."""
    keys = columns.keys()
    tensors = {
        f"{number}.{name}": tensor
        for number, key in enumerate(keys)
        for name, tensor in columns.by_key[key].tensors().items()
    }
    # One entry only: the order of several would change from run to run.
    about = json.dumps({"rows": len(columns), "keys": keys})
    # `save_file` would keep the file from everybody else, and its errors are no OSError.
    (folder / FILE_NAME).write_bytes(save(tensors, metadata={"columns": about}))


def open_columns(folder: Path) -> Columns:
    """Memory-map what `write_columns` saved; of the file only its header is read.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not such a file.
    """
    # A plain view: numpy's memmap subclass makes every slice several times slower.
    data = np.memmap(folder / FILE_NAME, np.uint8, mode="r").view(np.ndarray)
    try:
        # The format: header size (8 bytes, little-endian), JSON header, data.
        start = 8 + int.from_bytes(data[:8].tobytes(), "little")
        header = json.loads(data[8:start].tobytes())
        about = json.loads(header.pop("__metadata__")["columns"])
        tensors: list[dict[str, NDArray[Any]]] = [{} for _ in about["keys"]]
        for label, entry in header.items():
            number, _, name = label.partition(".")
            tensors[int(number)][name] = _tensor(data[start:], entry)
        by_key = dict(zip(about["keys"], map(Column.of_tensors, tensors), strict=True))
        return Columns(by_key, about["rows"])
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{FILE_NAME} is not a file of columns: {error!r}") from error


def _tensor(data: NDArray[np.uint8], entry: Mapping[str, Any]) -> NDArray[Any]:
    start, end = entry["data_offsets"]
    tensor = data[start:end].view(_DTYPES[entry["dtype"]])
    if [len(tensor)] != entry["shape"]:
        raise ValueError(f"bytes {start} to {end} do not hold {entry['shape']} values")
    return tensor

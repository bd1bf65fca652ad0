"""Examples as a table in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, TypeAlias

from search_engine.training.data.formats import Columns, Format

# A `datasets.Dataset`, which has no types that mypy could read.
Table: TypeAlias = Any

# Rows that are brought into a table at a time.
_CHUNK = 4096


def make_table(
    examples: Iterable[Mapping[str, Any]], columns: Columns, *, named: bool = False
) -> Table:
    """A table in memory, which holds each example once.

    Args:
        named: labels are names and not numbers.
    """
    import datasets
    import pyarrow as pa

    label: Mapping[Format, Any] = {
        "lists": pa.list_(pa.float64()),
        "vectors": pa.list_(pa.float32()),
        "labelled_pairs": pa.int64(),
        "classes": pa.int64(),
    }
    iterator = iter(examples)
    chunks, schema = [], None
    while chunk := list(islice(iterator, _CHUNK)):
        if schema is None:
            fields = [(name, pa.string()) for name in columns.texts]
            if columns.format == "lists":
                fields[1] = (columns.texts[1], pa.list_(pa.string()))
            if columns.label is not None:
                many = isinstance(chunk[0][columns.label], list)
                other = pa.list_(pa.float64()) if many else pa.float64()
                kind = pa.string() if named else label.get(columns.format, other)
                fields.append((columns.label, kind))
            schema = pa.schema(fields)
        chunks.append(pa.Table.from_pylist(chunk, schema=schema))
    if schema is None:
        return datasets.Dataset.from_dict({name: [] for name in columns.names})
    return datasets.Dataset(pa.concat_tables(chunks))


def number_classes(table: Table, label: str) -> tuple[Table, tuple[str, ...]]:
    """The table with numbers for the names of classes, and the sorted names."""
    import datasets
    import pyarrow as pa

    arrow = table.with_format("arrow")[:]
    values = arrow.column(label).to_pylist()
    classes = tuple(sorted(set(values)))
    numbers = {name: number for number, name in enumerate(classes)}
    column = pa.array([numbers[value] for value in values], type=pa.int64())
    place = arrow.schema.get_field_index(label)
    numbered = arrow.set_column(place, label, column).replace_schema_metadata(None)
    return datasets.Dataset(numbered), classes

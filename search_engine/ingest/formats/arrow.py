"""Tables of Apache Arrow: Parquet, Feather, and the shards that Hugging Face data sets save."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from search_engine.errors import ReadError
from search_engine.ingest.readers import Reading
from search_engine.ingest.records import Row, number_names

if TYPE_CHECKING:
    import pyarrow as pa

# Rows that are Python objects at once; a row may be a whole book.
_ROWS = 256
_FILE_MAGIC = b"ARROW1"


def read_parquet(path: Path) -> Iterator[Reading]:
    """The fields of each row of a Parquet file: its scalar columns and a struct named `metadata`.

    Columns of bytes and of lists are not read. The file is streamed by batches of 256 rows.

    Raises:
        ReadError: the file is not Parquet, or is damaged; what came before that has been yielded.
    """
    import pyarrow as pa
    from pyarrow import parquet

    size, done = path.stat().st_size, 0
    try:
        with parquet.ParquetFile(path) as file:
            columns = [field.name for field in file.schema_arrow if _is_readable(field)]
            total = file.metadata.num_rows
            for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
                for row in _read_batch(batch, done):
                    done += 1
                    yield Reading(row, size * done // total)
    except (pa.ArrowException, OSError) as error:
        raise _explain(error, path, "Parquet", done) from error


def read_arrow(path: Path) -> Iterator[Reading]:
    """The fields of each row of an Arrow IPC file or stream: its scalar columns and `metadata`.

    A Feather file is an IPC file, and a shard of `datasets.Dataset.save_to_disk` an IPC stream.
    The struct named `metadata` is read; columns of bytes and of lists are not. The file is
    streamed by its own batches.

    Raises:
        ReadError: the file is not Arrow IPC, or is damaged; what came before that has been
            yielded.
    """
    import pyarrow as pa

    done = 0
    try:
        with pa.memory_map(str(path)) as source:
            is_file = source.read(len(_FILE_MAGIC)) == _FILE_MAGIC
            source.seek(0)
            for batch, bytes_read in _iterate_file(source) if is_file else _iterate_stream(source):
                # What the offsets of a damaged batch point at would be read without asking.
                batch.validate(full=True)
                for first in range(0, batch.num_rows, _ROWS):
                    for row in _read_batch(batch.slice(first, _ROWS), done):
                        done += 1
                        yield Reading(row, bytes_read)
    except (pa.ArrowException, OSError) as error:
        raise _explain(error, path, "Arrow IPC", done) from error


def _iterate_file(source: pa.NativeFile) -> Iterator[tuple[pa.RecordBatch, int]]:
    """The batches of an IPC file, each with how far into the file it reaches, in bytes."""
    import pyarrow as pa

    size = source.size()
    with pa.ipc.open_file(source) as reader:
        total = reader.num_record_batches
        for place in range(total):
            yield reader.get_batch(place), size * (place + 1) // total


def _iterate_stream(source: pa.NativeFile) -> Iterator[tuple[pa.RecordBatch, int]]:
    import pyarrow as pa

    with pa.ipc.open_stream(source) as reader:
        for batch in reader:
            yield batch, source.tell()


def _read_batch(batch: pa.RecordBatch, done: int) -> Iterator[Row]:
    """The rows of a batch; `done` came before it."""
    places = [place for place, field in enumerate(batch.schema) if _is_readable(field)]
    names = number_names(batch.schema.field(place).name for place in places)
    columns = [batch.column(place).to_pylist() for place in places]
    for number, values in enumerate(zip(*columns, strict=True), start=done + 1):
        yield Row(dict(zip(names, values, strict=True)), f"row-{number}")


def _is_readable(field: pa.Field) -> bool:
    """Whether a column has values that a record can say or be filtered by."""
    from pyarrow import types

    kind = field.type
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_struct(kind):
        return bool(field.name == "metadata")
    is_bytes = (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )
    return not (is_bytes or types.is_nested(kind))


def _explain(error: Exception, path: Path, format_name: str, done: int) -> ReadError:
    said = str(error).strip().splitlines()
    what = f"is damaged after row {done}" if done else f"is not {format_name} or is damaged"
    return ReadError(str(path), f"{what}: {said[0] if said else type(error).__name__}")

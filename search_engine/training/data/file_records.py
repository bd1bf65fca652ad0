"""The records of files: JSONL, JSON, CSV, TSV and Parquet, plain or compressed by gzip."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeAlias, cast

from search_engine.errors import ReadError, TrainingDataError

# The line that a record begins in, or its row, from 1; and the record.
Numbered: TypeAlias = tuple[int, Mapping[str, Any]]
SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
# A longer cell is taken for one whose closing quote is missing.
_LONGEST_CELL = 16 * 2**20
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)


def has_types(path: Path) -> bool:
    """Whether a file of that name tells numbers from texts."""
    return format_suffix(path) not in (".csv", ".tsv")


def format_suffix(path: Path) -> str:
    """The ending that says what a file holds, in lower case, without that of its compression."""
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def read_file(path: Path) -> Iterator[Numbered | ReadError]:
    """The records of a file one by one, and what is wrong with those that cannot be read.

    Raises:
        TrainingDataError: nothing in the file can be read.
    """
    suffix = format_suffix(path)
    try:
        if suffix == ".parquet":
            yield from _read_parquet(path)
        elif suffix in (".csv", ".tsv"):
            # What is not UTF-8 stays in the one cell that it stands in.
            with io.TextIOWrapper(
                _open(path), "utf-8-sig", errors="surrogateescape", newline=""
            ) as text:
                yield from _read_table(path, text, "," if suffix == ".csv" else "\t")
        elif suffix == ".json":
            yield from _read_json(path)
        else:
            with _open(path) as file:
                yield from _read_lines(path, file)
    except OSError as error:
        raise TrainingDataError(
            f"{path}: cannot be read ({error.strerror or error}); check the file."
        ) from error


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _read_lines(path: Path, file: BinaryIO) -> Iterator[Numbered | ReadError]:
    number = 0
    try:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _parse_line(path, line, number)
    except _DAMAGED as error:
        yield _damaged(path, number, error)


def _parse_line(path: Path, line: bytes, number: int) -> Numbered | ReadError:
    try:
        record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except (ValueError, RecursionError) as error:
        return ReadError(str(path), f"not a JSON object ({error})", line=number)
    if not isinstance(record, dict):
        return ReadError(str(path), f"a JSON object is needed, this is {record!r:.80}", line=number)
    return number, record


def _read_json(path: Path) -> Iterator[Numbered | ReadError]:
    """One list of objects, or JSON Lines under the other name."""
    try:
        with _open(path) as file:
            first = next((line for line in file if line.strip()), b"")
            if not first.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
                file.seek(0)
                yield from _read_lines(path, file)
                return
            file.seek(0)
            # What is not UTF-8 stays in the one text that it stands in.
            text = file.read().decode("utf-8", "surrogateescape")
    except _DAMAGED as error:
        yield _damaged(path, 0, error)
        return
    yield from _read_list(path, text, text.index("[") + 1)


def _read_list(path: Path, text: str, start: int) -> Iterator[Numbered | ReadError]:
    """The objects of a list one by one, so that they need not all be there at once."""
    decoder = json.JSONDecoder()
    line, place = 1 + text.count("\n", 0, start), start
    while True:
        begin = place
        while place < len(text) and (text[place].isspace() or text[place] == ","):
            place += 1
        line += text.count("\n", begin, place)
        if place < len(text) and text[place] == "]":
            return
        try:
            record, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            yield ReadError(
                str(path), f"the list cannot be read from here on ({error})", line=line
            )  # fmt: skip
            return
        if isinstance(record, dict):
            yield line, record
        else:
            yield ReadError(
                str(path), f"a JSON object is needed, this is {record!r:.80}", line=line
            )  # fmt: skip
        line += text.count("\n", place, end)
        place = end


def _read_table(path: Path, text: TextIO, delimiter: str) -> Iterator[Numbered | ReadError]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    rows = csv.reader(text, delimiter=delimiter)
    header: list[str] | None = None
    while True:
        line = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield ReadError(str(path), f"not a row of a table ({error})", line=line)
            continue
        except _DAMAGED as error:
            yield _damaged(path, line - 1, error)
            return
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [name.strip() for name in cells]
            if len(set(header)) < len(header):
                raise TrainingDataError(
                    f"{path}: two columns have the same name in the header {', '.join(header)}; "
                    "rename one."
                )
        elif len(cells) != len(header):
            reason = f"the row has {len(cells)} cells, and the header {len(header)}"
            yield ReadError(str(path), reason, line=line)
        else:
            yield line, dict(zip(header, cells, strict=True))


def _read_parquet(path: Path) -> Iterator[Numbered | ReadError]:
    import pyarrow as pa
    from pyarrow import parquet

    row = 0
    try:
        with _open(path) as file:
            for batch in parquet.ParquetFile(file).iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    row += 1
                    yield row, record
    except (pa.ArrowException, *_DAMAGED) as error:
        if not row:
            raise TrainingDataError(
                f"{path}: no Parquet file that can be read ({error}); get it again."
            ) from error
        yield _damaged(path, row, error)


def _damaged(path: Path, number: int, error: Exception) -> ReadError:
    reason = f"the file is damaged from here on, get it again ({error})"
    return ReadError(str(path), reason, line=number + 1)

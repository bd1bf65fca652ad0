"""Tables as text (CSV, TSV), plain or gzip: one record a row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from search_engine.errors import ReadError
from search_engine.ingest.formats.compressed import GZIP_ERRORS, explain_damage, open_stream
from search_engine.ingest.formats.encodings import guess_legacy_encoding
from search_engine.ingest.formats.plain import find_encoding, name_binary
from search_engine.ingest.readers import Reading
from search_engine.ingest.records import Row, number_names

# How much of a file its encoding, its delimiter and its header are found by.
_SAMPLE = 65_536
_SAMPLE_ROWS = 200
_LEGACY_SAMPLE = 8_192
_DELIMITERS = (",", ";", "\t", "|")
# Of a table with one column: its commas are text.
_NO_DELIMITER = "\x1f"
# A row is held in memory whole; a quote that is never closed makes the rest of the file one cell.
_MAX_CELL = 16 * 2**20
_MAX_LINE = 64 * 2**20
# A number, a date or a time.
_NUMBER = re.compile(r"[-+]?\.?\d[\d.,:/_-]*(?:[eE][-+]?\d+)?%?")
# No one names a column by more than this.
_MAX_NAME = 100


class _BadRowError(Exception):
    """Something cannot be part of a row; the message says why."""


def read_delimited(path: Path) -> Iterator[Reading]:
    """The fields of each row, and one problem for each row that has not the header's columns.

    Cells are separated by a tab where the name says so (.tsv), else by the comma, semicolon, tab
    or vertical bar that gives most rows of the first 64 KiB as many cells as the first one.
    Quotes are doubled within quoted cells, which may run over lines (RFC 4180). The first row is
    the header unless a cell of it is a number, a date or longer than a name; without one, columns
    are "column-1" and so on. A name that comes again is numbered. An empty cell is None. Blank
    lines are skipped.

    The text is UTF-8, or UTF-16 or UTF-32 as the beginning of the file shows; a cell that is not
    UTF-8 is in the legacy encoding in which the beginning reads like a language, else in
    Windows-1252. The file is streamed: one row at a time is in memory.

    Raises:
        ReadError: the file is not text, or breaks off or is damaged; what came before that has
            been yielded.
    """
    with path.open("rb") as raw:
        line = 0
        try:
            stream = open_stream(path, raw)
            sample = stream.read(_SAMPLE)
            stream.seek(0)
            kind = name_binary(sample)
            if kind is not None:
                raise ReadError(str(path), f"is not a table but {kind}")
            encoding = find_encoding(sample)
            delimiter = _choose_delimiter(path, sample, encoding)
            legacy = _guess_legacy(sample)
            lines = _Lines(stream, encoding)
            for content in _read_rows(lines, delimiter, legacy):
                line = lines.number
                yield Reading(content, raw.tell())
        except GZIP_ERRORS as error:
            raise explain_damage(error, path, line + 1) from error
        except UnicodeDecodeError as error:
            reason = f"breaks off or is damaged as {error.encoding.upper()}; save it as UTF-8"
            raise ReadError(str(path), reason, line=line + 1) from error


class _Lines:
    """The lines of a table with their ends; bytes that are not UTF-8 come as lone surrogates.

    An iterator that goes on after a line that it refused.

    Attributes:
        number: of the last line that was read, 1-based; 0 before the first.
    """

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
        self._text = io.TextIOWrapper(stream, encoding, errors=errors, newline="")
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = rest = self._text.readline(_MAX_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) < _MAX_LINE or line[-1] in "\r\n":
            return line
        while len(rest) == _MAX_LINE and rest[-1] not in "\r\n":
            rest = self._text.readline(_MAX_LINE)
        raise _BadRowError(f"a line has more than {_MAX_LINE // 2**20} MiB")


def _read_rows(lines: _Lines, delimiter: str, legacy: str) -> Iterator[Row | ReadError]:
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL))
    rows = csv.reader(lines, delimiter=delimiter)
    columns: list[str] | None = None
    number = 0
    while True:
        first_line = lines.number + 1
        try:
            cells = [_mend(cell, legacy) for cell in next(rows)]
        except StopIteration:
            return
        except (csv.Error, _BadRowError) as error:
            number += 1
            yield ReadError("", f"is no row of a table: {_name_fault(error)}", line=first_line)
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if columns is None:
            has_header = _is_header(cells)
            columns = number_names(cells if has_header else [""] * len(cells))
            if has_header:
                continue
        number += 1
        if len(cells) != len(columns):
            reason = f"has {len(cells)} cells where the first row has {len(columns)}"
            yield ReadError("", f"{reason}; check its quotes and delimiters", line=first_line)
            continue
        values = {name: cell or None for name, cell in zip(columns, cells, strict=True)}
        yield Row(values, f"row-{number}", first_line, untyped=True)


def _guess_legacy(sample: bytes) -> str:
    """The encoding of what is not UTF-8."""
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        line = sample.rfind(b"\n", 0, error.start) + 1
        return guess_legacy_encoding(sample[line : line + _LEGACY_SAMPLE]) or "cp1252"
    return "cp1252"


def _mend(cell: str, legacy: str) -> str:
    """The cell as it was meant: one with bytes that are not UTF-8 is in a legacy encoding."""
    try:
        cell.encode()
    except UnicodeEncodeError:
        data = cell.encode("utf-8", "surrogateescape")
        try:
            return data.decode(legacy)
        except UnicodeDecodeError as error:
            raise _BadRowError(
                f"byte 0x{data[error.start]:02x} is neither UTF-8 nor {legacy}; "
                "save the file as UTF-8"
            ) from error
    return cell


def _name_fault(error: Exception) -> str:
    if "field larger than" in str(error):
        return f"a cell has more than {_MAX_CELL // 2**20} MiB; is a quote never closed?"
    return str(error)


def _choose_delimiter(path: Path, sample: bytes, encoding: str) -> str:
    """The delimiter by which most of the first rows have as many cells as the first one."""
    if ".tsv" in (suffix.lower() for suffix in path.suffixes[-2:]):
        return "\t"
    text = sample.decode(encoding, errors="replace")
    lines = list(io.StringIO(text, newline=""))
    if len(sample) == _SAMPLE and len(lines) > 1:
        del lines[-1]

    def rate(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in _parse_sample(lines, delimiter) if row]
        width = widths[0] if widths else 1
        return (widths.count(width) / len(widths) if width > 1 else 0.0, width)

    best = max(_DELIMITERS, key=rate)
    return best if rate(best)[1] > 1 else _NO_DELIMITER


def _parse_sample(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The rows of the beginning, until one that is none."""
    rows: list[list[str]] = []
    with suppress(csv.Error):
        rows.extend(islice(csv.reader(lines, delimiter=delimiter), _SAMPLE_ROWS))
    return rows


def _is_header(cells: Sequence[str]) -> bool:
    """Whether the first row names the columns: no cell is a number or too long for a name."""
    return not any(
        _NUMBER.fullmatch(cell.strip()) or len(cell) > _MAX_NAME or "\n" in cell for cell in cells
    )

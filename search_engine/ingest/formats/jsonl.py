"""JSON Lines, plain or gzip: one record a line. The corpus of a BEIR data set is such a file."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from search_engine.errors import ReadError
from search_engine.ingest.formats.compressed import GZIP_ERRORS, explain_damage, open_stream
from search_engine.ingest.formats.plain import find_encoding, name_binary
from search_engine.ingest.readers import Fields, Reading

# A record is held in memory whole, so one that has no end must not be read to its end.
_MAX_LINE = 64 * 2**20


class _BadRecordError(Exception):
    """One line is no record; the message says why."""


def read_jsonl(path: Path) -> Iterator[Reading]:
    """The fields of each line, and one problem for each line that has none.

    Blank lines are skipped. The file is streamed: one line at a time is in memory.

    Raises:
        ReadError: the file is not text, or its compressed data breaks off; what came before that
            has been yielded.
    """
    with path.open("rb") as raw:
        stream = open_stream(path, raw)
        line = 0
        try:
            if stream is raw:
                _check_text(raw.read(65536), path)
                raw.seek(0)
            for line, data in enumerate(_split_lines(stream), start=1):
                if line == 1:
                    _check_text(data, path)
                    data = data.removeprefix(codecs.BOM_UTF8)
                if data.isspace() or not data:
                    continue
                content: Fields | ReadError
                try:
                    content = Fields(_parse_record(data), f"line-{line}", line)
                except _BadRecordError as error:
                    content = ReadError(str(path), str(error), line=line)
                yield Reading(content, raw.tell())
        except GZIP_ERRORS as error:
            raise explain_damage(error, path, line + 1) from error


def _check_text(beginning: bytes, path: Path) -> None:
    encoding = find_encoding(beginning)
    if encoding not in {"utf-8", "utf-8-sig"}:
        raise ReadError(str(path), f"is {encoding.upper()}; JSON Lines are UTF-8: convert it")
    kind = name_binary(beginning)
    if kind is not None:
        raise ReadError(str(path), f"is not JSON Lines but {kind}")


def _split_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; one that is too long comes cut, one byte over the limit."""
    while data := file.readline(_MAX_LINE + 1):
        rest = data
        while len(rest) > _MAX_LINE and not rest.endswith(b"\n"):
            rest = file.readline(_MAX_LINE + 1)
        yield data


def _refuse_constant(name: str) -> None:
    """NaN and Infinity, which Python reads and JSON does not have (RFC 8259, section 6)."""
    raise ValueError(f"{name} is no JSON number")


def _parse_record(data: bytes) -> Mapping[str, object]:
    if len(data) > _MAX_LINE:
        raise _BadRecordError(f"is longer than {_MAX_LINE // 2**20} MiB; one record is one line")
    try:
        record = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise _BadRecordError(
            f"byte {error.start + 1} of the line is not UTF-8; convert the file to UTF-8"
        ) from error
    except RecursionError as error:
        raise _BadRecordError("is nested too deeply") from error
    except ValueError as error:
        raise _BadRecordError(f"is not JSON: {error}") from error
    if not isinstance(record, Mapping):
        raise _BadRecordError("is JSON but not an object of fields in braces")
    return record

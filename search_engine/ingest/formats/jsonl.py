"""JSON Lines, plain or gzip: one document a line. The corpus of a BEIR data set is such a file."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from search_engine.errors import ReadError
from search_engine.ingest.plain import find_encoding, name_binary
from search_engine.ingest.readers import Reading
from search_engine.types import Document

_ID_FIELDS = ("_id", "id", "doc_id")
_TEXT_FIELDS = ("text", "contents", "content", "body")
# A record is held in memory whole, so one that has no end must not be read to its end.
_MAX_LINE = 64 * 2**20
_GZIP_MAGIC = b"\x1f\x8b"


class _BadRecordError(Exception):
    """One line is no record; the message says why."""


def read_jsonl(path: Path) -> Iterator[Reading]:
    """One document for each line, and one problem for each line that is none.

    The id is the first of `_id`, `id`, `doc_id`, else `line-<number>`; the text is the first of
    `text`, `contents`, `content`, `body` that is a string; `title` is the title; other scalar
    fields, and those of an object named `metadata`, are the metadata. A record with a title and no
    text (BEIR's corpora have some) is that title. Blank lines are skipped. The file is streamed:
    only the ids seen stay in memory.

    Raises:
        ReadError: the file is not text, or its compressed data breaks off; what came before that
            has been yielded.
    """
    with path.open("rb") as raw:
        compressed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        if path.suffix.lower() == ".gz" and not compressed:
            raise ReadError(str(path), "is not a gzip file; check how it was downloaded")
        line = 0
        try:
            if not compressed:
                _check_text(raw.read(65536), path)
                raw.seek(0)
                lines: BinaryIO | gzip.GzipFile = raw
            else:
                lines = gzip.GzipFile(fileobj=raw)
            seen: set[str] = set()
            for line, data in enumerate(_split_lines(lines), start=1):
                if line == 1:
                    _check_text(data, path)
                    data = data.removeprefix(codecs.BOM_UTF8)
                if data.isspace() or not data:
                    continue
                content: Document | ReadError
                try:
                    content = _parse_record(data, line, seen)
                except _BadRecordError as error:
                    content = ReadError(str(path), str(error), line=line)
                yield Reading(content, raw.tell())
        except EOFError as error:
            reason = "the compressed data breaks off here; the records before it were read"
            raise ReadError(str(path), reason, line=line + 1) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            reason = "the compressed data is damaged from here on; the records before it were read"
            raise ReadError(str(path), reason, line=line + 1) from error


def _check_text(beginning: bytes, path: Path) -> None:
    encoding = find_encoding(beginning)
    if encoding not in {"utf-8", "utf-8-sig"}:
        raise ReadError(str(path), f"is {encoding.upper()}; JSON Lines are UTF-8: convert it")
    kind = name_binary(beginning)
    if kind is not None:
        raise ReadError(str(path), f"is not JSON Lines but {kind}")


def _split_lines(file: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    """The lines of a file; one that is too long comes cut, one byte over the limit."""
    while data := file.readline(_MAX_LINE + 1):
        rest = data
        while len(rest) > _MAX_LINE and not rest.endswith(b"\n"):
            rest = file.readline(_MAX_LINE + 1)
        yield data


def _refuse_constant(name: str) -> None:
    """NaN and Infinity, which Python reads and JSON does not have (RFC 8259, section 6)."""
    raise ValueError(f"{name} is no JSON number")


def _parse_record(data: bytes, line: int, seen: set[str]) -> Document:
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
    title_field = record.get("title")
    title = title_field if isinstance(title_field, str) else ""
    text_field = next((name for name in _TEXT_FIELDS if isinstance(record.get(name), str)), None)
    if text_field is None:
        raise _BadRecordError(f"has no text; it is looked for in {', '.join(_TEXT_FIELDS)}")
    text = record[text_field]
    if not text.strip():
        text, title = title, ""
    if not text.strip():
        raise _BadRecordError("is empty: neither its text nor its title says anything")
    id_field, record_id = _find_id(record, line)
    if record_id in seen:
        raise _BadRecordError(f"the id {record_id!r} already stands on an earlier line")
    seen.add(record_id)
    used = {id_field, text_field, "title"}
    nested = record.get("metadata")
    fields = {**(nested if isinstance(nested, Mapping) else {}), **record}
    metadata = {
        name: value
        for name, value in fields.items()
        if name not in used and isinstance(value, str | int | float | bool | None)
    }
    return Document(
        doc_id=record_id,
        text=text,
        title=title,
        first_line=line,
        single_line=True,
        metadata=MappingProxyType(metadata),
    )


def _find_id(record: Mapping[str, object], line: int) -> tuple[str | None, str]:
    """The field that holds the id and the id; without one None and `line-<number>`."""
    for name in _ID_FIELDS:
        value = record.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value):
            return name, str(value)
    return None, f"line-{line}"

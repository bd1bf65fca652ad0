"""Records with named fields (a line of JSONL, a row of a table), and the documents they make."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import TypeAlias
from uuid import UUID

from search_engine.errors import ConfigError, ReadError
from search_engine.ingest.readers import Fields
from search_engine.types import Document

Scalar: TypeAlias = str | int | float | bool

_ID_FIELDS = ("_id", "id", "doc_id")
_TEXT_FIELDS = ("text", "contents", "content", "body")
_TITLE_FIELDS = ("title",)
_ROLES = ("id", "text", "title")
# How the parts of a role that several fields fill are joined.
_BETWEEN = {"id": "-", "text": "\n\n", "title": ", "}


@dataclass(frozen=True, slots=True)
class Row(Fields):
    """A row of a table: where no column is the text by custom, all columns together are.

    Attributes:
        untyped: the table knows text alone, as CSV does: in the metadata, what is written as a
            number is one.
    """

    untyped: bool = False


class _BadRecordError(Exception):
    """A record makes no document; the message says why."""


def document_of(fields: Fields, mapping: Mapping[str, str], seen: set[str]) -> Document | ReadError:
    """The document that a record makes, or what is wrong with it.

    By custom the id is the first of `_id`, `id`, `doc_id` that says something, else the record's
    key; the text is the first of `text`, `contents`, `content`, `body` that is a string; `title`
    is the title. A name in other letters' case is taken where there is none in lower case. A row
    of a table without such a column is a line "column: value" for each value it has. A record
    with a title and no text (BEIR's corpora have some) is that title.

    Other scalar fields, and those of an object named `metadata`, are the metadata: dates in ISO
    8601, decimal numbers and UUIDs as text, numbers that are none as None. Bytes and lists are
    left out.

    Args:
        fields: the record.
        mapping: as `parse_mapping` gives it. Where a record has none of the fields that are named
            for a part, that is found by custom: one folder may hold files of several kinds.
        seen: the ids of the file so far; that of the document is added.

    Returns:
        A document whose `doc_id` is the record's own id, or a problem without a path.
    """
    try:
        return _make_document(fields, mapping, seen)
    except _BadRecordError as error:
        reason = str(error) if fields.line is not None else f"{fields.key}: {error}"
        return ReadError("", reason, line=fields.line)


def parse_mapping(texts: Sequence[str]) -> Mapping[str, str]:
    """Which field of a record is what, as a person types it: "text=body+summary", "id=key".

    Returns:
        "id", "text" or "title" -> the name of a field, or several joined by "+".

    Raises:
        ConfigError: one of them is not of this form, or a part is named twice.
    """
    mapping: dict[str, str] = {}
    for text in texts:
        role, equals, names = (part.strip() for part in text.partition("="))
        if role not in _ROLES or not equals or not names:
            raise ConfigError(
                f"{text!r} names no field: write id=FIELD, text=FIELD or title=FIELD, "
                "or several fields joined by + (text=body+summary)"
            )
        if role in mapping:
            raise ConfigError(
                f"{text!r}: {role} is named twice; join several fields by + ({role}=FIELD+FIELD)"
            )
        mapping[role] = names
    return MappingProxyType(mapping)


def number_names(names: Iterable[str]) -> list[str]:
    """The names of columns, each once: "column-3" for the third without one, "a-2" for a second."""
    numbered: dict[str, None] = {}
    for place, name in enumerate(names, start=1):
        base = candidate = name.strip() or f"column-{place}"
        count = 1
        while candidate in numbered:
            count += 1
            candidate = f"{base}-{count}"
        numbered[candidate] = None
    return list(numbered)


def _make_document(fields: Fields, mapping: Mapping[str, str], seen: set[str]) -> Document:
    values = fields.values
    text_fields, text = _find_text(fields, mapping)
    title_fields, title = _find_title(values, mapping)
    if not text.strip():
        text, title = title, ""
    if not text.strip():
        raise _BadRecordError("is empty: neither its text nor its title says anything")
    id_fields, record_id = _find_id(fields, mapping)
    if record_id in seen:
        where = "on an earlier line" if fields.line is not None else "in an earlier row"
        raise _BadRecordError(f"the id {record_id!r} already stands {where}")
    seen.add(record_id)
    used = {*id_fields, *text_fields, *title_fields}
    nested = values.get("metadata")
    others = {**(nested if isinstance(nested, Mapping) else {}), **values}
    untyped = isinstance(fields, Row) and fields.untyped
    metadata = {
        name: _as_number(value) if untyped and isinstance(value, str) else _as_scalar(value)
        for name, value in others.items()
        if name not in used and _is_scalar(value)
    }
    return Document(
        doc_id=record_id,
        text=text,
        title=title,
        first_line=fields.line,
        single_line=fields.line is not None,
        metadata=MappingProxyType(metadata),
    )


def _find_text(fields: Fields, mapping: Mapping[str, str]) -> tuple[Sequence[str], str]:
    """The fields that are the text, and what they say."""
    values = fields.values
    if _is_mapped(values, mapping, "text"):
        return _join_mapped(values, mapping, "text")
    customary = list(_find_customary(values, _TEXT_FIELDS))
    for name in customary:
        value = values[name]
        if isinstance(value, str):
            return [name], value
    if not isinstance(fields, Row):
        asked = [mapping["text"]] if "text" in mapping else []
        raise _BadRecordError(
            f"has no text; it is looked for in {', '.join((*asked, *_TEXT_FIELDS))}; "
            f"it has: {', '.join(values) or 'nothing'}"
        )
    if any(values[name] is None for name in customary):
        return customary, ""
    said = ((name, _as_scalar(value)) for name, value in values.items() if _is_scalar(value))
    lines = [f"{name}: {value}" for name, value in said if value is not None and str(value).strip()]
    return [], "\n".join(lines)


def _find_title(
    values: Mapping[str, object], mapping: Mapping[str, str]
) -> tuple[Sequence[str], str]:
    if _is_mapped(values, mapping, "title"):
        return _join_mapped(values, mapping, "title")
    for name in _find_customary(values, _TITLE_FIELDS):
        value = values[name]
        return [name], value if isinstance(value, str) else ""
    return [], ""


def _find_id(fields: Fields, mapping: Mapping[str, str]) -> tuple[Sequence[str], str]:
    values = fields.values
    if _is_mapped(values, mapping, "id"):
        names, record_id = _join_mapped(values, mapping, "id")
        if not record_id.strip():
            raise _BadRecordError(f"has no id: {' and '.join(names)} say nothing")
        return names, record_id
    for name in _find_customary(values, _ID_FIELDS):
        value = values[name]
        if isinstance(value, str | int | UUID) and not isinstance(value, bool) and str(value):
            return [name], str(value)
    return [], fields.key


def _find_customary(values: Mapping[str, object], customary: Sequence[str]) -> Iterator[str]:
    """The fields of these names, in the order of the names."""
    for wanted in customary:
        if wanted in values:
            yield wanted
        else:
            yield from (name for name in values if name.lower() == wanted)


def _is_mapped(values: Mapping[str, object], mapping: Mapping[str, str], role: str) -> bool:
    """Whether a record has any of the fields that a person named for a role."""
    named = mapping.get(role)
    return named is not None and any(
        name in values for name in (named, *(part.strip() for part in named.split("+")))
    )


def _join_mapped(
    values: Mapping[str, object], mapping: Mapping[str, str], role: str
) -> tuple[Sequence[str], str]:
    """The fields that a person named for a role, and what they say together."""
    named = mapping[role]
    # A field may have a plus sign in its name.
    names = [named] if named in values else [name.strip() for name in named.split("+")]
    texts = []
    for name in names:
        if name not in values:
            known = ", ".join(values) or "none"
            raise _BadRecordError(f"has no field {name!r} for the {role}; it has: {known}")
        value = values[name]
        if not _is_scalar(value):
            raise _BadRecordError(f"its field {name!r} is no {role}: it is not text or a number")
        scalar = _as_scalar(value)
        if scalar is not None and str(scalar).strip():
            texts.append(str(scalar))
    return names, _BETWEEN[role].join(texts)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(
        value, str | int | float | bool | date | time | timedelta | Decimal | UUID
    )


def _as_scalar(value: object) -> Scalar | None:
    """The value as metadata has it; None of a number that is none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int):
        return value
    # A `datetime` is a `date`; NaT, of pandas, is one that is none.
    if isinstance(value, date | time):
        return value.isoformat() if value == value else None
    return None if value is None else str(value)


def _as_number(text: str) -> Scalar:
    """The number that a text is written as, or the text: `007` and `1e3` stay as they are."""
    for kind in (int, float):
        with suppress(ValueError):
            number = kind(text)
            if str(number) == text and math.isfinite(number):
                return number
    return text

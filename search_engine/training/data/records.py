"""One record of training data, checked and brought into the columns of its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search_engine.training.data.matching import Reading
from search_engine.training.data.values import describe_kind, is_finite, kind_of, parse_value

_INT64 = 2**63


class BadRecordError(Exception):
    """A record makes no example; the message says why."""


class FractionError(BadRecordError):
    """A label is a fraction where those before it were integers."""


def read_record(record: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
    """What a record has in the columns that are read.

    Raises:
        FractionError: its label is no integer, of labels that are.
        BadRecordError: it lacks something, or something in it is not what it is to be.
    """
    texts = [_read_text(name, _get(record, name)) for name in reading.texts]
    listed = [] if reading.text_list is None else _read_list(reading.text_list, record)
    format_ = reading.columns.format
    label: Any = None
    if reading.label is not None:
        label = _read_label(reading.label, _get(record, reading.label), reading)
    if reading.text_list is None:
        values: list[Any] = texts
    elif format_ == "lists":
        documents = [*texts[1:], *listed]
        if reading.label is None:
            given = len(texts) - 2
            label = [1.0, *[0.0] * (given + len(listed))]
        elif len(label) != len(documents):
            raise BadRecordError(
                f"there are {len(documents)} texts in {reading.text_list!r} and before it, and "
                f"{len(label)} numbers in {reading.label!r}"
            )
        values = [texts[0], documents]
    else:
        if label is not None and len(label) != len(listed) + 1:
            raise BadRecordError(
                f"there are {len(listed) + 1} texts, and {len(label)} numbers in {reading.label!r}"
            )
        label = None if label is None else label[: 1 + reading.negatives]
        values = texts + _take(listed, reading)
    if reading.columns.label is not None:
        values = [*values, label]
    return dict(zip(reading.columns.names, values, strict=True))


def _get(record: Mapping[str, Any], name: str) -> Any:
    if name not in record:
        raise BadRecordError(f"it has no {name!r}")
    return record[name]


def _read_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadRecordError(f"{name!r} is {describe_kind(value)}, and not text")
    if not value or value.isspace():
        raise BadRecordError(f"{name!r} is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRecordError(f"{name!r} has bytes or escapes that are not UTF-8") from None
    return value


def _read_list(name: str, record: Mapping[str, Any]) -> list[str]:
    value = _get(record, name)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise BadRecordError(f"{name!r} is {describe_kind(value)}, and not a list of texts")
    if not value:
        raise BadRecordError(f"{name!r} is an empty list")
    return [_read_text(name, each) for each in value]


def _take(listed: Sequence[str], reading: Reading) -> list[str]:
    """As many as a tuple has of a list of negatives: the first, or all and the first again."""
    if len(listed) < reading.negatives and reading.label is not None:
        raise BadRecordError(
            f"{reading.text_list!r} has {len(listed)} texts, and most have {reading.negatives}"
        )
    return [listed[place % len(listed)] for place in range(reading.negatives)]


def _read_label(name: str, value: Any, reading: Reading) -> Any:
    given = value
    if reading.untyped:
        value = parse_value(name, value)
    kind, want = kind_of(value), reading.label_kind
    if want == "text":
        if kind not in ("text", "integer", "number"):
            raise BadRecordError(f"{name!r} is {describe_kind(given)}, and not a class")
        # A class may be named by a number among names.
        return _read_text(name, given if isinstance(given, str) else str(given))
    if kind == "other" or kind == "texts" or (kind == "numbers") != (want == "numbers"):
        raise BadRecordError(f"{name!r} is {describe_kind(value)}, and not {_wanted(reading)}")
    if kind not in ("integer", "number", "numbers"):
        raise BadRecordError(f"{name!r} is {describe_kind(value)}, and not {_wanted(reading)}")
    if not is_finite(value):
        raise BadRecordError(f"{name!r} is not a finite number")
    _check_range(name, value if kind == "numbers" else [value], reading)
    if kind == "numbers":
        length = reading.label_length
        if reading.text_list is None and length is not None and len(value) != length:
            raise BadRecordError(f"{name!r} has {len(value)} numbers, and others have {length}")
        return [float(each) for each in value]
    if reading.columns.format in ("labelled_pairs", "classes"):
        if value != int(value):
            raise FractionError(f"{name!r} is {value}, and not an integer")
        if not -_INT64 <= value < _INT64:
            raise BadRecordError(f"{name!r} has more than 64 bits")
        return int(value)
    return float(value)


def _check_range(name: str, values: Sequence[float], reading: Reading) -> None:
    if reading.label_range is None:
        return
    least, greatest = reading.label_range
    if outside := [value for value in values if not least <= value <= greatest]:
        raise BadRecordError(
            f"{name!r} is {outside[0]:g}, and the loss takes {least:g} to {greatest:g}"
        )


def _wanted(reading: Reading) -> str:
    if reading.label_kind == "numbers":
        return "a list of numbers"
    return "an integer" if reading.label_kind == "integer" else "a number"

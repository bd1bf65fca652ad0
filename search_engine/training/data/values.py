"""What kinds of values the columns of training data hold."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from search_engine.training.data.roles import is_label_name, is_text_name

Kind: TypeAlias = Literal[
    "text", "integer", "number", "texts", "numbers", "nothing", "empty list", "other"
]


def kind_of(value: Any) -> Kind:
    """The kind of one value."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | int | np.integer | np.bool_):
        return "integer"
    if isinstance(value, float | np.floating):
        return "number"
    if isinstance(value, np.ndarray):
        return "numbers" if value.ndim == 1 and value.dtype.kind in "biuf" else "other"
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        return "other"
    kinds = {kind_of(each) for each in value}
    if not kinds:
        return "empty list"
    if kinds == {"text"}:
        return "texts"
    return "numbers" if kinds <= {"integer", "number"} else "other"


def describe_kind(value: Any) -> str:
    """The kind of a value, in words."""
    kind = kind_of(value)
    names = {"text": "text", "texts": "a list of texts", "numbers": "a list of numbers",
             "integer": "an integer", "number": "a number", "nothing": "null",
             "empty list": "an empty list"}  # fmt: skip
    return names.get(kind, f"a {type(value).__name__}")


def find_kinds(samples: Sequence[Mapping[str, Any]], *, untyped: bool) -> dict[str, Kind]:
    """By column, the kind that most of its values have; integers among numbers are numbers.

    Args:
        untyped: the values are all text, as in CSV; outside the columns that are texts by their
            names, numbers are what is written as one.
    """
    names = dict.fromkeys(name for sample in samples for name in sample)
    return {
        name: _most_common(
            kind_of(parse_value(name, sample[name]) if untyped else sample[name])
            for sample in samples
            if name in sample
        )
        for name in names
    }


def parse_value(name: str, value: Any) -> Any:
    """A cell of a table without types: a number, a list of numbers as JSON, else as it is."""
    if not isinstance(value, str) or is_text_name(name):
        return value
    for read in (int, float):
        try:
            return read(value)
        except ValueError:
            continue
    if is_label_name(name) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def is_finite(value: Any) -> bool:
    """Whether a number, or each of a list, is one that can be computed with."""
    try:
        if isinstance(value, Sequence | np.ndarray):
            return bool(np.isfinite(np.asarray(value, dtype=np.float64)).all())
        return math.isfinite(value)
    except OverflowError:
        return False


def _most_common(kinds: Iterable[Kind]) -> Kind:
    counts = Counter(kinds)
    del counts["nothing"], counts["empty list"]
    if counts["number"] and counts["integer"]:
        counts["number"] += counts.pop("integer")
    return counts.most_common(1)[0][0] if counts.total() else "nothing"

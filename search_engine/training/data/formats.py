"""What the columns of training data mean, by their names and values, and what a loss takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from search_engine.errors import TrainingDataError

Format: TypeAlias = Literal[
    "pairs",
    "tuples",
    "scored_pairs",
    "labelled_pairs",
    "classes",
    "scored_tuples",
    "lists",
    "vectors",
]
# What each format looks like, as error messages and the documentation show it.
SHAPES: Mapping[Format, str] = {
    "pairs": "(anchor, positive)",
    "tuples": "(anchor, positive, negative...)",
    "scored_pairs": "(a, b, score)",
    "labelled_pairs": "(a, b, label)",
    "classes": "(text, class)",
    "scored_tuples": "(query, positive, negative..., scores)",
    "lists": "(query, documents, scores)",
    "vectors": "(text..., vector)",
}
# A column of one of these names is what the others are to be given.
LABEL_NAMES = ("label", "labels", "score", "scores", "class", "vector")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a data set, by their part in an example.

    Attributes:
        format: what an example is.
        texts: names of the columns of texts, the anchor or query first.
        label: name of the column of labels, scores or vectors; None without one.
    """

    format: Format
    texts: tuple[str, ...]
    label: str | None


def match_columns(
    sample: Mapping[str, Any], *, wanted: Sequence[Format], loss: str, source: str
) -> Columns:
    """Which of the formats that a loss takes the columns of a data set have.

    Args:
        sample: the first example, by column.
        wanted: the formats that the loss takes, the best first.
        loss: its name, for messages.
        source: the data set, for messages.

    Raises:
        TrainingDataError: the columns have none of the formats.
    """
    labels = [name for name in sample if name.lower() in LABEL_NAMES]
    texts = tuple(name for name in sample if name not in labels)
    label = labels[0] if labels else None
    possible = _possible_formats(sample, texts, label)
    for format_ in wanted:
        if format_ in possible and len(labels) < 2:
            return Columns(format_, texts, label)
    raise TrainingDataError(
        f"{source}: {loss} wants {' or '.join(SHAPES[each] for each in wanted)}; the columns are "
        f"{', '.join(f'{name} ({_kind(value)})' for name, value in sample.items())}. Rename or "
        "choose the columns."
    )


def _possible_formats(
    sample: Mapping[str, Any], texts: Sequence[str], label: str | None
) -> set[Format]:
    kinds = [_kind(sample[name]) for name in texts]
    value = None if label is None else _kind(sample[label])
    if kinds == ["text", "texts"]:
        return {"lists"} if value == "numbers" else set()
    if not kinds or set(kinds) != {"text"}:
        return set()
    count = len(kinds)
    if value is None:
        return {2: {"pairs", "tuples"}}.get(count, {"tuples"} if count > 2 else set())  # type: ignore[return-value]
    if count == 1:
        return {"vectors"} if value == "numbers" else {"classes"}
    found: set[Format] = set()
    if value == "numbers":
        found = {"vectors"}
        if count > 2 and len(sample[label or ""]) in (count - 1, count - 2):
            found.add("scored_tuples")
    elif value in ("integer", "number"):
        if count == 2:
            found = {"scored_pairs", "labelled_pairs"} if value == "integer" else {"scored_pairs"}
        elif count == 3:
            found = {"scored_tuples"}
    return found


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, Sequence):
        if value and all(isinstance(each, str) for each in value):
            return "texts"
        return "numbers"
    return type(value).__name__

"""The formats of training data that losses take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

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

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, the label last."""
        return self.texts if self.label is None else (*self.texts, self.label)

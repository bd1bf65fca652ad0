"""Rows of one format made into another that a loss takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from search_engine.errors import TrainingDataError
from search_engine.training.data.formats import Columns, Format

Row: TypeAlias = Mapping[str, Any]
TRIPLET = ("anchor", "positive", "negative")
# The columns of what a conversion gives.
_MADE: Mapping[Format, Columns] = {
    "tuples": Columns("tuples", TRIPLET, None),
    "lists": Columns("lists", ("query", "documents"), "labels"),
    "labelled_pairs": Columns("labelled_pairs", ("query", "document"), "label"),
    "scored_pairs": Columns("scored_pairs", ("query", "document"), "score"),
}


class UnconvertedError(Exception):
    """An example makes none of the other format; the message says why."""


def columns_after(columns: Columns, target: Format) -> Columns:
    """The columns of the examples after a conversion."""
    return columns if columns.format == target else _MADE[target]


def needs_all(columns: Columns, target: Format) -> bool:
    """Whether a conversion looks at all examples together, which a stream never shows."""
    return columns.format != target and columns.format in ("classes", "labelled_pairs")


def convert(example: Row, columns: Columns, target: Format) -> Iterator[Row]:
    """The examples that one becomes.

    A document of a list that is worth more than 0 is a positive, any other text a negative. A list
    makes as many triplets as it has of the more frequent of both, so that each document is in one;
    the others come again in turn.

    Raises:
        UnconvertedError: a list has no positive or no negative, of which a triplet has one each;
            or a grade is a fraction, where labels are integers.
    """
    query, documents, grades = _as_list(example, columns)
    made = _MADE[target]
    if target == "lists":
        yield dict(zip(made.names, (query, documents, grades), strict=True))
    elif target == "tuples":
        positives = [text for text, grade in zip(documents, grades, strict=True) if grade > 0]
        # A text that was judged twice may be both.
        negatives = [
            text
            for text, grade in zip(documents, grades, strict=True)
            if grade <= 0 and text not in positives
        ]
        if not positives or not negatives:
            missing = "positive" if not positives else "negative"
            raise UnconvertedError(f"{query!r:.60} has no {missing} document")
        for turn in range(max(len(positives), len(negatives))):
            texts = (query, positives[turn % len(positives)], negatives[turn % len(negatives)])
            yield dict(zip(TRIPLET, texts, strict=True))
    else:
        whole = target == "labelled_pairs"
        if whole and any(grade != int(grade) for grade in grades):
            raise UnconvertedError(f"{query!r:.60} has grades that are no integers")
        for text, grade in zip(documents, grades, strict=True):
            value = int(grade) if whole else grade
            yield dict(zip(made.names, (query, text, value), strict=True))


def convert_all(
    rows: Any, columns: Columns, target: Format, *, seed: int
) -> Iterator[Row | UnconvertedError]:
    """The examples that all together become, and those that make none.

    Args:
        rows: a `datasets.Dataset`.
        seed: of the triplets that are drawn.
    """
    if columns.format == "classes":
        yield from triplets_of_classes(
            zip(rows[columns.texts[0]], rows[columns.label], strict=True), seed=seed
        )
        return
    pairs: list[tuple[str, str, float]] = []
    for query, document, label in zip(*(rows[name] for name in columns.names), strict=True):
        if label in (0, 1):
            pairs.append((query, document, label))
        else:
            yield UnconvertedError(f"the label of {query!r:.60} is {label}, and not 0 or 1")
    for listed in lists_of_pairs(pairs):
        if target == "lists":
            yield listed
            continue
        try:
            yield from convert(listed, _MADE["lists"], target)
        except UnconvertedError as error:
            yield error


def lists_of_pairs(pairs: Iterable[tuple[str, str, float]]) -> list[Row]:
    """Labelled pairs gathered by their first text: all its second texts with their labels.

    Returns:
        Examples (query, documents, labels), queries in the order of their first pair.
    """
    lists: dict[str, tuple[list[str], list[float]]] = {}
    for query, document, label in pairs:
        documents, labels = lists.setdefault(query, ([], []))
        documents.append(document)
        labels.append(float(label))
    return [
        {"query": query, "documents": documents, "labels": labels}
        for query, (documents, labels) in lists.items()
    ]


def triplets_of_classes(
    rows: Iterable[tuple[str, int]], *, seed: int, per_text: int = 1
) -> Iterator[Row]:
    """Triplets of texts with classes: a text, another one of its class, one of another class.

    Each text is the anchor of `per_text` triplets, with a positive and a negative that are drawn
    evenly, the same for the same seed. A text that is alone in its class is only a negative, and
    one that comes again counts once.

    Args:
        rows: (text, class).
        per_text: how many triplets begin with each text.

    Raises:
        TrainingDataError: all texts are of one class, or no class has two.
    """
    given = list(dict.fromkeys(rows))
    texts = [text for text, _ in given]
    _, classes = np.unique([label for _, label in given], return_inverse=True)
    counts = np.bincount(classes)
    if len(counts) < 2:
        raise TrainingDataError(
            "all texts are of one class, and a triplet needs a text of another; give at least two "
            "classes."
        )
    if counts.max() < 2:
        raise TrainingDataError(
            "no class has two texts, of which a triplet needs an anchor and a positive; give more."
        )
    return _draw_triplets(texts, classes, counts, seed, per_text)


def _draw_triplets(
    texts: Sequence[str], classes: Any, counts: Any, seed: int, per_text: int
) -> Iterator[Row]:
    generator = np.random.default_rng(seed)
    # Texts sorted by class: each class is one run, and all others are what lies outside of it.
    by_class = np.argsort(classes, kind="stable")
    starts = np.cumsum(counts) - counts
    for place, row in enumerate(by_class):
        first, size = starts[classes[row]], counts[classes[row]]
        if size < 2:
            continue
        for _ in range(per_text):
            positive = first + generator.integers(size - 1)
            positive += positive >= place
            negative = generator.integers(len(texts) - size)
            negative += size * (negative >= first)
            chosen = (row, by_class[positive], by_class[negative])
            yield dict(zip(TRIPLET, (texts[each] for each in chosen), strict=True))


def _as_list(example: Row, columns: Columns) -> tuple[str, list[str], list[float]]:
    query, *others = (example[name] for name in columns.texts)
    if columns.format == "lists":
        return query, list(others[0]), [float(each) for each in example[columns.label or ""]]
    if columns.format == "tuples":
        return query, others, [1.0, *[0.0] * (len(others) - 1)]
    scores = example[columns.label or ""]
    if not isinstance(scores, Sequence) or len(scores) != len(others):
        raise UnconvertedError("scores are margins, and not one for each document")
    return query, others, [float(each) for each in scores]

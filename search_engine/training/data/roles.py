"""Which part in an example a column has by custom, told by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

ANCHOR_NAMES = ("anchor", "query", "question", "sentence1", "a", "text", "sentence")
POSITIVE_NAMES = (
    "positive", "document", "answer", "passage", "response", "sentence2", "b",
)  # fmt: skip
# A column of one of these names is what the others are to be given.
LABEL_NAMES = (
    "label", "labels", "score", "scores", "class", "vector", "embedding", "similarity",
)  # fmt: skip
# What a data set keeps about its records, which nobody trains on unless it is asked for.
RECORD_NAMES = (
    "id", "idx", "index", "guid", "uid", "source", "split", "url", "lang", "language", "date",
    "timestamp",
)  # fmt: skip
_NEGATIVE = re.compile(r"negative_?(\d*)")


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns that have a part by their names.

    Attributes:
        anchor, positive: the first and the second text; None without one.
        negatives: columns of one negative each, in the order of their numbers.
        negative_list: the column of several negatives at once.
        documents: the column of all documents of a query.
        labels: columns of labels; more than one leaves open which is meant.
        others: names that say nothing, in the given order.
        records: those of `RECORD_NAMES`, and whatever ends in "_id".
    """

    anchor: str | None
    positive: str | None
    negatives: tuple[str, ...]
    negative_list: str | None
    documents: str | None
    labels: tuple[str, ...]
    others: tuple[str, ...]
    records: tuple[str, ...]


def is_text_name(name: str) -> bool:
    """Whether a column of that name holds text, or several, whatever its values look like."""
    plain = _plain(name)
    return (
        plain in (*ANCHOR_NAMES, *POSITIVE_NAMES, "negatives", "documents")
        or _NEGATIVE.fullmatch(plain) is not None
    )


def is_label_name(name: str) -> bool:
    """Whether a column of that name is what texts are to be given."""
    return _plain(name) in LABEL_NAMES


def find_roles(names: Iterable[str]) -> Roles:
    """The parts of columns, without regard to the case of letters, `-` and the order.

    Of several names for the first text, what comes later in the data is the second, where nothing
    else is: (question, sentence) is such a pair, and (query, text) is a query and its document.
    """
    names = list(names)
    plain = {name: _plain(name) for name in names}
    anchors = [name for name in names if plain[name] in ANCHOR_NAMES]
    positives = [name for name in names if plain[name] in POSITIVE_NAMES]
    # "text" and "sentence" name either; what only an anchor is called comes before them.
    anchors.sort(key=lambda name: plain[name] in ("text", "sentence"))
    if not positives and len(anchors) == 2:
        positives = [anchors.pop()]
    numbered = sorted(
        (int(match[1] or 0), name) for name in names if (match := _NEGATIVE.fullmatch(plain[name]))
    )
    negatives = tuple(name for _, name in numbered)
    labels = tuple(name for name in names if plain[name] in LABEL_NAMES)
    lists = {kind: [name for name in names if plain[name] == kind]
             for kind in ("negatives", "documents")}  # fmt: skip
    records = tuple(
        name for name in names if plain[name] in RECORD_NAMES or plain[name].endswith("_id")
    )
    known = {*anchors[:1], *positives[:1], *negatives, *labels, *records,
             *lists["negatives"], *lists["documents"]}  # fmt: skip
    return Roles(
        anchor=anchors[0] if anchors else None,
        positive=positives[0] if positives else None,
        negatives=negatives,
        negative_list=lists["negatives"][0] if lists["negatives"] else None,
        documents=lists["documents"][0] if lists["documents"] else None,
        labels=labels,
        others=tuple(name for name in names if name not in known),
        records=records,
    )


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")

"""Which format the columns of a data set have, and what is read from them for a loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_engine.errors import TrainingDataError
from search_engine.training.data.formats import SHAPES, Columns, Format
from search_engine.training.data.roles import find_roles, is_label_name
from search_engine.training.data.values import Kind, find_kinds, kind_of, parse_value

# What another format can be made into where a loss does not take it as it is.
CONVERSIONS: tuple[tuple[Format, Format], ...] = (
    ("lists", "tuples"),
    ("lists", "labelled_pairs"),
    ("lists", "scored_pairs"),
    ("tuples", "lists"),
    ("tuples", "labelled_pairs"),
    ("scored_tuples", "lists"),
    ("labelled_pairs", "tuples"),
    ("labelled_pairs", "lists"),
    ("classes", "tuples"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read from each record.

    Attributes:
        columns: of what is read, by the names that they get.
        texts: columns of the record with one text each.
        text_list: the column with several, which come after `texts`; None without one.
        label: the column of labels; None without one.
        label_kind: what kind of value it holds.
        label_length: how many numbers, where every record has as many.
        negatives: how many negatives of a list of them make a tuple.
        untyped: values are all text.
        label_range: the least and the greatest that the loss takes; None is any.
    """

    columns: Columns
    texts: tuple[str, ...]
    text_list: str | None = None
    label: str | None = None
    label_kind: Kind | None = None
    label_length: int | None = None
    negatives: int = 0
    untyped: bool = False
    label_range: tuple[float, float] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the columns of a record are what is read from it, as they are."""
        given = (*self.texts, *((self.text_list,) if self.text_list else ()))
        return (
            not self.untyped
            and self.label_kind != "text"
            and (self.columns.texts, self.columns.label) == (given, self.label)
        )


@dataclass(frozen=True, slots=True)
class Match:
    """How the columns of a data set become what a loss takes.

    Attributes:
        reading: what is read from each record.
        format: what it is made into.
        left_out: columns that are not read.
    """

    reading: Reading
    format: Format
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    """Columns that may be meant: those of one text each, one of several, one of labels."""

    texts: tuple[str, ...]
    text_list: str | None
    label: str | None


def match_columns(
    samples: Sequence[Mapping[str, Any]],
    *,
    wanted: Sequence[Format],
    loss: str,
    source: str,
    chosen: Sequence[str] = (),
    untyped: bool = False,
) -> Match:
    """How the columns of a data set become what a loss takes.

    Columns with customary names (`roles`) are put in order by them, and what has no part is left
    out. Where the names say nothing, texts count in the given order, numbers or a column named so
    are the label, and columns that number or describe records are left out. Columns that were
    chosen count in the order of the choice, all of them.

    Args:
        samples: the first records.
        wanted: the formats that the loss takes, the best first.
        loss: its name, for messages.
        source: the data set, for messages.
        chosen: columns that a person named.
        untyped: values are all text, as in CSV.

    Raises:
        TrainingDataError: the columns have none of the formats, and cannot be made into one.
    """
    kinds = find_kinds(samples, untyped=untyped)
    choices = list(dict.fromkeys(_find_choices(kinds, chosen, wanted)))
    readings = [
        reading for choice in choices for reading in _read(choice, kinds, samples, untyped=untyped)
    ]
    for want in wanted:
        for reading in readings:
            if reading.columns.format == want:
                return _match(reading, want, kinds)
    for want in wanted:
        for reading in readings:
            if _is_convertible(reading, want, samples):
                return _match(reading, want, kinds)
    labels = [name for name in kinds if is_label_name(name)]
    both = f" Several columns are labels ({', '.join(labels)})." if len(labels) > 1 else ""
    raise TrainingDataError(
        f"{source}: {loss} wants {' or '.join(SHAPES[each] for each in wanted)}; the columns are "
        f"{', '.join(f'{name} ({kind})' for name, kind in kinds.items())}.{both} Choose the "
        "columns in the order of the loss, or rename them."
    )


def _is_convertible(reading: Reading, want: Format, samples: Sequence[Mapping[str, Any]]) -> bool:
    if (reading.columns.format, want) not in CONVERSIONS:
        return False
    if reading.columns.format != "labelled_pairs":
        return True
    # Of other labels nobody knows which of them makes a positive.
    name = reading.label or ""
    labels = [parse_value(name, sample.get(name)) for sample in samples]
    # A list or an object among them is a bad record.
    return all(each in (0, 1) for each in labels if kind_of(each) in ("integer", "number", "text"))


def _match(reading: Reading, want: Format, kinds: Mapping[str, Kind]) -> Match:
    used = {*reading.texts, reading.text_list, reading.label}
    return Match(reading, want, tuple(name for name in kinds if name not in used))


def _find_choices(
    kinds: Mapping[str, Kind], chosen: Sequence[str], wanted: Sequence[Format]
) -> Iterator[_Choice]:
    if chosen:
        yield from _by_order({name: kinds[name] for name in chosen}, wanted, every=True)
        return
    roles = find_roles(kinds)
    if len(roles.labels) > 1:
        return
    label = roles.labels[0] if roles.labels else None
    if roles.anchor is not None:
        texts = [roles.anchor]
        texts += [roles.positive] if roles.positive is not None else []
        texts += roles.negatives if roles.positive is not None else ()
        whole = roles.positive is not None or roles.documents is not None
        if roles.documents is not None and roles.positive is None:
            yield _Choice(tuple(texts), roles.documents, label)
        if whole and kinds.get(roles.documents or roles.positive or "") == "texts":
            # "positive" or "answer" may hold the documents of a query.
            yield _Choice((roles.anchor,), roles.documents or roles.positive, label)
        if whole or label is not None:
            yield _Choice(tuple(texts), roles.negative_list, label)
        if whole:
            return
    left = {name: kind for name, kind in kinds.items() if name not in roles.records}
    yield from _by_order(left, wanted, every=False)


def _by_order(
    kinds: Mapping[str, Kind], wanted: Sequence[Format], *, every: bool
) -> Iterator[_Choice]:
    """Choices of columns whose names say nothing: texts in their order, and a label."""
    texts = [n for n, kind in kinds.items() if kind == "text" and not is_label_name(n)]
    lists = [n for n, kind in kinds.items() if kind == "texts" and not is_label_name(n)]
    numbers = [n for n, kind in kinds.items() if kind in ("integer", "number", "numbers")]
    named = [n for n in kinds if is_label_name(n)]
    labels = named or numbers
    if len(lists) > 1 or len(labels) > 1:
        return
    text_list = lists[0] if lists else None
    if labels:
        yield _Choice(tuple(texts), text_list, labels[0])
    elif "classes" in wanted and len(texts) == 2 and not {"pairs", "tuples"} & set(wanted):
        yield _Choice((texts[0],), None, texts[1])
    # A number that nothing calls a label is left out, unless it was chosen.
    if not named and not (every and labels):
        yield _Choice(tuple(texts), text_list, None)


def _read(
    choice: _Choice,
    kinds: Mapping[str, Kind],
    samples: Sequence[Mapping[str, Any]],
    *,
    untyped: bool,
) -> Iterator[Reading]:
    """What columns can be read as."""
    texts, label = choice.texts, choice.label
    kind = None if label is None else kinds[label]
    if any(kinds[name] not in ("text", "nothing") for name in texts) and not _are_read_as_text(
        texts, kinds, untyped=untyped
    ):
        return

    def reading(format_: Format, names: Sequence[str], named: str | None, **more: Any) -> Reading:
        return Reading(
            Columns(format_, tuple(names), named), texts, choice.text_list, label, kind,
            untyped=untyped, **more,
        )  # fmt: skip

    if choice.text_list is not None:
        if kinds[choice.text_list] != "texts":
            return
        if len(texts) == 1 and kind == "numbers":
            yield reading("lists", (*texts, choice.text_list), label)
        elif len(texts) >= 2 and kind in (None, "numbers"):
            count = _usual_length(samples, choice.text_list)
            names = (*texts, *(f"negative_{n + len(texts) - 1}" for n in range(count)))
            grades = "labels" if label is None else label
            if label is None and count:
                yield reading("tuples", names, None, negatives=count)
            elif label is not None and count and len(texts) == 2:
                yield reading(
                    "scored_tuples", names, label, negatives=count, label_length=1 + count
                )
            yield reading("lists", (texts[0], choice.text_list), grades)
        return
    length: int | None = None
    if kind == "numbers" and label is not None:
        length = _usual_length(samples, label, untyped=untyped)
    for format_ in _formats(len(texts), kind, length):
        yield reading(format_, texts, label, label_length=length)


def _are_read_as_text(texts: Sequence[str], kinds: Mapping[str, Kind], *, untyped: bool) -> bool:
    # Where values have no types, a text may look like a number.
    return untyped and all(kinds[name] in ("text", "integer", "number") for name in texts)


def _formats(count: int, label: Kind | None, length: int | None) -> tuple[Format, ...]:
    """The formats of so many columns of one text each and a label of that kind."""
    if label is None and count > 1:
        return ("pairs",) if count == 2 else ("tuples",)
    if label is None or count == 0:
        return ()
    if label == "numbers":
        scored = count > 2 and length in (count - 1, count - 2)
        return ("vectors", "scored_tuples") if scored else ("vectors",)
    if count == 1:
        return ("classes",) if label in ("integer", "text") else ()
    if count == 2:
        possible: Mapping[str, tuple[Format, ...]] = {
            "integer": ("scored_pairs", "labelled_pairs"),
            "number": ("scored_pairs",),
            "text": ("labelled_pairs",),
        }
        return possible.get(label, ())
    return ("scored_tuples",) if count == 3 and label in ("integer", "number") else ()


def _usual_length(
    samples: Sequence[Mapping[str, Any]], column: str, *, untyped: bool = False
) -> int:
    """How many values most of the lists of a column have; 0 where none has any."""
    values: list[Any] = [sample.get(column) for sample in samples]
    if untyped:
        values = [parse_value(column, value) for value in values]
    lists = (value for value in values if kind_of(value) in ("texts", "numbers"))
    lengths = Counter(map(len, lists))
    return lengths.most_common(1)[0][0] if lengths else 0

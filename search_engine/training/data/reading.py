"""All examples of a source: checked, made into what a loss takes, in a table or one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from search_engine.errors import ReadError, TrainingDataError
from search_engine.training.data.conversions import (
    UnconvertedError,
    columns_after,
    convert,
    convert_all,
    needs_all,
)
from search_engine.training.data.formats import Format
from search_engine.training.data.matching import Match
from search_engine.training.data.problems import Problems
from search_engine.training.data.records import BadRecordError, FractionError, read_record
from search_engine.training.data.sources import Source
from search_engine.training.data.tables import Table, make_table, number_classes

Chosen: TypeAlias = Sequence[str] | Mapping[str, str]

# From so many records the format is told.
_SAMPLE = 1000
_SPLITS = ("train", "training", "dev", "validation", "valid", "val", "test", "eval")


def read_samples(
    source: Source, chosen: Chosen, *, name: str, split: str
) -> list[Mapping[str, Any]]:
    """The first records of a split that can be read.

    Raises:
        TrainingDataError: there is none, or none has a column that was chosen.
    """
    problems: list[ReadError] = []
    samples: list[Mapping[str, Any]] = []
    columns: dict[str, None] = {}
    others: dict[str, None] = {}
    for item in source.read():
        if isinstance(item, ReadError):
            problems.append(item)
            continue
        columns |= dict.fromkeys(item[1])
        if (other := find_other_split(item[1], chosen, split)) is not None:
            others[other] = None
            continue
        samples.append(_select(item[1], chosen))
        if len(samples) == _SAMPLE:
            break
    if others and not samples:
        raise TrainingDataError(
            f"{name}: the column split has {', '.join(others)}, and no {split!r}; choose a "
            "split that is there."
        )
    if not samples:
        first = f"; the first problem: {problems[0]}" if problems else ""
        raise TrainingDataError(f"{name}: there is no record in it that can be read{first}.")
    missing = [each for each in chosen if each not in columns]
    if missing:
        raise TrainingDataError(
            f"{name}: there is no column {missing[0]!r}; the columns are {', '.join(columns)}."
        )
    return samples


class ExampleReader:
    """The examples of a source, again and again; what makes none is counted the first time.

    Args:
        source: the records.
        match: how they become examples.
        chosen: columns that a person named.
        name: of the training set, for messages.
        split: the only one that is read, where a column says of which each record is.
        seed: of what is drawn when texts with classes are made into triplets.

    Attributes:
        problems: the records that made no example so far.
        other_splits: how many records of each other split were met.
    """

    def __init__(
        self, source: Source, match: Match, chosen: Chosen, *, name: str, split: str, seed: int
    ) -> None:
        self.problems = Problems()
        self.other_splits: Counter[str] = Counter()
        self._split = split
        self._source = source
        self._match = match
        self._chosen = chosen
        self._name = name
        self._seed = seed
        self._seen = 0

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for place, number, example in self._read():
            if self._match.reading.columns.format == self._match.format:
                yield example
                continue
            try:
                yield from convert(example, self._match.reading.columns, self._match.format)
            except UnconvertedError as error:
                self._report(place, number, str(error))

    def read_all(self, *, wanted: Sequence[Format]) -> tuple[Table, Match, tuple[str, ...]]:
        """All examples as a table, how they were made, and the names of classes by their numbers.

        Where a label turns out to be a fraction after integers, and the loss takes scores, all are
        scores.

        Args:
            wanted: the formats that the loss takes.

        Raises:
            TrainingDataError: no record makes an example.
        """
        try:
            return self._read_table(scores_allowed="scored_pairs" in wanted)
        except FractionError:
            columns = replace(self._match.reading.columns, format="scored_pairs")
            reading = replace(self._match.reading, columns=columns, label_kind="number")
            self._match = replace(self._match, reading=reading, format="scored_pairs")
            self.problems = Problems()
            self.other_splits.clear()
            self._seen = 0
            return self._read_table(scores_allowed=False)

    def _read_table(self, *, scores_allowed: bool) -> tuple[Table, Match, tuple[str, ...]]:
        match, columns = self._match, self._match.reading.columns
        whole = needs_all(columns, match.format)
        if (
            self._source.table is not None
            # Renamed columns are not those of the table.
            and not isinstance(self._chosen, Mapping)
            and match.reading.is_plain
            and columns.format == match.format
        ):
            good = [number - 1 for _, number, _ in self._read(scores_allowed=scores_allowed)]
            table = self._source.table.select_columns(list(columns.names))
            table = table if len(good) == len(table) else table.select(good)
        elif whole or columns.format == match.format:
            rows = (example for _, _, example in self._read(scores_allowed=scores_allowed))
            table = make_table(rows, columns, named=match.reading.label_kind == "text")
        else:
            table = make_table(self, columns_after(columns, match.format))
        if not whole or not len(table):
            self._check(table)
        classes: tuple[str, ...] = ()
        if match.reading.label_kind == "text" and columns.label is not None:
            table, classes = number_classes(table, columns.label)
        if whole:
            table = make_table(self._convert_all(table), columns_after(columns, match.format))
            self._check(table)
            classes = ()
        return table, match, classes

    def _convert_all(self, table: Table) -> Iterator[Mapping[str, Any]]:
        match = self._match
        try:
            for made in convert_all(table, match.reading.columns, match.format, seed=self._seed):
                if isinstance(made, UnconvertedError):
                    self.problems.add(ReadError(self._source.place, str(made)))
                else:
                    yield made
        except TrainingDataError as error:
            raise TrainingDataError(f"{self._name}: {error}") from error

    def _read(self, *, scores_allowed: bool = False) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Examples before any conversion, each with its place among all records and its number.

        Several records may stand in one line, and have one number.
        """
        for place, item in enumerate(self._source.read(), start=1):
            if isinstance(item, ReadError):
                if place > self._seen:
                    self.problems.add(item)
            elif (other := find_other_split(item[1], self._chosen, self._split)) is not None:
                self.other_splits[other] += place > self._seen
            else:
                number, record = item
                try:
                    example = read_record(_select(record, self._chosen), self._match.reading)
                except BadRecordError as error:
                    if scores_allowed and isinstance(error, FractionError):
                        raise
                    self._report(place, number, str(error))
                else:
                    yield place, number, example
            self._seen = max(self._seen, place)

    def _report(self, place: int, number: int, reason: str) -> None:
        if place <= self._seen:
            return
        if self._source.has_lines:
            problem = ReadError(self._source.place, reason, line=number)
        else:
            problem = ReadError(self._source.place, f"row {number}: {reason}")
        self.problems.add(problem)

    def _check(self, table: Table) -> None:
        if len(table):
            return
        first = next(iter(self.problems), None)
        raise TrainingDataError(
            f"{self._name}: none of its {len(self.problems)} records makes an example"
            f"{'' if first is None else f'; the first: {first}'}. Mend or choose the columns."
        )


def find_other_split(record: Mapping[str, Any], chosen: Chosen, split: str) -> str | None:
    """The split that a record says it is of, where it is another; None where it says none.

    What a column named split holds counts as one if it is the name of a customary split.
    """
    value = record.get("split")
    if value == split or not isinstance(value, str) or "split" in chosen:
        return None
    return value if value.lower() in _SPLITS else None


def _select(record: Mapping[str, Any], chosen: Chosen) -> Mapping[str, Any]:
    if not chosen:
        return record
    if isinstance(chosen, Mapping):
        return {new: record[old] for old, new in chosen.items() if old in record}
    return {name: record[name] for name in chosen if name in record}

"""Training sets: where examples come from, and the loss that is computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from logging import getLogger
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.data.conversions import columns_after, needs_all
from search_engine.training.data.formats import SHAPES, Columns
from search_engine.training.data.matching import Match, match_columns
from search_engine.training.data.problems import Problems
from search_engine.training.data.reading import ExampleReader, read_samples
from search_engine.training.data.sources import open_source
from search_engine.training.losses.loss import Loss

log = getLogger(__name__)

Sampling: TypeAlias = Literal["shuffle", "no_duplicates", "group_by_label"]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Examples and the loss that is computed from them.

    Attributes:
        source: a JSONL, JSON, CSV, TSV or Parquet file (plain or .gz), a folder that `datasets`
            saved, the name of a data set on the hub ("owner/name" or "owner/name:subset"), or a
            `datasets.Dataset`, `IterableDataset` or dictionary of splits.
        loss: what is to be made small.
        name: what logs call it; None is the source's own.
        columns: those that are used, in the order that the loss takes them, or a mapping from their
            names to those that say what they are (such as {"frage": "query"}); none is all whose
            part is known.
        prompts: by column, put before each of its texts; a column without one has the prompt that
            the checkpoint gives queries or documents.
        sampling: "shuffle"; "no_duplicates" lets no text stand twice in a batch, where it would be
            its own negative (of one process; with negatives of all processes it may still be);
            "group_by_label" has at least two of each class in a batch.
        split: of a data set with several, or of a file whose column `split` says of which each
            record is.
        streaming: read the source while training, never whole; needs `max_steps`.
    """

    source: Any
    loss: Loss
    name: str | None = None
    columns: Sequence[str] | Mapping[str, str] = ()
    prompts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    sampling: Sampling = "shuffle"
    split: str = "train"
    streaming: bool = False


@dataclass(frozen=True, slots=True)
class OpenedSet:
    """A training set, read and fitted to its loss.

    Attributes:
        name: unique among the sets of a run.
        columns: which column has which part in an example.
        rows: a `datasets.Dataset`; where the set streams, an iterable of examples.
        origin: its training set; prompts are by the names in `columns`.
        streams: whether rows come one by one, and nobody knows how many.
        size: how many examples there are; None where nobody knows.
        problems: the records that make no example.
        left_out: columns of the source that are not used.
        classes: names of the classes by their numbers; empty where the data has numbers.
        notes: what was decided about the data, in sentences for the person who gave it.
    """

    name: str
    columns: Columns
    rows: Any
    origin: TrainingSet
    streams: bool = False
    size: int | None = None
    problems: Problems = field(default_factory=Problems)
    left_out: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def open_training_sets(
    training_sets: Sequence[TrainingSet], *, offline: bool = False, seed: int = 0
) -> list[OpenedSet]:
    """Read training sets; a name that comes again gets a number.

    Raises:
        TrainingDataError: one cannot be read, is empty, or is not what its loss takes.
    """
    opened: list[OpenedSet] = []
    for training_set in training_sets:
        one = open_training_set(training_set, offline=offline, seed=seed)
        names = {each.name for each in opened}
        name, number = one.name, 1
        while name in names:
            number += 1
            name = f"{one.name}-{number}"
        opened.append(replace(one, name=name))
    numbered = [each for each in opened if each.classes]
    for one, other in pairwise(numbered):
        if one.classes != other.classes and one.origin.loss is other.origin.loss:
            raise TrainingDataError(
                f"{one.name} has the classes {', '.join(one.classes[:10])}, and {other.name} "
                f"{', '.join(other.classes[:10])}, so that their numbers mean others in one loss; "
                "number the labels yourself."
            )
    return opened


def open_training_set(
    training_set: TrainingSet, *, offline: bool = False, seed: int = 0
) -> OpenedSet:
    """Read a training set and find its format.

    A bad record is among the problems, and no reason to stop.

    Args:
        offline: never ask the network.
        seed: of what is drawn where texts with classes are made into triplets.

    Raises:
        TrainingDataError: it cannot be read, has no good record, or its columns are not what its
            loss takes.
    """
    source = open_source(
        training_set.source,
        split=training_set.split,
        streaming=training_set.streaming,
        offline=offline,
    )
    name = _name(training_set)
    _check_losses_and_sampling(training_set, name)
    split = training_set.split
    samples = read_samples(source, training_set.columns, name=name, split=split)
    chosen = training_set.columns
    match = match_columns(
        samples,
        wanted=training_set.loss.formats,
        loss=type(training_set.loss).__name__,
        source=name,
        chosen=() if isinstance(chosen, Mapping) else tuple(chosen),
        untyped=source.untyped,
    )
    label_range = training_set.loss.label_range
    match = replace(match, reading=replace(match.reading, label_range=label_range))
    columns = columns_after(match.reading.columns, match.format)
    origin = replace(training_set, prompts=_prompts_after(training_set.prompts, match, name))
    reader = ExampleReader(
        source, match, training_set.columns, name=name, split=split, seed=seed
    )  # fmt: skip
    notes = _notes(match, columns)
    if source.endless:
        if needs_all(match.reading.columns, match.format) or match.reading.label_kind == "text":
            raise TrainingDataError(
                f"{name}: to make {SHAPES[match.reading.columns.format]} into what the loss takes, "
                "all of it has to be read; leave streaming out, or convert it before."
            )
        if training_set.sampling == "group_by_label":
            raise TrainingDataError(
                f"{name}: group_by_label has to see all labels; leave streaming out."
            )
        _log(name, notes)
        return OpenedSet(
            name, columns, reader, origin, streams=True, size=source.size,
            problems=reader.problems, left_out=match.left_out, notes=notes,
        )  # fmt: skip
    table, match, classes = reader.read_all(wanted=training_set.loss.formats)
    columns = columns_after(match.reading.columns, match.format)
    notes = _notes(match, columns)
    if classes and label_range is not None and len(classes) > label_range[1] + 1:
        raise TrainingDataError(
            f"{name}: there are {len(classes)} classes ({', '.join(classes[:10])}), and "
            f"{type(training_set.loss).__name__} takes {label_range[1] + 1:g}."
        )
    if classes:
        numbered = ", ".join(f"{number} is {each!r}" for number, each in enumerate(classes[:10]))
        more = ", ..." if len(classes) > 10 else ""
        notes = (*notes, f"{len(classes)} classes were numbered: {numbered}{more}.")
    if reader.other_splits:
        others = ", ".join(f"{each} {count}" for each, count in reader.other_splits.items())
        notes = (*notes, f"records of other splits than {split!r} are not used: {others}.")
    if reader.problems:
        first = next(iter(reader.problems))
        notes = (
            *notes,
            f"{len(reader.problems)} records, or groups of them, make no example; the first: "
            f"{first}.",
        )
    _log(name, notes)
    return OpenedSet(
        name, columns, table, origin, size=len(table), problems=reader.problems,
        left_out=match.left_out, classes=classes, notes=notes,
    )  # fmt: skip


def _name(training_set: TrainingSet) -> str:
    if training_set.name is not None:
        return training_set.name
    source = training_set.source
    return Path(source).name if isinstance(source, str | Path) else "data"


def _check_losses_and_sampling(training_set: TrainingSet, name: str) -> None:
    if not isinstance(training_set.loss, Loss):
        raise ConfigError(
            f"{name}: the loss is {training_set.loss!r}, and not a loss that was made."
        )
    if training_set.sampling not in ("shuffle", "no_duplicates", "group_by_label"):
        raise ConfigError(
            f"{name}: there is no sampling {training_set.sampling!r}; choose shuffle, "
            "no_duplicates or group_by_label."
        )
    if not training_set.loss.formats:
        raise ConfigError(f"{name}: {type(training_set.loss).__name__} names no format it takes.")


def _prompts_after(prompts: Mapping[str, str], match: Match, name: str) -> Mapping[str, str]:
    """Prompts by the columns of the examples that are made.

    Raises:
        TrainingDataError: there is no text column of that name.
    """
    reading = match.reading
    given = (*reading.texts, *((reading.text_list,) if reading.text_list else ()))
    unknown = [each for each in prompts if each not in given]
    if unknown:
        raise TrainingDataError(
            f"{name}: a prompt is for the column {unknown[0]!r}; texts are in {', '.join(given)}."
        )
    # A column of lists is the last, and all further columns are made of it; of classes, all are
    # made of the one.
    made = columns_after(reading.columns, match.format).texts
    return {
        column: prompts[given[min(place, len(given) - 1)]]
        for place, column in enumerate(made)
        if given[min(place, len(given) - 1)] in prompts
    }


def _notes(match: Match, columns: Columns) -> tuple[str, ...]:
    reading = match.reading
    notes = []
    if match.left_out:
        notes.append(f"columns that are not used: {', '.join(match.left_out)}.")
    if reading.columns.format != match.format:
        notes.append(
            f"{SHAPES[reading.columns.format]} is made into {SHAPES[match.format]}, "
            f"of {', '.join(reading.columns.names)}."
        )
    if reading.negatives and len(columns.texts) == len(reading.columns.texts):
        notes.append(
            f"of each list {reading.text_list!r}, {reading.negatives} are negatives: the first, or "
            "where there are fewer, some of them again."
        )
    return tuple(notes)


def _log(name: str, notes: Sequence[str]) -> None:
    for note in notes:
        log.info("%s: %s", name, note)

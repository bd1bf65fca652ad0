"""Which examples make a batch, and in what order the batches come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from logging import getLogger
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.data.sampling import (
    Step,
    fit_steps,
    labelled_steps,
    shuffled_steps,
    text_key,
    unique_steps,
)
from search_engine.training.data.training_set import OpenedSet

log = getLogger(__name__)

Mixing: TypeAlias = Literal["proportional", "round_robin"]
# (number of the set, row in it)
Place: TypeAlias = tuple[int, int]
# (number of the set, row in it, what is in its columns)
Example: TypeAlias = tuple[int, int, Mapping[str, Any]]

_READ = 4096


class Examples(Dataset[Any]):
    """The examples of several sets, by set and row."""

    def __init__(self, sets: Sequence[OpenedSet]) -> None:
        self.sets = sets

    def __len__(self) -> int:
        """How many there are; a `TypeError` where a set streams, as torch has it."""
        return sum(len(each.rows) for each in self.sets)

    def __getitems__(self, places: Sequence[Place]) -> list[Example]:
        """The examples of one batch, which are all of one set."""
        number = places[0][0]
        rows = [row for _, row in places]
        columns = self.sets[number].rows[rows]
        return [
            (number, row, {name: values[position] for name, values in columns.items()})
            for position, row in enumerate(rows)
        ]


class SetPlan:
    """The batches of one set, by epoch: as many in each, the same for the same seed and epoch.

    Args:
        number: of the set among those of a run.
        processes: that compute batches at the same time, of the same size each.
    """

    def __init__(
        self, opened: OpenedSet, number: int, *, batch_size: int, processes: int, seed: int
    ) -> None:
        self._opened = opened
        self._seed = (seed, number)
        self._steps = self._sampler(batch_size=batch_size, processes=processes)
        # Which texts meet differs from epoch to epoch, and so do the batches without duplicates.
        self._count: int | None = None
        if opened.origin.sampling == "no_duplicates":
            self._count = len(self._steps(generator=self._generator(0)))

    def steps(self, epoch: int) -> list[Step[int]]:
        """The rows of each batch of each step.

        Raises:
            TrainingDataError: there is not one batch for each process.
        """
        steps = self._steps(generator=self._generator(epoch))
        if self._count is not None:
            steps = fit_steps(steps, self._count)
        pairs = self._opened.columns.format == "pairs"
        if steps and pairs and all(len(batch) < 2 for step in steps for batch in step):
            raise TrainingDataError(
                f"{self._opened.name}: no two examples can share a batch, so that none has a "
                "negative; its texts are too much the same for the sampling "
                f"{self._opened.origin.sampling!r}."
            )
        if not steps:
            raise TrainingDataError(
                f"{self._opened.name}: {len(self._opened.rows)} examples make no batch for each "
                "process; give more data, or fewer processes."
            )
        return steps

    def _generator(self, epoch: int) -> np.random.Generator:
        seed, number = self._seed
        return np.random.default_rng((seed, epoch, number))

    def _sampler(self, *, batch_size: int, processes: int) -> Callable[..., list[Step[int]]]:
        opened = self._opened
        common: Any = {"batch_size": batch_size, "processes": processes}
        if opened.origin.sampling == "no_duplicates":
            return partial(unique_steps, len(opened.rows), _read_keys(opened), **common)
        if opened.origin.sampling == "group_by_label":
            return partial(labelled_steps, _read_labels(opened), **common)
        return partial(shuffled_steps, len(opened.rows), **common)


class BatchPlan(Sampler[list[Place]]):
    """The batches of an epoch, each of one set, the same for the same seed and epoch.

    What is computed at the same time by several processes is of the same set, and as many examples
    each, as losses that compare with the vectors of all processes need it.

    Args:
        batch_size: examples in a batch; the last of a set may have fewer, or one more.
        mixing: "proportional" draws the sets at random by their sizes until all are used up;
            "round_robin" takes one after the other until the first is used up.
        rank, processes: this process takes the batch of that number of each step.

    Attributes:
        left_out: by the names of sets, how many of their examples are in no batch of the epoch.

    Raises:
        TrainingDataError: a set has too few examples for its sampling.
        ConfigError: a set has no labels, and its sampling is "group_by_label".
    """

    def __init__(
        self,
        sets: Sequence[OpenedSet],
        *,
        batch_size: int,
        mixing: Mixing,
        seed: int,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.batch_size = batch_size
        self.left_out: Mapping[str, int] = MappingProxyType({})
        self._sets = sets
        self._plans = [
            SetPlan(each, number, batch_size=batch_size, processes=processes, seed=seed)
            for number, each in enumerate(sets)
        ]
        self._mixing = mixing
        self._seed = seed
        self._rank = rank
        self._processes = processes
        self._epoch = 0
        self._planned: tuple[int, list[list[Place]]] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Plan another epoch from now on."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._plan())

    def __iter__(self) -> Iterator[list[Place]]:
        yield from self._plan()

    def _plan(self) -> list[list[Place]]:
        if self._planned is None or self._planned[0] != self._epoch:
            self._planned = (self._epoch, self._make_plan())
        return self._planned[1]

    def _make_plan(self) -> list[list[Place]]:
        sets = [plan.steps(self._epoch) for plan in self._plans]
        generator = np.random.default_rng((self._seed, self._epoch, len(sets)))
        turns = mix([len(steps) for steps in sets], mixing=self._mixing, generator=generator)
        iterators = [iter(steps) for steps in sets]
        mixed = [(owner, next(iterators[owner])) for owner in turns]
        self._count_left_out(mixed)
        return [[(owner, row) for row in step[self._rank]] for owner, step in mixed]

    def _count_left_out(self, mixed: Sequence[tuple[int, Step[int]]]) -> None:
        used = [0] * len(self._sets)
        for owner, step in mixed:
            used[owner] += sum(map(len, step))
        self.left_out = MappingProxyType({
            each.name: len(each.rows) - count
            for each, count in zip(self._sets, used, strict=True)
            if count < len(each.rows)
        })  # fmt: skip
        for name, count in self.left_out.items():
            log.info("%s: epoch %d leaves out %d examples", name, self._epoch + 1, count)


def mix(counts: Sequence[int], *, mixing: Mixing, generator: np.random.Generator) -> list[int]:
    """Which set each step is of, of sets with so many steps."""
    if mixing == "round_robin":
        return list(range(len(counts))) * min(counts)
    owners = np.repeat(np.arange(len(counts)), counts)
    generator.shuffle(owners)
    return [int(owner) for owner in owners]


def keys_of(texts: Sequence[Any]) -> list[int]:
    """The keys of all texts of an example, each once; a list of documents has one for each."""
    flat = (each for text in texts for each in ([text] if isinstance(text, str) else text))
    return list(dict.fromkeys(map(text_key, flat)))


def _read_keys(opened: OpenedSet) -> Callable[[int], Sequence[int]]:
    """The keys of the texts of each row, without the texts."""
    ends, keys = [0], []
    for chunk in opened.rows.select_columns(list(opened.columns.texts)).iter(_READ):
        for texts in zip(*(chunk[name] for name in opened.columns.texts), strict=True):
            keys += keys_of(texts)
            ends.append(len(keys))
    flat = np.asarray(keys, dtype=np.int64)

    def keys_at(row: int) -> Sequence[int]:
        found: list[int] = flat[ends[row] : ends[row + 1]].tolist()
        return found

    return keys_at


def _read_labels(opened: OpenedSet) -> NDArray[Any]:
    label = opened.columns.label
    if label is None or opened.columns.format not in ("classes", "labelled_pairs"):
        raise ConfigError(
            f"{opened.name}: group_by_label wants examples with a class, and these are "
            f"{opened.columns.format}; choose another sampling."
        )
    return np.asarray(opened.rows[label][:])

"""Which examples make a batch, and in what order the batches come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from torch.utils.data import Dataset, Sampler

from search_engine.training.data.training_set import OpenedSet

Mixing: TypeAlias = Literal["proportional", "round_robin"]
# (number of the set, row in it)
Place: TypeAlias = tuple[int, int]


class Examples(Dataset[Any]):
    """The examples of several sets, by set and row."""

    def __init__(self, sets: Sequence[OpenedSet]) -> None:
        self.sets = sets

    def __len__(self) -> int:
        return sum(len(each.rows) for each in self.sets)

    def __getitems__(self, places: Sequence[Place]) -> list[tuple[int, int, dict[str, Any]]]:
        """The examples of one batch, which are all of one set."""
        number = places[0][0]
        rows = [row for _, row in places]
        columns = self.sets[number].rows[rows]
        return [
            (number, row, {name: values[position] for name, values in columns.items()})
            for position, row in enumerate(rows)
        ]


class BatchPlan(Sampler[list[Place]]):
    """The batches of an epoch, each of one set, the same for the same seed and epoch.

    Args:
        batch_size: examples in a batch; the last of a set may have fewer.
        mixing: "proportional" draws the sets at random by their sizes until all are used up;
            "round_robin" takes one after the other until the first is used up.
        rank, processes: this process takes each `processes`-th batch; what does not go round is
            left out.
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
        self._sets = sets
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
        generator = np.random.default_rng((self._seed, self._epoch))
        batches = [self._batches_of(number, generator) for number in range(len(self._sets))]
        if self._mixing == "round_robin":
            shortest = min(map(len, batches))
            mixed = [each[turn] for turn in range(shortest) for each in batches]
        else:
            owners = np.repeat(np.arange(len(batches)), [len(each) for each in batches])
            generator.shuffle(owners)
            iterators = [iter(each) for each in batches]
            mixed = [next(iterators[owner]) for owner in owners]
        whole = len(mixed) - len(mixed) % self._processes
        return mixed[self._rank : whole : self._processes]

    def _batches_of(self, number: int, generator: np.random.Generator) -> list[list[Place]]:
        order = generator.permutation(len(self._sets[number].rows))
        size = self.batch_size
        return [
            [(number, int(row)) for row in order[start : start + size]]
            for start in range(0, len(order), size)
        ]

"""Batches of sets that are read while training goes on, and are never whole in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from search_engine.errors import TrainingDataError
from search_engine.training.data.batches import Example, Mixing, SetPlan, keys_of
from search_engine.training.data.sampling import Step, split_steps, unique_batches
from search_engine.training.data.training_set import OpenedSet

# So many examples of a stream are shuffled at a time, and at most so many wait for a batch that has
# none of their texts.
BUFFER = 10_000


class ExampleStream(IterableDataset[list[Example]]):
    """The batches of sets of which at least one streams, without end.

    Each epoch reads the sets from their beginning, in another order for another seed or epoch. An
    epoch is mixed as `BatchPlan` mixes; "proportional" draws sets by their sizes where all are
    known, else all alike. Every process and worker reads everything and takes what is its own: the
    batches of a step are of one set, disjoint, and of the same size.

    Args:
        batch_size: examples in a batch; the last of a set in an epoch may have fewer, or one more.
        rank, processes: this process takes the batch of that number of each step.
        buffer: examples that are shuffled at a time.

    Raises:
        TrainingDataError: while iterating: a set makes no batch.
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
        buffer: int = BUFFER,
    ) -> None:
        self.sets = sets
        self._batch_size = batch_size
        self._mixing = mixing
        self._seed = seed
        self._rank = rank
        self._processes = processes
        self._buffer = buffer
        self._plans = {
            number: SetPlan(each, number, batch_size=batch_size, processes=processes, seed=seed)
            for number, each in enumerate(sets)
            if not each.streams
        }

    def __iter__(self) -> Iterator[list[Example]]:
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for turn, step in enumerate(self._steps()):
            if turn % workers == number:
                yield step[self._rank]

    def _steps(self) -> Iterator[Step[Example]]:
        epoch = 0
        while True:
            iterators = [self._steps_of(number, epoch) for number in range(len(self.sets))]
            generator = np.random.default_rng((self._seed, epoch, len(self.sets)))
            turns = self._mix_in_turn if self._mixing == "round_robin" else self._mix_by_size
            yield from turns(iterators, generator)
            epoch += 1

    def _mix_in_turn(
        self,
        iterators: Sequence[Iterator[Step[Example]]],
        generator: np.random.Generator,  # noqa: ARG002
    ) -> Iterator[Step[Example]]:
        while True:
            steps = [next(each, None) for each in iterators]
            for step in steps:
                if step is None:
                    return
            yield from (step for step in steps if step is not None)

    def _mix_by_size(
        self, iterators: Sequence[Iterator[Step[Example]]], generator: np.random.Generator
    ) -> Iterator[Step[Example]]:
        sizes = [each.size for each in self.sets]
        weights = np.array([1 if None in sizes else size for size in sizes], dtype=np.float64)
        while weights.any():
            chosen = generator.choice(len(weights), p=weights / weights.sum())
            step = next(iterators[chosen], None)
            if step is None:
                weights[chosen] = 0
            else:
                yield step

    def _steps_of(self, number: int, epoch: int) -> Iterator[Step[Example]]:
        opened = self.sets[number]
        if number in self._plans:
            for rows in self._plans[number].steps(epoch):
                yield [self._fetch(number, batch) for batch in rows]
            return
        generator = np.random.default_rng((self._seed, epoch, number))
        examples = shuffle_in_buffer(
            ((number, row, example) for row, example in enumerate(opened.rows)),
            size=self._buffer,
            generator=generator,
        )
        is_empty = True
        for step in self._cut(opened, examples):
            is_empty = False
            yield step
        if is_empty:
            raise TrainingDataError(
                f"{opened.name}: its examples make no batch for each process; give more data, or "
                "fewer processes."
            )

    def _cut(self, opened: OpenedSet, examples: Iterable[Example]) -> Iterator[Step[Example]]:
        if opened.origin.sampling == "shuffle":
            yield from split_steps(
                examples, batch_size=self._batch_size, processes=self._processes
            )  # fmt: skip
            return
        texts = opened.columns.texts
        batches = unique_batches(
            examples,
            lambda example: keys_of([example[2][name] for name in texts]),
            batch_size=self._batch_size,
            most_waiting=self._buffer,
        )
        step: Step[Example] = []
        for batch in batches:
            if len(batch) == 1 and self._batch_size > 1:
                continue
            step.append(batch)
            if len(step) == self._processes:
                size = min(map(len, step))
                yield [each[:size] for each in step]
                step = []

    def _fetch(self, number: int, rows: Sequence[int]) -> list[Example]:
        columns = self.sets[number].rows[list(rows)]
        return [
            (number, row, {name: values[position] for name, values in columns.items()})
            for position, row in enumerate(rows)
        ]


def shuffle_in_buffer(
    items: Iterable[Example], *, size: int, generator: np.random.Generator
) -> Iterator[Example]:
    """Items in random order, as far as so many at a time can be mixed; each exactly once."""
    buffer: list[Example] = []
    for item in items:
        if len(buffer) < size:
            buffer.append(item)
            continue
        place = int(generator.integers(size))
        buffer[place], item = item, buffer[place]
        yield item
    yield from (buffer[place] for place in generator.permutation(len(buffer)))

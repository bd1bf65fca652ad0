"""Which examples of one set stand in a batch together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import TrainingDataError

T = TypeVar("T")
# The batches that the processes compute at the same time, one each, all of the same size.
Step: TypeAlias = list[list[T]]
# What of an example must not stand in another one of the batch.
Keys: TypeAlias = Callable[[T], Sequence[int]]


def shuffled_steps(
    count: int, *, batch_size: int, processes: int, generator: np.random.Generator
) -> list[Step[int]]:
    """All rows in random order.

    The last step has fewer; where a batch of it would be one example alone, which has no negatives
    in the batch, it joins the step before. Fewer rows than processes at the end are left out.
    """
    order = generator.permutation(count).tolist()
    return list(split_steps(order, batch_size=batch_size, processes=processes))


def split_steps(items: Iterable[T], *, batch_size: int, processes: int) -> Iterator[Step[T]]:
    """Items in their order as steps; see `shuffled_steps` of the last ones."""
    iterator = iter(items)
    size = batch_size * processes
    held: list[T] = []
    while taken := _take(iterator, size):
        if len(taken) < size and held and batch_size > 1 and len(taken) < 2 * processes:
            held += taken
            break
        if held:
            yield _deal(held, processes)
        held = taken
    if len(held) >= processes:
        yield _deal(held, processes)


def unique_batches(
    items: Iterable[T], keys: Keys[T], *, batch_size: int, most_waiting: int | None = None
) -> Iterator[list[T]]:
    """Batches of items of which no two share a key; what would, waits for a later batch.

    The last batches have fewer items where too few different ones are left.

    Args:
        most_waiting: a batch ends early rather than let more wait than that; None never does.
    """
    iterator = iter(items)
    # Items that wait, by the key that kept them out: of each key one fits into a batch.
    waiting: dict[int, deque[T]] = {}
    count = 0
    while True:
        batch: list[T] = []
        used: set[int] = set()

        def place(item: T, batch: list[T] = batch, used: set[int] = used) -> bool:
            own = keys(item)
            clash = next((key for key in own if key in used), None)
            if clash is None:
                batch.append(item)
                used.update(own)
            else:
                waiting.setdefault(clash, deque()).append(item)
            return clash is None

        for key in list(waiting):
            if len(batch) == batch_size:
                break
            queue = waiting[key]
            while queue and key not in used:
                count -= place(queue.popleft())
            if not queue:
                del waiting[key]
        while len(batch) < batch_size:
            if most_waiting is not None and count > most_waiting and len(batch) > 1:
                break
            item = next(iterator, None)
            if item is None:
                break
            count += not place(item)
        if not batch:
            return
        yield batch


def unique_steps(
    count: int,
    keys: Keys[int],
    *,
    batch_size: int,
    processes: int,
    generator: np.random.Generator,
) -> list[Step[int]]:
    """All rows in random order, no two in a batch that share a key.

    An example that would be a batch alone joins one that has none of its keys; where every other
    has one, it is left out.
    """
    order = generator.permutation(count).tolist()
    batches = list(unique_batches(order, keys, batch_size=batch_size))
    if batch_size > 1 and len(batches) > 1:
        batches = _join_single(batches, keys)
    return group_steps(batches, processes)


def labelled_steps(
    labels: NDArray[Any], *, batch_size: int, processes: int, generator: np.random.Generator
) -> list[Step[int]]:
    """Rows so that a batch has at least two classes, and of each class in it at least two.

    Classes take turns with two rows each, as long as two classes are left; what a larger class has
    beyond that, and an odd row of each class, are left out. The last batch may have two more.

    Raises:
        TrainingDataError: the batch is too small, or not two classes have two examples.
    """
    if batch_size < 4 or batch_size % 2:
        raise TrainingDataError(
            f"group_by_label puts two examples of each of two classes or more into a batch: "
            f"batch_size is {batch_size}, and must be an even number from 4."
        )
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    pairs = counts // 2
    if (pairs > 0).sum() < 2:
        raise TrainingDataError(
            "group_by_label needs two examples of each of two classes at least; give more, or "
            "choose another sampling."
        )
    order = generator.permutation(len(labels))
    # Random within a class, as the sort keeps the order of equals.
    by_class = np.split(order[np.argsort(classes[order], kind="stable")], np.cumsum(counts)[:-1])
    turns = generator.permutation(len(counts))
    rounds = int(np.sort(pairs)[-2])
    rows = [
        int(row)
        for number in range(rounds)
        for turn in turns
        if pairs[turn] > number
        for row in by_class[turn][2 * number : 2 * number + 2]
    ]
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    if len(batches) > 1 and len(batches[-1]) < 4:
        last = batches.pop()
        batches[-1] += last
    return group_steps(batches, processes)


def group_steps(batches: Sequence[list[T]], processes: int) -> list[Step[T]]:
    """Batches as steps: the larger ones first, those of a step cut to the smallest of them."""
    if processes == 1:
        return [[batch] for batch in batches]
    ordered = sorted(batches, key=len, reverse=True)
    steps = []
    for start in range(0, len(ordered) - processes + 1, processes):
        step = ordered[start : start + processes]
        steps.append([batch[: len(step[-1])] for batch in step])
    return steps


def fit_steps(steps: Sequence[Step[T]], count: int) -> list[Step[T]]:
    """As many steps, so that each epoch has the same: the smallest go, or the largest are halved.

    A half has still no two examples that may not stand together.
    """
    fitted = list(steps)
    while len(fitted) > count:
        fitted.remove(min(fitted, key=_size))
    while len(fitted) < count:
        largest = max(range(len(fitted)), key=lambda place: _size(fitted[place]))
        step = fitted[largest]
        half = _size(step) // 2
        if half == 0:
            break
        fitted[largest] = [batch[:half] for batch in step]
        fitted.append([batch[half:] for batch in step])
    return fitted


def text_key(text: str) -> int:
    """A number of a text, the same for those that differ in case and white space alone."""
    folded = " ".join(text.split()).casefold()
    digest = blake2b(folded.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _size(step: Step[T]) -> int:
    return len(step[0])


def _take(iterator: Iterator[T], count: int) -> list[T]:
    return [item for _, item in zip(range(count), iterator, strict=False)]


def _deal(items: Sequence[T], processes: int) -> Step[T]:
    size = len(items) // processes
    return [list(items[number * size : (number + 1) * size]) for number in range(processes)]


def _join_single(batches: Sequence[list[int]], keys: Keys[int]) -> list[list[int]]:
    kept = [batch for batch in batches if len(batch) > 1]
    used = [{key for row in batch for key in keys(row)} for batch in kept]
    for row in (batch[0] for batch in batches if len(batch) == 1):
        own = keys(row)
        for batch, taken in zip(reversed(kept), reversed(used), strict=True):
            if taken.isdisjoint(own):
                batch.append(row)
                taken.update(own)
                break
    return kept or [batches[0]]

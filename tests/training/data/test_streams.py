"""Batches of sets that are read while training goes on, and the loader of a run."""

from __future__ import annotations

from collections import Counter
from itertools import chain, islice

import pytest
from accelerate import skip_first_batches

from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.data.batches import BatchPlan
from search_engine.training.data.loading_batches import make_loader
from search_engine.training.data.streams import ExampleStream, shuffle_in_buffer
from search_engine.training.data.training_set import OpenedSet
from search_engine.training.settings import TrainingSettings
from tests.training.data.sets import open_rows, open_texts


def stream_of(sets, *, size: int = 4, mixing: str = "proportional", **options) -> ExampleStream:
    return ExampleStream(sets, batch_size=size, mixing=mixing, seed=0, **options)


def pairs(count: int, name: str = "t", **options) -> OpenedSet:
    texts = [(f"{name} a{n}", f"{name} p{n}") for n in range(count)]
    return open_texts(texts, **({"stream": True} | options))


def rows_of(batches) -> list[list[tuple[int, int]]]:
    return [[(number, row) for number, row, _ in batch] for batch in batches]


def test_an_epoch_has_every_example_once_and_the_next_another_order() -> None:
    stream = stream_of([pairs(22)])
    first, second = (list(islice(stream, 12))[n : n + 6] for n in (0, 6))
    for epoch in (first, second):
        assert [len(batch) for batch in epoch] == [4, 4, 4, 4, 4, 2]
        assert sorted(chain.from_iterable(rows_of(epoch))) == [(0, row) for row in range(22)]
        for _, row, example in chain.from_iterable(epoch):
            assert example == {"anchor": f"t a{row}", "positive": f"t p{row}"}
    assert rows_of(first) != rows_of(second)
    assert rows_of(islice(stream, 12)) == rows_of([*first, *second])


def test_no_more_is_read_than_the_buffer_and_a_batch() -> None:
    taken = []

    def items():
        for n in range(10**9):
            taken.append(n)
            yield (0, n, {})

    import numpy as np

    shuffled = shuffle_in_buffer(items(), size=100, generator=np.random.default_rng(0))
    found = [row for _, row, _ in islice(shuffled, 300)]
    assert len(taken) == 400 and len(set(found)) == 300
    assert found != sorted(found)
    # What comes early cannot have stood late.
    assert all(row <= place + 100 for place, row in enumerate(found))


def test_the_last_example_is_not_alone() -> None:
    sizes = [len(batch) for batch in islice(stream_of([pairs(9)]), 2)]
    assert sizes == [4, 5]


def test_round_robin_takes_turns() -> None:
    sets = [pairs(40, "x"), pairs(8, "y"), pairs(16, "z", stream=False)]
    stream = stream_of(sets, mixing="round_robin")
    # The second has two batches, after which an epoch begins anew.
    assert [batch[0][0] for batch in islice(stream, 12)] == [0, 1, 2] * 4


def test_proportional_draws_by_size_until_all_are_used_up() -> None:
    sets = [pairs(40, "x"), pairs(8, "y"), pairs(16, "z", stream=False)]
    assert [each.size for each in sets] == [None, None, 16]
    epochs = list(islice(stream_of(sets), 32))
    assert Counter(batch[0][0] for batch in epochs[:16]) == {0: 10, 1: 2, 2: 4}
    assert Counter(chain.from_iterable(rows_of(epochs[:16]))) == Counter(
        (number, row) for number, count in enumerate((40, 8, 16)) for row in range(count)
    )
    known = [pairs(400, "x", stream=False, streaming=True), pairs(40, "y", stream=False)]
    first = [batch[0][0] for batch in islice(stream_of(known), 22)]
    # Ten to one from the beginning: about two of these.
    assert sum(first) <= 6


@pytest.mark.parametrize("mixing", ["proportional", "round_robin"])
@pytest.mark.parametrize("sampling", ["shuffle", "no_duplicates"])
def test_processes_share_a_stream(sampling, mixing) -> None:
    texts = [(f"q{n % 9}", f"d{n}") for n in range(47)]
    sets = [open_texts(texts, sampling=sampling, stream=True), pairs(30, stream=False)]
    ranks = [
        list(islice(stream_of(sets, mixing=mixing, rank=rank, processes=3), 6)) for rank in range(3)
    ]
    for step in zip(*ranks, strict=True):
        assert len({batch[0][0] for batch in step}) == 1
        assert len({len(batch) for batch in step}) == 1
    places = [place for batches in ranks for batch in rows_of(batches[:4]) for place in batch]
    assert len(places) == len(set(places))


def test_batches_without_duplicates_are_of_one_size_in_a_step() -> None:
    # Half of the texts have the same query, so that the last batches are small.
    texts = [(f"q{n % 2 * n % 16}", f"d{n}") for n in range(60)]
    sets = [open_texts(texts, sampling="no_duplicates", stream=True)]
    ranks = [list(islice(stream_of(sets, rank=rank, processes=2), 9)) for rank in range(2)]
    sizes = [[len(batch) for batch in step] for step in zip(*ranks, strict=True)]
    assert all(first == second for first, second in sizes)
    assert len(set(chain.from_iterable(sizes))) > 1


def test_no_duplicates_in_a_stream() -> None:
    texts = [(f"q{n % 5}", f"d{n}") for n in range(50)]
    opened = open_texts(texts, stream=True, sampling="no_duplicates")
    batches = list(islice(stream_of([opened], size=5), 10))
    for batch in batches:
        queries = [example["anchor"] for _, _, example in batch]
        assert len(queries) == len(set(queries))
    assert len({row for _, row in chain.from_iterable(rows_of(batches))}) > 40


def settings(**options) -> TrainingSettings:
    return TrainingSettings(**({"batch_size": 4, "max_steps": 5} | options))


def test_the_loader_of_a_stream() -> None:
    opened = pairs(22)
    for workers in (0, 2):
        loader = make_loader([opened], settings(workers=workers), collator=list)
        assert rows_of(islice(loader, 9)) == rows_of(islice(stream_of([opened]), 9))
        with pytest.raises(TypeError):
            len(loader)


def test_a_resumed_stream_skips_what_was_seen() -> None:
    loader = make_loader([pairs(22)], settings(), collator=list)
    whole = rows_of(islice(loader, 12))
    assert rows_of(islice(skip_first_batches(loader, 7), 5)) == whole[7:]


def test_the_loader_of_tables_is_told_the_epoch() -> None:
    opened = pairs(22, stream=False)
    loader = make_loader([opened], settings(), collator=list)
    plan = BatchPlan([opened], batch_size=4, mixing="proportional", seed=0)
    assert len(loader) == 6
    for epoch in range(3):
        loader.set_epoch(epoch)
        plan.set_epoch(epoch)
        assert rows_of(loader) == list(plan)
        for _, row, example in chain.from_iterable(loader):
            assert example == {"anchor": f"t a{row}", "positive": f"t p{row}"}


def test_what_could_only_fail_is_refused() -> None:
    with pytest.raises(ConfigError, match="set max_steps"):
        make_loader([pairs(22)], settings(max_steps=None), collator=list)
    with pytest.raises(ConfigError, match="batch_size is 1"):
        make_loader([pairs(22, stream=False)], settings(batch_size=1), collator=list)
    with pytest.raises(TrainingDataError, match="one example"):
        make_loader([pairs(1, stream=False)], settings(), collator=list)
    # With a negative of its own, or a label, one example teaches something.
    own = open_texts([("a", "p", "n")])
    scored = open_rows([{"a": "a", "b": "b", "score": 1.0}], "scored_pairs")
    for opened in (own, scored):
        assert len(make_loader([opened], settings(batch_size=1), collator=list)) == 1
    with pytest.raises(TrainingDataError, match="no batch for each process"):
        next(iter(stream_of([pairs(2)], processes=3)))

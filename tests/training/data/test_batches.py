"""Which examples stand in a batch, and in what order batches come."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.data.batches import BatchPlan
from search_engine.training.data.sampling import (
    labelled_steps,
    shuffled_steps,
    text_key,
    unique_steps,
)
from tests.training.data.sets import open_rows, open_texts


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pairs(count: int, name: str = "t"):
    return open_texts([(f"{name} a{n}", f"{name} p{n}") for n in range(count)], name=name)


@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 4), st.integers(0, 3))
def test_a_shuffled_epoch_has_every_example_once(count, size, processes, seed) -> None:
    steps = shuffled_steps(count, batch_size=size, processes=processes, generator=rng(seed))
    rows = [row for step in steps for batch in step for row in batch]
    assert len(set(rows)) == len(rows) and set(rows) <= set(range(count))
    # Only what does not go round among the processes is left out.
    assert count - len(rows) == count % processes
    for step in steps:
        assert len(step) == processes and len({len(batch) for batch in step}) == 1
        assert len(step[0]) <= size + (size > 1)
        # An example alone has no negatives in its batch.
        assert len(step[0]) > 1 or size == 1 or count < 2 * processes
    assert [len(step[0]) for step in steps[:-1]] == [size] * (len(steps) - 1)


def test_an_epoch_is_random_and_reproducible() -> None:
    opened = pairs(100)

    def rows(seed: int, epoch: int) -> list[int]:
        plan = BatchPlan([opened], batch_size=10, mixing="proportional", seed=seed)
        plan.set_epoch(epoch)
        return [row for batch in plan for _, row in batch]

    assert rows(0, 0) == rows(0, 0)
    orders = [rows(0, 0), rows(0, 1), rows(1, 0), rows(1, 1)]
    assert len(set(map(tuple, orders))) == 4
    assert all(sorted(order) == list(range(100)) for order in orders)


TEXTS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefghijklmnop")), min_size=1,
    max_size=40,
)  # fmt: skip


@given(TEXTS, st.integers(1, 6), st.integers(1, 3), st.integers(0, 3))
def test_no_text_is_twice_in_a_batch(texts, size, processes, seed) -> None:
    def keys(row: int) -> list[int]:
        return list({ord(text) for text in texts[row]})

    steps = unique_steps(
        len(texts), keys, batch_size=size, processes=processes, generator=rng(seed)
    )
    batches = [batch for step in steps for batch in step]
    for batch in batches:
        used = [key for row in batch for key in keys(row)]
        assert len(used) == len(set(used))
        assert len(batch) <= size + (size > 1) * len(texts)
    rows = list(chain.from_iterable(batches))
    assert len(set(rows)) == len(rows)
    assert all(len({len(batch) for batch in step}) == 1 for step in steps)
    if processes == 1:
        # Only an example that clashes with every batch is left out.
        for row in set(range(len(texts))) - set(rows):
            for batch in batches:
                assert any(set(keys(row)) & set(keys(other)) for other in batch)


def test_no_duplicates_loses_nothing_it_could_keep() -> None:
    # Twenty examples share each of five queries: batches of five, one of each query.
    texts = [(f"query {n % 5}", f"document {n}") for n in range(100)]
    opened = open_texts(texts, sampling="no_duplicates")
    plan = BatchPlan([opened], batch_size=8, mixing="proportional", seed=0)
    for epoch in range(4):
        plan.set_epoch(epoch)
        batches = list(plan)
        assert len(batches) == len(plan)
        for batch in batches:
            queries = [texts[row][0] for _, row in batch]
            assert len(queries) == len(set(queries))
        used = Counter(row for batch in batches for _, row in batch)
        assert set(used.values()) == {1}
        assert len(used) + plan.left_out.get(opened.name, 0) == 100
        assert len(used) > 90


def test_the_number_of_batches_is_the_same_in_every_epoch() -> None:
    generator = rng(5)
    texts = [(f"q{a}", f"d{b}") for a, b in generator.integers(0, 12, (90, 2))]
    opened = open_texts(texts, sampling="no_duplicates")
    plan = BatchPlan([opened], batch_size=6, mixing="proportional", seed=1)
    lengths, free = set(), set()
    for epoch in range(8):
        plan.set_epoch(epoch)
        lengths.add(len(list(plan)))
        alone = BatchPlan([opened], batch_size=6, mixing="proportional", seed=epoch)
        free.add(len(alone))
        for batch in plan:
            keys = [text for _, row in batch for text in {*texts[row]}]
            assert len(keys) == len(set(keys))
    assert len(lengths) == 1
    # Without care they would differ.
    assert len(free) > 1


def test_texts_are_the_same_but_for_case_and_space() -> None:
    assert text_key("  The\tCELL \n") == text_key("the cell") == text_key("THE CELL")
    assert text_key("thecell") != text_key("the cell") != text_key("the cell.")
    texts = [("Same Query", "p0"), ("same  query", "p1"), ("other", "P0 "), ("third", "p3")]
    opened = open_texts(texts, sampling="no_duplicates")
    for seed in range(6):
        plan = BatchPlan([opened], batch_size=4, mixing="proportional", seed=seed)
        for batch in plan:
            rows = {row for _, row in batch}
            assert not {0, 1} <= rows and not {0, 2} <= rows


def test_documents_of_lists_count_as_texts() -> None:
    rows = [{"query": f"q{n}", "documents": [f"d{n}", "shared"], "labels": [1, 0]}
            for n in range(4)]  # fmt: skip
    opened = open_rows(rows, "lists", sampling="no_duplicates")
    plan = BatchPlan([opened], batch_size=1, mixing="proportional", seed=0)
    assert sorted(len(batch) for batch in plan) == [1, 1, 1, 1]


@given(
    st.lists(st.integers(0, 4), min_size=4, max_size=80),
    st.sampled_from([4, 6, 8]),
    st.integers(1, 2),
    st.integers(0, 2),
)
def test_classes_meet_in_a_batch(labels, size, processes, seed) -> None:
    counts = sorted((count // 2 for count in Counter(labels).values()), reverse=True)
    steps_of = lambda: labelled_steps(  # noqa: E731
        np.array(labels), batch_size=size, processes=processes, generator=rng(seed)
    )
    if len(counts) < 2 or counts[1] == 0:
        with pytest.raises(TrainingDataError, match="two classes"):
            steps_of()
        return
    batches = [batch for step in steps_of() for batch in step]
    for batch in batches:
        found = Counter(labels[row] for row in batch)
        assert len(found) >= 2 and min(found.values()) >= 2
        assert len(batch) <= size + 2
    rows = list(chain.from_iterable(batches))
    assert len(set(rows)) == len(rows)
    if processes == 1:
        # As many as the reference: the larger classes as far as a second one keeps up.
        assert len(rows) == 2 * sum(min(count, counts[1]) for count in counts)


def test_group_by_label_like_the_reference() -> None:
    import datasets
    import torch
    from sentence_transformers.base.sampler import GroupByLabelBatchSampler

    labels = rng(3).integers(0, 6, 200).tolist()
    rows = [{"text": str(n), "label": label} for n, label in enumerate(labels)]
    opened = open_rows(rows, "classes", sampling="group_by_label")
    reference = GroupByLabelBatchSampler(
        datasets.Dataset.from_list(rows), batch_size=8, drop_last=False,
        valid_label_columns=["label"], generator=torch.Generator(), seed=0,
    )  # fmt: skip
    theirs = Counter(labels[row] for batch in reference for row in batch)
    plan = BatchPlan([opened], batch_size=8, mixing="proportional", seed=0)
    assert Counter(labels[row] for batch in plan for _, row in batch) == theirs
    assert plan.left_out == {"data": 200 - theirs.total()}


def test_group_by_label_wants_classes_and_even_batches() -> None:
    with pytest.raises(ConfigError, match="wants examples with a class"):
        BatchPlan([open_texts([("a", "b")] * 8, sampling="group_by_label")], batch_size=4,
                  mixing="proportional", seed=0)  # fmt: skip
    for size in (2, 5):
        with pytest.raises(TrainingDataError, match="even number from 4"):
            labelled_steps(np.array([0, 0, 1, 1]), batch_size=size, processes=1, generator=rng())


def test_round_robin_takes_turns_until_the_first_is_used_up() -> None:
    sets = [pairs(40, "x"), pairs(24, "y"), pairs(90, "z")]
    plan = BatchPlan(sets, batch_size=8, mixing="round_robin", seed=0)
    assert [batch[0][0] for batch in plan] == [0, 1, 2] * 3
    assert plan.left_out == {"x": 16, "z": 66}


def test_proportional_uses_all_in_random_turns() -> None:
    sets = [pairs(40, "x"), pairs(16, "y"), pairs(90, "z")]
    plan = BatchPlan(sets, batch_size=8, mixing="proportional", seed=0)
    owners = [batch[0][0] for batch in plan]
    assert Counter(owners) == {0: 5, 1: 2, 2: 12}
    assert all(len({number for number, _ in batch}) == 1 for batch in plan)
    assert owners != sorted(owners)
    assert sorted(chain.from_iterable(plan)) == [
        (number, row) for number, count in enumerate((40, 16, 90)) for row in range(count)
    ]
    # Where a set comes in the epoch is even: the mean place of each is near the middle.
    places = []
    for epoch in range(40):
        plan.set_epoch(epoch)
        places += [place for place, batch in enumerate(plan) if batch[0][0] == 1]
    assert abs(np.mean(places) - 9) < 5 * 19 / (12 * 80) ** 0.5


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 4), st.sampled_from(["shuffle", "no_duplicates"]),
       st.sampled_from(["proportional", "round_robin"]))  # fmt: skip
def test_processes_share_an_epoch(processes, sampling, mixing) -> None:
    sets = [
        open_texts([(f"{n % 7}{name}", f"{n}{name}") for n in range(count)], sampling=sampling)
        for name, count in (("x", 41), ("y", 30))
    ]
    ranks = [
        list(BatchPlan(sets, batch_size=4, mixing=mixing, seed=2, rank=rank, processes=processes))
        for rank in range(processes)
    ]
    assert len({len(batches) for batches in ranks}) == 1 and ranks[0]
    for step in zip(*ranks, strict=True):
        # All processes have the same set and as many examples at the same time.
        assert len({batch[0][0] for batch in step}) == 1
        assert len({len(batch) for batch in step}) == 1
    places = [place for batches in ranks for batch in batches for place in batch]
    assert len(places) == len(set(places))


def test_fewer_examples_than_processes() -> None:
    with pytest.raises(TrainingDataError, match="no batch for each process"):
        list(BatchPlan([pairs(3)], batch_size=4, mixing="proportional", seed=0, processes=4))

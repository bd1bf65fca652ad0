"""Every text is in exactly one batch, within the budget, and padded as it should be."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from search_engine.encoders.batching import TokenizedText, pad_batch, plan_batches


@given(st.lists(st.integers(1, 300), max_size=200), st.integers(1, 2000))
def test_each_text_once_and_under_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(plan_batches(lengths, token_budget=budget))
    assert sorted(int(p) for batch in batches for p in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = max(lengths[p] for p in batch) * len(batch)
        assert padded <= budget or len(batch) == 1
    longest_first = [lengths[p] for batch in batches for p in batch]
    assert longest_first == sorted(lengths, reverse=True)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=100), st.integers(1, 2000))
def test_no_batch_could_have_taken_one_more(lengths: list[int], budget: int) -> None:
    batches = list(plan_batches(lengths, token_budget=budget))
    for batch in batches[:-1]:
        assert lengths[batch[0]] * (len(batch) + 1) > budget


def test_padding() -> None:
    texts = [
        TokenizedText([5, 6], [0, 1]),
        TokenizedText([9], [0]),
        TokenizedText([7, 8, 9], [0, 1, 1], skipped=2),
    ]
    names = ("input_ids", "attention_mask", "token_type_ids", "pooling_mask")
    batch = pad_batch(texts, np.array([2, 0]), input_names=names, pad_id=3)
    assert batch.positions.tolist() == [2, 0]
    assert {name: array.tolist() for name, array in batch.inputs.items()} == {
        "input_ids": [[7, 8, 9], [5, 6, 3]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
        "token_type_ids": [[0, 1, 1], [0, 1, 0]],
        "pooling_mask": [[0, 0, 1], [1, 1, 0]],
    }
    assert all(array.dtype == np.int64 for array in batch.inputs.values())

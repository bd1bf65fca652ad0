"""Results that nearly repeat a higher one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.collapse import collapse
from search_engine.near_duplicates.shingles import jaccard, shingles_of

WORDS = [f"word{number}" for number in range(40)]
# 38 shingles; another last word leaves 37 of 39 in common, another in the middle 35 of 41.
WHOLE = " ".join(WORDS)


def _with(place: int, *others: str) -> str:
    return " ".join([*WORDS[:place], *others, *WORDS[place + len(others) :]])


def test_texts_that_repeat_nothing_stand_for_themselves() -> None:
    assert collapse([]) == []
    assert collapse(["a", "b", "", WHOLE, "c"]) == [0, 1, 2, 3, 4]


def test_a_text_repeats_the_first_that_it_nearly_equals() -> None:
    texts = ["other", WHOLE, _with(39, "x"), WHOLE.upper(), "Other ", _with(20, "x")]
    assert collapse(texts) == [0, 1, 1, 1, 0, 1]


def test_the_threshold_itself_is_near_enough() -> None:
    texts = [WHOLE, _with(20, "x")]
    assert collapse(texts, threshold=35 / 41) == [0, 0]
    assert collapse(texts, threshold=35 / 41 + 1e-9) == [0, 1]
    # A part of a text: the sizes alone say how much is shared.
    texts = [WHOLE, " ".join(WORDS[:21])]
    assert collapse(texts, threshold=0.5) == [0, 0]
    assert collapse(texts, threshold=0.5 + 1e-9) == [0, 1]
    assert collapse(texts[::-1], threshold=0.5) == [0, 0]


def test_what_repeats_a_repetition_alone_is_kept() -> None:
    near, far = _with(10, "x"), _with(10, "x", "y", "z", "u", "v", "w")
    assert collapse([WHOLE, near, far], threshold=0.67) == [0, 0, 2]
    assert collapse([near, far, WHOLE], threshold=31 / 45) == [0, 0, 0]


def test_short_texts_repeat_their_copies_alone() -> None:
    assert collapse(["Yes.", "yes.", "yes", "Yes, yes.", "  YES. "]) == [0, 0, 2, 3, 0]


TEXTS = st.lists(st.sampled_from("abcdefg"), min_size=0, max_size=14).map(" ".join)


@given(st.lists(TEXTS, max_size=12), st.sampled_from([0.2, 0.5, 0.8, 1.0]))
def test_every_text_is_compared_with_those_that_are_kept(texts, threshold) -> None:
    sets = [shingles_of(text) for text in texts]
    expected: list[int] = []
    for position, own in enumerate(sets):
        near = [
            earlier
            for earlier in range(position)
            if expected[earlier] == earlier and jaccard(own, sets[earlier]) >= threshold
        ]
        expected.append(near[0] if near else position)
    assert collapse(texts, threshold=threshold) == expected


@pytest.mark.parametrize("count", [1, 5])
def test_copies_are_counted(count) -> None:
    assert collapse([WHOLE] * count) == [0] * count

"""Negatives chosen by their scores, against a selection that NumPy writes out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from search_engine.training.mining.selection import select_negatives
from search_engine.training.mining.settings import MiningSettings

# Of few values, so that there are ties, with the conditions and with one another.
_SCORES = st.integers(-8, 8).map(lambda value: value / 8)
_MARGINS = st.one_of(st.none(), st.integers(0, 6).map(lambda value: value / 8))
_SETTINGS = st.builds(
    lambda bounds, **values: MiningSettings(
        min_score=bounds[0], max_score=bounds[1], max_rank=50, **values
    ),
    bounds=st.one_of(
        st.just((None, None)),
        st.tuples(st.none(), _SCORES),
        st.tuples(_SCORES, st.none()),
        st.lists(_SCORES, min_size=2, max_size=2).map(lambda pair: tuple(sorted(pair))),
    ),
    negatives=st.integers(1, 6),
    min_rank=st.integers(0, 4),
    margin=_MARGINS,
    relative_margin=_MARGINS,
    sampling=st.sampled_from(["top", "random"]),
    seed=st.integers(0, 3),
)


def allowed(scores, positive, settings, rescored) -> np.ndarray:
    """Whether each candidate passes: the formulas, one after the other, on the whole array."""
    passes = np.ones(len(scores), bool)
    if settings.margin is not None:
        passes &= ~(scores + settings.margin > positive)
    if settings.relative_margin is not None:
        if positive >= 0:
            passes &= ~(scores > (1 - settings.relative_margin) * positive)
        elif np.isfinite(positive):
            passes &= ~(scores > (1 + settings.relative_margin) * positive)
        else:
            passes &= False
    if rescored:
        passes &= ~(scores > positive)
    if settings.max_score is not None:
        passes &= scores <= settings.max_score
    if settings.min_score is not None:
        passes &= scores >= settings.min_score
    return passes


@given(
    scores=st.lists(_SCORES, max_size=15),
    positive=st.one_of(_SCORES, st.just(-np.inf)),
    settings=_SETTINGS,
    rescored=st.booleans(),
)
def test_the_best_that_pass_are_chosen(scores, positive, settings, rescored) -> None:
    selection = select_negatives(
        scores, settings, query="q", positive_score=positive, rescored=rescored
    )
    array = np.array(scores, float)
    order = np.argsort(-array, kind="stable")
    passing = order[allowed(array, positive, settings, rescored)[order]].tolist()
    left = passing[settings.min_rank :]
    chosen = list(selection.chosen)
    assert len(chosen) == min(settings.negatives, len(left))
    if settings.sampling == "top":
        assert chosen == left[: settings.negatives]
    else:
        assert [place for place in left if place in chosen] == chosen
    # Each candidate is chosen or has one reason.
    assert sorted([*chosen, *selection.skipped]) == list(range(len(scores)))
    reasons = Counter(selection.skipped.values())
    assert reasons["min_rank"] == min(settings.min_rank, len(passing))
    assert reasons["not_needed"] == len(left) - len(chosen)
    named = {"margin", "false_negative", "max_score", "min_score"}
    assert sum(reasons[name] for name in named) == len(scores) - len(passing)
    assert not reasons["margin" if rescored else "false_negative"]


def test_a_share_of_a_score_below_zero_is_taken_off_too() -> None:
    scores = [-0.5, -0.625, -0.75, -0.875]
    settings = MiningSettings(relative_margin=0.5)
    selection = select_negatives(scores, settings, query="q", positive_score=-0.5, rescored=False)
    assert selection.chosen == (2, 3)
    assert selection.skipped == {0: "margin", 1: "margin"}


def test_the_draw_depends_on_query_and_seed_alone() -> None:
    scores = np.linspace(1, 0, 40).tolist()

    def draw(query: str, seed: int) -> tuple[int, ...]:
        settings = MiningSettings(negatives=5, sampling="random", seed=seed)
        return select_negatives(
            scores, settings, query=query, positive_score=2, rescored=False
        ).chosen

    assert draw("a", 0) == draw("a", 0)
    assert len({draw("a", 0), draw("b", 0), draw("a", 1), draw("\udcff", 0)}) == 4
    # Uniform: each of 40 is drawn in 1 of 8 of 2,000 draws; the deviation is 15.
    counts = Counter(place for seed in range(2_000) for place in draw("a", seed))
    assert all(180 < counts[place] < 320 for place in range(40))


@pytest.mark.parametrize(
    "wrong",
    [
        {"negatives": 0},
        {"max_rank": 0},
        {"min_rank": -1},
        {"min_rank": 96},
        {"negatives": 101},
        {"margin": -0.1},
        {"relative_margin": -0.1},
        {"min_score": 0.5, "max_score": 0.4},
        {"max_score": float("nan")},
        {"sampling": "best"},
        {"near_duplicate": 0},
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(wrong) -> None:
    with pytest.raises(ValidationError):
        MiningSettings(**wrong)

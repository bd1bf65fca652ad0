"""Fusion equals its formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.config import FusionConfig
from search_engine.fusion import fuse
from search_engine.types import Hits

lists = st.dictionaries(
    st.integers(1, 30), st.floats(-5, 5, width=32), min_size=0, max_size=12
).map(
    lambda found: Hits.ranked(
        np.array(list(found), np.int64), np.array(list(found.values()), np.float32), 100
    )
)


def _by_id(hits: Hits) -> dict[int, float]:
    return dict(zip(hits.chunk_ids.tolist(), hits.scores.tolist(), strict=True))


@given(legs=st.dictionaries(st.sampled_from(["dense", "bm25", "splade"]), lists))
def test_reciprocal_rank_fusion_is_its_formula(legs) -> None:
    config = FusionConfig(method="rrf", weights={"bm25": 0.5}, rank_constant=60)
    expected: dict[int, float] = {}
    for name, hits in legs.items():
        for rank, chunk_id in enumerate(hits.chunk_ids.tolist(), 1):
            weight = 0.5 if name == "bm25" else 1.0
            expected[chunk_id] = expected.get(chunk_id, 0) + weight / (60 + rank)
    assert _by_id(fuse(legs, config)) == pytest.approx(expected, rel=1e-5)


@given(legs=st.dictionaries(st.sampled_from(["dense", "bm25", "splade"]), lists))
def test_minmax_fusion_is_its_formula(legs) -> None:
    config = FusionConfig(method="minmax", weights={"dense": 0.7, "bm25": 0.3})
    expected: dict[int, float] = {}
    for name, hits in legs.items():
        weight = {"dense": 0.7, "bm25": 0.3}.get(name, 1.0)
        scores = hits.scores.tolist()
        for chunk_id, score in zip(hits.chunk_ids.tolist(), scores, strict=True):
            spread = max(scores) - min(scores)
            normal = (score - min(scores)) / spread if spread else 1.0
            expected[chunk_id] = expected.get(chunk_id, 0) + weight * normal
    assert _by_id(fuse(legs, config)) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@given(legs=st.dictionaries(st.sampled_from(["dense", "bm25", "splade"]), lists))
def test_a_question_with_an_identifier_has_weights_of_its_own(legs) -> None:
    config = FusionConfig(weights={"bm25": 0.6}, identifier_weights={"bm25": 3.0, "dense": 0.5})
    other = FusionConfig(weights={"bm25": 3.0, "dense": 0.5})
    assert _by_id(fuse(legs, config, has_identifier=True)) == _by_id(fuse(legs, other))
    assert _by_id(fuse(legs, config)) == _by_id(fuse(legs, FusionConfig(weights={"bm25": 0.6})))


@given(legs=st.dictionaries(st.sampled_from(["dense", "bm25"]), lists))
def test_the_fused_list_is_in_order(legs) -> None:
    fused = fuse(legs, FusionConfig())
    pairs = list(zip((-fused.scores).tolist(), fused.chunk_ids.tolist(), strict=True))
    assert pairs == sorted(pairs)


def test_a_single_leg_keeps_its_order() -> None:
    hits = Hits(np.array([7, 3, 9]), np.array([3.0, 2.0, 1.0], np.float32))
    assert fuse({"dense": hits}, FusionConfig()).chunk_ids.tolist() == [7, 3, 9]
    assert len(fuse({}, FusionConfig())) == 0

"""Groups of near-duplicates, against every pair compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search_engine.errors import ConfigError
from search_engine.near_duplicates import groups
from search_engine.near_duplicates.groups import Group, find_groups

# The values of a band at each threshold: 1 - (1 - t^rows)^(128 // rows) >= 0.995 by hand.
ROWS = {0.5: 3, 0.6: 3, 0.7: 4, 0.8: 6, 0.9: 9, 0.95: 14, 1.0: 128}


def _groups(values: NDArray[np.uint32], threshold: float) -> list[Group]:
    """Every document compared with every one that begins a group and shares a band with it."""
    rows = ROWS[threshold]
    bands = [slice(first, first + rows) for first in range(0, 128 - rows + 1, rows)]
    begun: dict[int, list[tuple[int, float]]] = {}
    for position, own in enumerate(values):
        for first, others in begun.items():
            equal = own == values[first]
            if equal.mean() >= threshold and any(equal[band].all() for band in bands):
                others.append((position, float(equal.mean())))
                break
        else:
            begun[position] = []
    groups = [
        Group(
            (first, *(position for position, _ in others)),
            (1.0, *(similarity for _, similarity in others)),
        )
        for first, others in begun.items()
        if others
    ]
    return sorted(groups, key=lambda group: (-len(group.document_ids), group.document_ids[0]))


def _signed(values: NDArray[np.uint32]) -> list[tuple[int, bytes]]:
    return [(number, row.astype("<u4").tobytes()) for number, row in enumerate(values)]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 40),
    st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.3]),
    st.sampled_from(sorted(ROWS)),
)
@settings(deadline=None)
def test_groups_are_those_of_every_pair_compared(seed, count, changed, threshold) -> None:
    random = np.random.default_rng(seed)
    # Few texts, and copies of them that were changed here and there, copies of copies too.
    values = random.integers(0, 2**32, (count, 128), dtype=np.uint32)
    for position in range(3, count):
        source = values[random.integers(0, position)]
        kept = random.random(128) >= changed * random.random()
        values[position] = np.where(kept, source, values[position])
    assert find_groups(_signed(values), threshold) == _groups(values, threshold)


def test_no_chain_of_small_differences_makes_a_group() -> None:
    values = np.tile(np.arange(128, dtype=np.uint32), (3, 1))
    values[1, :20] += 1_000
    values[2, :40] += 1_000
    assert find_groups(_signed(values)) == [Group((0, 1), (1.0, 108 / 128))]
    # Taken from the middle, all are near enough.
    assert find_groups([_signed(values)[number] for number in (1, 0, 2)]) == [
        Group((1, 0, 2), (1.0, 108 / 128, 108 / 128))
    ]


def test_a_document_joins_the_earliest_that_is_near_enough() -> None:
    values = np.tile(np.arange(128, dtype=np.uint32), (3, 1))
    values[0, :24] += 1_000
    values[1, -24:] += 1_000
    values[2, -22:] += 1_000
    values[2, -24:-22] += 1_000
    values[2, :4] += 1_000
    # 0 and 1 agree in 80 values, 0 and 2 in 84, 1 and 2 in 124.
    assert find_groups(_signed(values), 0.65) == [Group((0, 2), (1.0, 84 / 128))]
    assert find_groups(_signed(values), 0.8) == [Group((1, 2), (1.0, 124 / 128))]


def test_a_document_is_compared_with_all_that_it_shares_a_band_with() -> None:
    """At the threshold 0.5 a band has three values."""
    values = np.random.default_rng(5).integers(0, 2**32, (3, 128), dtype=np.uint32)
    # In the first 20 bands all agree; in the others 1 and 2 do so in two values of three.
    values[1:, :60] = values[0, :60]
    shared = np.arange(60, 128) % 3 > 0
    values[2, 60:][shared] = values[1, 60:][shared]
    assert find_groups(_signed(values), 0.5) == [Group((1, 2), (1.0, (60 + 45) / 128))]


def test_a_document_is_not_compared_with_others() -> None:
    values = np.random.default_rng(5).integers(0, 2**32, (4, 128), dtype=np.uint32)
    # 0 and 1 agree in two values of three, but in no band of three.
    shared = np.arange(128) % 3 > 0
    values[1][shared] = values[0][shared]
    values[2, :3] = values[0, :3]
    values[3, 3:6] = values[1, 3:6]
    assert find_groups(_signed(values), 0.5) == []


def _make_pages(random: np.random.Generator, count: int, *, choices: int) -> NDArray[np.uint32]:
    """Signatures of which each band of six values is one of a few that the others have too."""
    bands = random.integers(0, 2**32, (22, choices, 6), dtype=np.uint32)
    chosen = random.integers(0, choices, (count, 22))
    return bands[np.arange(22), chosen].reshape(count, -1)[:, :128]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """With how many each document is compared, as it happens."""
    counts: list[int] = []

    def count_equal(candidates, signature):
        counts.append(len(candidates))
        return np.count_nonzero(candidates == signature, axis=1)

    monkeypatch.setattr(groups, "_count_equal", count_equal)
    return counts


def test_pages_of_one_template_are_not_all_compared(compared) -> None:
    random = np.random.default_rng(7)
    template = random.integers(0, 2**32, 128, dtype=np.uint32)
    values = random.integers(0, 2**32, (4_000, 128), dtype=np.uint32)
    # Two pages agree in about 0.6 of their values.
    values = np.where(random.random(values.shape) < 0.77, template, values)
    # The last 500 are some before them, with a few changes and with none.
    values[3_500:] = values[1:3_501:7]
    values[3_500:3_900, :8] ^= np.uint32(1)
    found = find_groups(_signed(values))
    assert [group.document_ids for group in found] == [(1 + 7 * n, 3_500 + n) for n in range(500)]
    # Without a bound, a page is compared with 3,000 others, and all with 4.8 million.
    assert max(compared) < 300
    assert sum(compared) < 800_000


def test_equal_signatures_meet_in_full_buckets(compared) -> None:
    values = _make_pages(np.random.default_rng(9), 2_000, choices=4)
    values = np.concatenate([values, values[::-1]])
    found = find_groups(_signed(values))
    assert {group.document_ids for group in found} == {(n, 3_999 - n) for n in range(2_000)}
    assert {group.similarities for group in found} == {(1.0, 1.0)}
    # In 21 bands there are four kinds, of which each leads to 50; most of them are the same.
    assert 200 < max(compared) < 300


def test_the_earliest_of_a_bucket_are_compared(compared) -> None:
    """Fifty of them: the last of those is found, and the one after it is not."""
    values = np.random.default_rng(5).integers(0, 2**32, (53, 128), dtype=np.uint32)
    values[:, :6] = 1
    for copy, of in ((51, 49), (52, 50)):
        # Of the bands, but the first, none is shared.
        values[copy] = values[of]
        values[copy, 6::6] ^= np.uint32(1)
    assert find_groups(_signed(values)) == [Group((49, 51), (1.0, 107 / 128))]
    assert compared[-2:] == [50, 50]


def test_the_threshold_itself_is_near_enough() -> None:
    values = np.tile(np.arange(128, dtype=np.uint32), (2, 1))
    values[1, :32] += 1_000
    assert find_groups(_signed(values), 0.75) == [Group((0, 1), (1.0, 0.75))]
    values[1, 32] += 1_000
    assert find_groups(_signed(values), 0.75) == []


def test_values_that_differ_in_one_bit_differ() -> None:
    values = np.tile(np.arange(128, dtype=np.uint32), (2, 1))
    values[1] ^= np.uint32(1 << 31)
    assert find_groups(_signed(values), 0.5) == []


def test_larger_groups_come_first() -> None:
    random = np.random.default_rng(3)
    kinds = random.integers(0, 2**32, (4, 128), dtype=np.uint32)
    found = find_groups(_signed(kinds[[0, 1, 2, 1, 0, 1, 3, 2]]))
    assert [group.document_ids for group in found] == [(1, 3, 5), (0, 4), (2, 7)]
    assert [group.similarities for group in found] == [(1.0,) * 3, (1.0,) * 2, (1.0,) * 2]


def test_ids_are_those_given() -> None:
    signature = bytes(512)
    assert find_groups(iter([(70, signature), (7, signature)])) == [Group((70, 7), (1.0, 1.0))]


@pytest.mark.parametrize("count", [0, 1])
def test_without_two_documents_there_is_no_group(count) -> None:
    assert find_groups([(1, bytes(512))] * count) == []


@pytest.mark.parametrize("threshold", [0.49, 1.01, 0.0, -1.0, float("nan")])
def test_a_threshold_that_makes_no_sense_is_refused(threshold) -> None:
    with pytest.raises(ConfigError, match=r"choose one of 0\.5 to 1"):
        find_groups([], threshold)


@pytest.mark.parametrize("threshold", [0.5, 0.65, 0.8, 0.9, 1.0])
def test_hardly_a_pair_at_the_threshold_is_missed(threshold) -> None:
    random = np.random.default_rng(11)
    pairs = random.integers(0, 2**32, (1_000, 1, 128), dtype=np.uint32).repeat(2, axis=1)
    for pair in pairs:
        pair[1, random.permutation(128)[: int(128 * (1 - threshold))]] ^= np.uint32(1)
    found = find_groups(_signed(pairs.reshape(-1, 128)), threshold)
    assert all(first + 1 == second for first, second in (group.document_ids for group in found))
    assert len(found) >= 990

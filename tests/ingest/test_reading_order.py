"""The order of boxes on a page, against what a person says of each arrangement."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from search_engine.ingest.formats.reading_order import Segment, order_segments


def place(left: float, top: float, *, width: float = 200, height: float = 10) -> Segment:
    return Segment(left, top, left + width, top + height, 0, 1)


def boxes() -> st.SearchStrategy[list[Segment]]:
    number = st.floats(0, 1_000, width=16)
    size = st.floats(0, 400, width=16)
    one = st.builds(
        lambda x, y, w, h: Segment(x, y, x + w, y + h, 0, 1), number, number, size, size
    )
    return st.lists(one, max_size=60)


@given(boxes(), st.booleans())
def test_nothing_is_lost_and_nothing_comes_twice(
    segments: list[Segment], right_to_left: bool
) -> None:
    ordered = order_segments(segments, right_to_left=right_to_left)
    assert sorted(map(id, ordered)) == sorted(map(id, segments))


@given(st.integers(2, 40), st.integers(0, 1_000))
def test_lines_of_one_column_stay_as_they_were_drawn(count: int, seed: int) -> None:
    left = random.Random(seed)
    lines = [place(50 + left.random() * 20, 12 * row) for row in range(count)]
    assert order_segments(lines, right_to_left=False) == lines


@given(st.integers(3, 20), st.integers(3, 20), st.booleans(), st.integers(0, 1_000))
def test_two_columns_drawn_in_any_alternation(
    first: int, second: int, right_to_left: bool, seed: int
) -> None:
    columns = [[place(50, 12 * row) for row in range(first)]]
    columns.append([place(270, 12 * row) for row in range(second)])
    rows = sorted((row, column) for column in (0, 1) for row in range(len(columns[column])))
    drawn = [columns[column][row] for row, column in rows]
    read = columns[::-1] if right_to_left else columns
    assert order_segments(drawn, right_to_left=right_to_left) == read[0] + read[1]


def test_what_spans_two_columns_parts_them() -> None:
    heading, table = place(50, 0, width=420), place(50, 100, width=420)
    above = [[place(x, 20 + 12 * row) for row in range(5)] for x in (50, 270)]
    below = [[place(x, 120 + 12 * row) for row in range(5)] for x in (50, 270)]
    drawn = [heading, table]
    for part in (above, below):
        drawn += [segment for pair in zip(*part, strict=True) for segment in pair]
    ordered = order_segments(drawn, right_to_left=False)
    assert ordered == [heading, *above[0], *above[1], table, *below[0], *below[1]]


def test_many_labels_on_a_map_stay_as_they_were_drawn() -> None:
    places = random.Random(3)
    labels = [place(places.random() * 900, places.random() * 9_000, width=20) for _ in range(5_000)]
    assert order_segments(labels, right_to_left=False) == labels

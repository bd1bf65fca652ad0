"""The order in which a person reads what stands on a page, by where it stands.

The order in which a page was drawn is right most of the time, and knows what boxes do not: which
cells belong to a row, what a caption belongs to. So it is kept, but for two things that only the
layout tells:

* Columns that were drawn line by line across the page. A region is cut along a gutter, and across
  it where something spans the gutter, and its parts are read one after the other: a recursive X-Y
  cut (Nagy and Seth, "Hierarchical representation of optically scanned documents", 1984), with the
  horizontal cuts at what spans columns, since at the widest gaps they tear columns at paragraphs.
  Columns have lines that fill them; the cells of a table do not.
* Blocks that were drawn before something above them, such as a footer drawn first. Of two blocks
  whose x ranges overlap, the upper one is read first (Breuel, "High performance document layout
  analysis", 2003, rule 1); apart from that, they stay as they were drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np

# Fewer lines beside each other than this are no columns.
_LEAST_ROWS = 3
# How much of its column half of the lines of a text fill, at least, and how wide they are in
# line heights (8 are about 16 letters).
_LEAST_FILL = 0.6
_LEAST_WIDTH = 8.0
# How far up, in line heights, the drawing goes where it leaves its order; less is what formulas and
# the labels of figures do.
_JUMP = 3.0
# All pairs of blocks are compared; a page with more of them is a map or a drawing.
_MOST_BLOCKS = 2_000
# The resolution at which gutters are looked for, in points.
_BIN = 2.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text on one line without a wide gap in it.

    Attributes:
        left, top, right, bottom: its box in points, y growing downwards, the text upright.
        start, end: its characters, as offsets in the text of the page as it was drawn.
    """

    left: float
    top: float
    right: float
    bottom: float
    start: int
    end: int


def order_segments(segments: Sequence[Segment], *, right_to_left: bool) -> list[Segment]:
    """The segments of a page in reading order.

    Args:
        segments: in the order in which they were drawn.
        right_to_left: whether the right one of two columns is read first.
    """
    if len(segments) < 2:
        return list(segments)
    height = median(segment.bottom - segment.top for segment in segments)
    return _order_region(list(segments), max(height, 1.0), right_to_left)


def _order_region(region: list[Segment], height: float, right_to_left: bool) -> list[Segment]:
    gutter = _find_gutter(region, height)
    if gutter is None:
        return _order_blocks(region, height)
    first = [segment for segment in region if segment.right <= gutter]
    second = [segment for segment in region if segment.left >= gutter]
    spanning = [segment for segment in region if segment.left < gutter < segment.right]
    if right_to_left:
        first, second = second, first
    ordered: list[Segment] = []
    # Each band lies between two of what spans the gutter, and may be empty.
    limits = sorted({(segment.top + segment.bottom) / 2 for segment in spanning})
    top = float("-inf")
    for bottom in (*limits, float("inf")):
        for side in (first, second):
            part = [segment for segment in side if top <= _middle(segment) < bottom]
            ordered += _order_region(part, height, right_to_left) if part else []
        across = [segment for segment in spanning if _middle(segment) == bottom]
        ordered += _order_blocks(across, height) if across else []
        top = bottom
    return ordered


def _middle(segment: Segment) -> float:
    return (segment.top + segment.bottom) / 2


def _find_gutter(region: list[Segment], height: float) -> float | None:
    """Where a region has two columns of text side by side that have to be read one by one."""
    if len(region) < 2 * _LEAST_ROWS:
        return None
    boxes = np.array([(s.left, s.right) for s in region])
    origin = boxes[:, 0].min()
    bins = int((boxes[:, 1].max() - origin) / _BIN) + 2
    lefts = np.clip(((boxes[:, 0] - origin) / _BIN).astype(int), 0, bins - 1)
    rights = np.clip(((boxes[:, 1] - origin) / _BIN).astype(int), 0, bins - 1)
    # At the left edge of each bin: how many end before it, and how many begin after it.
    before = np.concatenate([[0], np.cumsum(np.bincount(rights, minlength=bins))[:-1]])
    after = len(region) - np.cumsum(np.bincount(lefts, minlength=bins))
    balance = np.minimum(before, after)
    spanning = len(region) - before - after
    best = int(np.argmax(balance - spanning))
    if balance[best] < _LEAST_ROWS or balance[best] <= spanning[best]:
        return None
    # The middle of the empty strip, of which the best bin is the beginning.
    end = best
    while (
        end + 1 < bins and balance[end + 1] == balance[best] and spanning[end + 1] == spanning[best]
    ):
        end += 1
    gutter = float(origin + (best + end + 1) / 2 * _BIN)
    first = [segment for segment in region if segment.right <= gutter]
    second = [segment for segment in region if segment.left >= gutter]
    if not (_is_column(first, height) and _is_column(second, height)):
        return None
    return gutter if _needs_cut(region, gutter) else None


def _is_column(segments: list[Segment], height: float) -> bool:
    """Whether lines fill the width that they share, as those of a text do and cells do not."""
    rows = _join_rows(segments)
    if len(rows) < _LEAST_ROWS:
        return False
    left = median(row[0] for row in rows)
    widths = [right - min(left, start) for start, right in rows]
    typical = median(widths)
    return typical >= _LEAST_FILL * max(widths) and typical >= _LEAST_WIDTH * height


def _join_rows(segments: list[Segment]) -> list[tuple[float, float]]:
    """The x ranges of the lines, those of segments beside each other joined."""
    rows: list[tuple[float, float]] = []
    bottom = float("-inf")
    for segment in sorted(segments, key=_middle):
        if rows and _middle(segment) < bottom:
            left, right = rows[-1]
            rows[-1] = (min(left, segment.left), max(right, segment.right))
        else:
            rows.append((segment.left, segment.right))
            bottom = segment.bottom
    return rows


def _needs_cut(region: list[Segment], gutter: float) -> bool:
    """Whether columns were drawn in another order than one whole column after the other.

    Where the drawing goes back and forth, but not with each line, it follows the cells of a table
    that have several lines each, and is right.
    """
    sides = [
        segment.left >= gutter for segment in region if not segment.left < gutter < segment.right
    ]
    changes = sum(a != b for a, b in pairwise(sides))
    rows = min(sides.count(True), sides.count(False))
    return changes >= rows or changes <= 2


def _order_blocks(region: list[Segment], height: float) -> list[Segment]:
    """The segments as they were drawn, but whatever stands above another block before it."""
    blocks = [[region[0]]]
    jumped = False
    for last, segment in pairwise(region):
        down = segment.top - last.bottom
        if segment.bottom <= last.top - _JUMP * height:
            jumped = True
            blocks.append([segment])
        elif down > height:
            blocks.append([segment])
        else:
            blocks[-1].append(segment)
    if not jumped or len(blocks) > _MOST_BLOCKS:
        return region
    boxes = np.array(
        [
            (
                min(segment.left for segment in block),
                min(segment.top for segment in block),
                max(segment.right for segment in block),
                max(segment.bottom for segment in block),
            )
            for block in blocks
        ]
    )
    left, top, right, bottom = boxes.T
    overlap = (left[:, None] < right[None]) & (left[None] < right[:, None])
    center = (top + bottom) / 2
    above = overlap & (bottom[:, None] <= top[None] + height / 4)
    above &= center[:, None] < center[None]
    # Kahn's topological sort; of what may come next, what was drawn first.
    waiting_for = above.sum(axis=0)
    ordered: list[Segment] = []
    remaining = list(range(len(blocks)))
    while remaining:
        ready = next(index for index in remaining if waiting_for[index] == 0)
        remaining.remove(ready)
        ordered += blocks[ready]
        waiting_for = waiting_for - above[ready]
    return ordered

"""Which texts of a ranking nearly repeat a higher one."""

from __future__ import annotations

from collections.abc import Sequence

from search_engine.near_duplicates.shingles import Shingles, jaccard, shingles_of


def collapse(texts: Sequence[str], *, threshold: float = 0.8) -> list[int]:
    """For each text the position of the one that it nearly repeats, its own if there is none.

    A text repeats the first of those before it that repeat nothing themselves and share enough
    with it.

    Args:
        texts: best first.
        threshold: the least Jaccard similarity of their shingles, above 0 and up to 1.
    """
    kept: dict[int, Shingles] = {}
    repeated: list[int] = []
    for position, text in enumerate(texts):
        shingles = shingles_of(text)
        first = next(
            (
                earlier
                for earlier, others in kept.items()
                # Sets of such different sizes share too little, whatever they hold.
                if min(len(shingles), len(others)) >= threshold * max(len(shingles), len(others))
                and jaccard(shingles, others) >= threshold
            ),
            position,
        )
        if first == position:
            kept[position] = shingles
        repeated.append(first)
    return repeated

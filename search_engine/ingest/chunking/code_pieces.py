"""Programs cut at their definitions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from search_engine.ingest.chunking.windows import WINDOW
from search_engine.ingest.formats.code import Definition

_BLANK_LINES = re.compile(r"(?:[^\S\n]*\n)*")


def cut_at_definitions(
    text: str,
    definitions: Sequence[Definition],
    *,
    fits: Callable[[str], bool],
) -> Iterator[tuple[int, int]]:
    """Stretches of a program that together are all of it but blank lines.

    Each function or method that fits is one, with all that is defined in it; so is what stands
    between two definitions, or before or after all of them. Of what does not fit, what is defined
    in it is cut out in the same way.

    Args:
        text: the program.
        definitions: each before those within it.
        fits: whether a text is short enough for a chunk.
    """
    cuts, whole_until = {0, len(text)}, 0
    for definition in definitions:
        if definition.start < whole_until:
            continue
        cuts |= {definition.start, definition.end}
        # So long a text is not copied for each level it is nested by, only to be too long.
        short = definition.end - definition.start <= WINDOW
        if definition.is_function and short and fits(text[definition.start : definition.end]):
            whole_until = definition.end
    for start, end in pairwise(sorted(cuts)):
        blank = _BLANK_LINES.match(text, start, end)
        first = start if blank is None else blank.end()
        last = first + len(text[first:end].rstrip())
        if first < last:
            yield first, last

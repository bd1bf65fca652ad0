"""The slides of a presentation as one Markdown text in which each slide is a page."""

from __future__ import annotations

import re
from collections.abc import Iterable

_HEADING = re.compile(r"^# \S", re.MULTILINE)
_GAP = "\n\n"


def join_slides(slides: Iterable[str]) -> tuple[str, tuple[int, ...]]:
    """The text, and the offset at which each slide starts; ("", ()) where no slide says anything.

    A slide that says something under no title gets its number as a heading, for otherwise it would
    stand under the title of the slide before it.
    """
    texts = []
    for number, slide in enumerate(slides, start=1):
        text = slide.strip()
        if text and _HEADING.search(text) is None:
            text = f"# Slide {number}\n\n{text}"
        texts.append(text)
    if not any(texts):
        return "", ()
    starts, offset = [], 0
    for text in texts:
        starts.append(offset)
        offset += len(text) + len(_GAP)
    return _GAP.join(texts), tuple(starts)

"""Where a text holds a phrase, character by character."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from typing import NamedTuple

import regex

from search_engine.scripts import SPACED_CHARACTER

# Stands on both sides of a word, so that no part of the word is found.
_EDGE = "\0"
_WORD = regex.compile(rf"{SPACED_CHARACTER}+", regex.V1)
# In ASCII both find the same; this one is several times as fast.
_ASCII_WORD = re.compile(r"\w+")
_RUN = re.compile(r"\S+")
_CLUSTER = regex.compile(r"\X")


class _Folded(NamedTuple):
    """A text without regard to case and composition.

    Attributes:
        offsets: where the characters that each folded one was made of begin in the text, and the
            text's length; None where each was made of the one at its own place.
    """

    text: str
    offsets: list[int] | None


def holds_phrase(text: str, phrase: str) -> bool:
    """Whether a text holds a phrase, character by character.

    Case does not matter, nor how accents are composed (Unicode's NFC and full case folding), and
    any white space equals any other. Where the phrase begins or ends with a letter or digit, a
    word of the text does so too, but for scripts that put no spaces between words. No text holds
    a phrase of nothing but white space.
    """
    wanted, searched = (_single_spaced(_fold(each).text) for each in (phrase, text))
    # Most texts hold the characters nowhere, which is quickly seen.
    return bool(wanted) and wanted in searched and _edged(wanted) in _edged(searched)


def find_phrase(text: str, phrase: str) -> list[tuple[int, int]]:
    """The (start, end) of each place at which a text holds a phrase, ascending, not overlapping."""
    if not holds_phrase(text, phrase):
        return []
    wanted = _edged(_single_spaced(_fold(phrase).text))
    folded = _fold(text)
    searched = _edged(_single_spaced(folded.text))
    places = _places(folded.text)
    # Edges are no characters of the text.
    first, last = wanted.startswith(_EDGE), len(wanted) - 1 - wanted.endswith(_EDGE)
    spans = []
    found = searched.find(wanted)
    while found >= 0:
        spans.append(_span(folded, places[found + first], places[found + last]))
        found = searched.find(wanted, found + len(wanted))
    return spans


def _fold(text: str) -> _Folded:
    # The text has no edges of its own.
    text = text.replace(_EDGE, "\ufffd")
    if text.isascii():
        return _Folded(text.lower(), None)
    folded = text.casefold()
    if len(folded) == len(text) and all(
        unicodedata.is_normalized("NFC", each) for each in (text, folded)
    ):
        return _Folded(folded, None)
    parts: list[str] = []
    offsets: list[int] = []
    # Nothing composes across two clusters.
    for cluster in _CLUSTER.finditer(text):
        composed = unicodedata.normalize("NFC", cluster.group())
        parts.append(unicodedata.normalize("NFC", composed.casefold()))
        offsets += [cluster.start()] * len(parts[-1])
    return _Folded("".join(parts), [*offsets, len(text)])


def _single_spaced(folded: str) -> str:
    return " ".join(folded.split())


def _edged(text: str) -> str:
    """The text with an edge on both sides of each word."""
    word = _ASCII_WORD if text.isascii() else _WORD
    return word.sub(rf"{_EDGE}\g<0>{_EDGE}", text)


def _places(folded: str) -> list[int]:
    """The place in a folded text of each character of it, single-spaced and edged; -1 for edges."""
    places: list[int] = []
    for run in _RUN.finditer(folded):
        if places:
            # The space before it, with which no phrase begins or ends.
            places.append(-1)
        position, end = run.span()
        for word in _WORD.finditer(folded, position, end):
            places += (*range(position, word.start()), -1, *range(*word.span()), -1)
            position = word.end()
        places += range(position, end)
    return places


def _span(folded: _Folded, first: int, last: int) -> tuple[int, int]:
    """Where the folded characters from the first to the last stand in the text."""
    if folded.offsets is None:
        return first, last + 1
    start, end = folded.offsets[first], folded.offsets[last]
    return start, folded.offsets[bisect_right(folded.offsets, end)]

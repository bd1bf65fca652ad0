"""A text as the set of its shingles, and how much two such sets share."""

from __future__ import annotations

import unicodedata
from typing import TypeAlias

import regex

from search_engine.scripts import SPACED_CHARACTER, UNSPACED_CHARACTER

Shingles: TypeAlias = frozenset[str]

# A text with fewer is compared as a whole: one other word would change most of them.
FEWEST_SHINGLES = 5
WORDS = 3
CHARACTERS = 5
_UNSPACED = regex.compile(UNSPACED_CHARACTER, regex.V1)
_TOKEN = regex.compile(rf"{UNSPACED_CHARACTER}|{SPACED_CHARACTER}+", regex.V1)
# Where no character is of a script without spaces, both find the same; this one is faster.
_WORD = regex.compile(r"\w+")


def shingles_of(text: str) -> Shingles:
    """The distinct shingles of a text, without regard to case, white space and punctuation.

    A token is a word, or one character of a script that puts no spaces between words. A shingle is
    three tokens in a row that begin with a word, or five that begin with such a character (Broder,
    "On the resemblance and containment of documents", 1997). A text with fewer than five distinct
    shingles is one shingle itself, its white space apart, so that it equals its copies alone.
    """
    folded = unicodedata.normalize("NFC", text).casefold()
    if folded.isascii() or _UNSPACED.search(folded) is None:
        shingles = _word_shingles(_WORD.findall(folded))
    else:
        shingles = _mixed_shingles(_TOKEN.findall(folded))
    if len(shingles) < FEWEST_SHINGLES:
        # No shingle holds a line break, so a whole text never equals a part of another.
        return frozenset(("\n" + " ".join(folded.split()),))
    return shingles


def jaccard(left: Shingles, right: Shingles) -> float:
    """The size of the intersection over the size of the union; neither set may be empty."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


def _word_shingles(words: list[str]) -> Shingles:
    return frozenset(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def _mixed_shingles(tokens: list[str]) -> Shingles:
    widths = (CHARACTERS if _UNSPACED.match(token) else WORDS for token in tokens)
    return frozenset(
        " ".join(tokens[start : start + width])
        for start, width in enumerate(widths)
        if start + width <= len(tokens)
    )

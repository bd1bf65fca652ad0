"""Where a text comes apart: words and compound identifiers, and scripts without spaces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import regex

from search_engine.scripts import UNSPACED_CHARACTER

# Hangul puts spaces, but its words carry their particles (as in Lucene's CJKAnalyzer).
_PAIRED = rf"[{UNSPACED_CHARACTER}\p{{Hangul}}]"
_LETTER = rf"[[\p{{L}}\p{{N}}_]--{_PAIRED}]"
# Marks belong to the letter before them; a soft hyphen and a zero-width joiner to their word.
_WORD = rf"{_LETTER}(?:{_LETTER}|[\p{{M}}\u00ad\u200d])*+"
# Words joined as in `text/html`, `std::vec` and `HTTP-404`, and the dashes before an option.
_COMPOUND = r"(?:(?<![\w-])--?(?=[A-Za-z]))?{word}(?:(?:::|[-./:]){word})*"
WORD = regex.compile(_WORD, regex.V1)
_CANDIDATE = regex.compile(_COMPOUND.format(word=_WORD), regex.V1)
# Finds the same in ASCII, several times as fast.
_ASCII_CANDIDATE = re.compile(_COMPOUND.format(word=r"\w+"))
_HYPHENATED = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_CODE = re.compile(r"-|(?=.*[^\W\d_]).*[._:]")
_IDENTIFIER = regex.compile(
    r"^--?[^\W\d]|[^\W_]{2}(?:\.|::?)[^\W\d_]|[^\W_]_|_[^\W_]"
    r"|\p{Ll}{2}\p{Lu}\p{Ll}|^\p{Lu}{2,}\p{Ll}{3}|^\p{Lu}{1,4}-?\d{3,}$"
)
_RUN = regex.compile(rf"(?:{_PAIRED}\p{{M}}*+)+", regex.V1)
_CHARACTER = regex.compile(r"\X")
# Soft hyphen, zero-width joiner, variation selectors.
_IGNORED = dict.fromkeys([0xAD, 0x200D, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])


class Token(NamedTuple):
    """A term and the characters of the text that it stands for."""

    term: str
    start: int
    end: int


def normalize(word: str) -> str:
    """NFKC without the characters that only say how a word is drawn."""
    return word if word.isascii() else unicodedata.normalize("NFKC", word).translate(_IGNORED)


def candidates_in(text: str) -> regex.Pattern[str] | re.Pattern[str]:
    """The pattern of what may be terms: words, and compounds of words as one match.

    Scripts without spaces are left out; see `place_bigrams`.
    """
    return _ASCII_CANDIDATE if text.isascii() else _CANDIDATE


def is_hyphenated(compound: str) -> bool:
    """Whether it is plain words with hyphens between them, such as `well-known`."""
    return _HYPHENATED.fullmatch(compound) is not None


def is_code(compound: str) -> bool:
    """Whether a compound is of a form that prose hardly has: `a.b`, `a::b`, `a_b/c`, `--a`."""
    return _CODE.match(compound) is not None


def has_identifier(text: str) -> bool:
    """Whether a word of a text is of a form that prose hardly has: an option, a name in code.

    `--flag`, `ab.c`, `ab::c`, `a_b`, `camelCase` or a code such as `E0308`.
    """
    return any(_IDENTIFIER.search(word) for word in candidates_in(text).findall(text))


def place_bigrams(text: str) -> Iterator[Token]:
    """Overlapping pairs of characters of the scripts without spaces, with start and end.

    A character is what a reader takes for one (an extended grapheme cluster), normalized; a run
    of only one gives that one.
    """
    if text.isascii():
        return
    for run in _RUN.finditer(text):
        characters = [
            Token(normalize(match.group()), run.start() + match.start(), run.start() + match.end())
            for match in _CHARACTER.finditer(run.group())
        ]
        if len(characters) == 1:
            yield characters[0]
        for (first, start, _), (second, _, end) in pairwise(characters):
            yield Token(first + second, start, end)

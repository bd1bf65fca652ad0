"""Quoted phrases and excluded terms in a query.

    "HTTP 404" proxy -nginx -"load balancer"

asks for texts that hold `HTTP 404`, and neither `nginx` nor `load balancer`.

A quote opens where no letter or digit stands before it and closes where none follows, so that
`a 5" disk` holds no phrase; in scripts that put no spaces between words it may stand anywhere. A
phrase has a letter or digit. A `-` excludes where white space or the beginning stands before it
and a letter, a digit or a phrase after it. What meets none of this is plain text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

import regex

from search_engine.scripts import SPACED_CHARACTER

# Each opening quote, and what closes it.
_QUOTES = {'"': '"', "“": "”", "„": "“”", "«": "»"}
_QUOTE = rf"(?P<quote>[{''.join(_QUOTES)}])"
_MARK = regex.compile(
    rf"(?<!\S)-(?P<term>[\p{{L}}\p{{N}}]\S*)|(?P<minus>(?<!\S)-){_QUOTE}"
    rf"|(?<!{SPACED_CHARACTER}){_QUOTE}",
    regex.V1,
)
_CLOSING = {
    opening: regex.compile(rf"[{closing}](?!{SPACED_CHARACTER})", regex.V1)
    for opening, closing in _QUOTES.items()
}
_LETTER_OR_DIGIT = regex.compile(r"[\p{L}\p{N}]")
# Ends a sentence or a list, not a term.
_PUNCTUATION = ".,;:!?"


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """What a query asks for.

    Attributes:
        text: what the encoders see: without quotes and without what is excluded.
        phrases: what a text must hold.
        excluded_terms: words that a text must not hold, as they were typed.
        excluded_phrases: phrases that it must not hold.
    """

    text: str
    phrases: tuple[str, ...] = ()
    excluded_terms: tuple[str, ...] = ()
    excluded_phrases: tuple[str, ...] = ()


def parse_query(text: str) -> ParsedQuery:
    """What a query asks for; every text is a query.

    A query that would only exclude is plain text, `-v` for one.
    """
    kept: list[str] = []
    phrases: list[str] = []
    excluded_terms: list[str] = []
    excluded_phrases: list[str] = []
    end = 0
    for mark in _marks(text):
        before = text[end : mark.start]
        end = mark.end
        if mark.kind is _Kind.PHRASE:
            phrases.append(mark.content.strip())
            kept += (before, mark.content)
            continue
        kept.append(before.rstrip())
        if mark.kind is _Kind.EXCLUDED_PHRASE:
            excluded_phrases.append(mark.content.strip())
        else:
            excluded_terms.append(mark.content)
    rest = "".join([*kept, text[end:]])
    if excluded_terms or excluded_phrases:
        rest = rest.strip()
        if not _LETTER_OR_DIGIT.search(rest):
            return ParsedQuery(text)
    return ParsedQuery(rest, tuple(phrases), tuple(excluded_terms), tuple(excluded_phrases))


class _Kind(Enum):
    PHRASE = auto()
    EXCLUDED_TERM = auto()
    EXCLUDED_PHRASE = auto()


class _Mark(NamedTuple):
    """A phrase or an exclusion, and the characters of the query that spell it."""

    kind: _Kind
    content: str
    start: int
    end: int


def _marks(text: str) -> Iterator[_Mark]:
    """The phrases and exclusions of a query, from left to right."""
    # Quotes of which one was not closed: no later one is.
    unclosed: set[str] = set()
    position = 0
    while (found := _MARK.search(text, position)) is not None:
        start, position = found.span()
        if found["term"] is not None:
            term = found["term"].rstrip(_PUNCTUATION)
            yield _Mark(_Kind.EXCLUDED_TERM, term, start, position)
            continue
        quote = found["quote"]
        closing = None if quote in unclosed else _CLOSING[quote].search(text, position)
        if closing is None:
            unclosed.add(quote)
            continue
        content = text[position : closing.start()]
        position = closing.end()
        if _LETTER_OR_DIGIT.search(content):
            kind = _Kind.PHRASE if found["minus"] is None else _Kind.EXCLUDED_PHRASE
            yield _Mark(kind, content, start, position)

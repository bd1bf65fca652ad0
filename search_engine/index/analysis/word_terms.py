"""What a word, a part of an identifier and a compound become."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import regex

from search_engine.index.analysis.words import WORD, Token, is_hyphenated, normalize

# Where a compound identifier comes apart: snake_case, camelCase, HTTPServer, base64.
_IDENTIFIER_PART = regex.compile(r"\p{Lu}+(?!\p{Ll})|\p{Lu}?\p{Ll}+|\d+|[^\W\d_\p{Lu}\p{Ll}]+")
# A longer compound is an address or a piece of data, which nobody types.
_LONGEST_COMPOUND = 100


class WordTerms:
    """The terms of single words: lower-cased, without stop words, stemmed.

    An identifier gives itself and its parts.

    Args:
        lower: makes a word lower-case.
        stem: of a lower-case word.
        stop_words: lower-case.
    """

    def __init__(
        self, lower: Callable[[str], str], stem: Callable[[str], str], stop_words: frozenset[str]
    ) -> None:
        self._lower = lower
        self._stem = stem
        self._stop_words = stop_words

    def find(self, word: str) -> tuple[Token, ...]:
        """The terms of a word, which begins at 0."""
        pieces = [(word, 0, len(word))]
        if not (word.isdigit() or (word.isalpha() and word[1:].islower())):
            parts = [(part.group(), *part.span()) for part in _IDENTIFIER_PART.finditer(word)]
            if len(parts) > 1:
                pieces += parts
        lowered = [(self._lower(piece), start, end) for piece, start, end in pieces]
        return tuple(
            Token(self._stem(piece), start, end)
            for piece, start, end in lowered
            if piece not in self._stop_words
        )


class CompoundTerms:
    """The terms of words and of compounds of words, in any spelling that Unicode has for them.

    A compound (`text/html`, `std::vec`, `HTTP-404`, `--storage.tsdb.path`) gives the whole, which
    is only lower-cased, and its words; a path also its last part. Plain words with hyphens give
    only the words. The dashes before an option belong to the whole where it is one word: `--port`.

    Args:
        words: makes the terms of each word.
    """

    def __init__(self, words: WordTerms) -> None:
        self._words = words

    def find(self, candidate: str) -> tuple[Token, ...]:
        """The terms of a match of `candidates_in`, which begins at 0."""
        words = list(WORD.finditer(candidate))
        tokens = [
            Token(normalize(candidate[start:]).lower(), start, len(candidate))
            for start in _find_wholes(candidate, [word.start() for word in words])
            if len(candidate) - start <= _LONGEST_COMPOUND
        ]
        for word in words:
            tokens += self._find_words(word.group(), word.start())
        return tuple(tokens)

    def _find_words(self, word: str, offset: int) -> Iterator[Token]:
        normalized = normalize(word)
        for term, start, end in self._words.find(normalized):
            if normalized == word:
                yield Token(term, offset + start, offset + end)
            else:
                # The places of the parts are places in another text now.
                yield Token(term, offset, offset + len(word))


def _find_wholes(candidate: str, words: Sequence[int]) -> list[int]:
    """Where in a candidate compounds start that are terms; all of them end where it ends.

    Args:
        words: where its words start.
    """
    first = words[0]
    if len(words) == 1:
        return [0] if first else []
    if is_hyphenated(candidate):
        return []
    name = candidate.rfind("/") + 1
    if name <= first or name == words[-1] or is_hyphenated(candidate[name:]):
        return [first]
    return [first, name]

"""Text to lexical terms: what BM25 counts and what a highlight marks."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Container
from typing import NamedTuple

import regex
import Stemmer

from search_engine.errors import ConfigError

# The stop words of Lucene's EnglishAnalyzer (ENGLISH_STOP_WORDS_SET).
_ENGLISH = """
a an and are as at be but by for if in into is it no not of on or such that the their then there
these they this to was will with
"""
_STOP_WORDS = {"english": frozenset(_ENGLISH.split())}
_WORD = re.compile(r"\w+")
# Where a compound identifier comes apart: snake_case, camelCase, HTTPServer, base64.
_IDENTIFIER_PART = regex.compile(r"\p{Lu}+(?!\p{Ll})|\p{Lu}?\p{Ll}+|\d+|[^\W\d_\p{Lu}\p{Ll}]+")


class Token(NamedTuple):
    """A term and the characters of the text that it stands for."""

    term: str
    start: int
    end: int


class Analyzer:
    """Lower-cased, stemmed words without stop words; identifiers also by their parts.

    `parse_http_header` gives itself, `pars`, `http` and `header`, so that both the exact name and
    the words in it find it.

    Args:
        language: a Snowball stemmer's name, such as "english".

    Raises:
        ConfigError: Snowball has no such language.
    """

    def __init__(self, language: str) -> None:
        if language not in Stemmer.algorithms():
            known = ", ".join(sorted(Stemmer.algorithms()))
            raise ConfigError(f"there is no stemmer for {language!r}; choose one of: {known}")
        self._language = language
        self._stop_words = _STOP_WORDS.get(language, frozenset())
        # A PyStemmer object keeps a cache that two threads must not share.
        self._local = threading.local()

    def terms(self, text: str) -> Counter[str]:
        """How often each term occurs."""
        return Counter(self._stem(_surface(text, self._stop_words)[0]))

    def tokens(self, text: str, *, among: Container[str] | None = None) -> list[Token]:
        """The terms with their places, in the order of the text.

        Args:
            among: leave out all other terms; None leaves out nothing.
        """
        words, places = _surface(text, self._stop_words)
        return [
            Token(stem, *place)
            for stem, place in zip(self._stem(words), places, strict=True)
            if among is None or stem in among
        ]

    def _stem(self, words: list[str]) -> list[str]:
        stemmer = getattr(self._local, "stemmer", None)
        if stemmer is None:
            stemmer = self._local.stemmer = Stemmer.Stemmer(self._language)
        stems: list[str] = stemmer.stemWords(words)
        return stems


def _surface(text: str, stop_words: frozenset[str]) -> tuple[list[str], list[tuple[int, int]]]:
    """The lower-cased words and parts of identifiers, and the (start, end) of each."""
    words: list[str] = []
    places: list[tuple[int, int]] = []
    for match in _WORD.finditer(text):
        word = match.group()
        lowered = word.lower()
        if lowered not in stop_words:
            words.append(lowered)
            places.append(match.span())
        if word.isdigit() or (word.isalpha() and word[1:].islower()):
            continue
        parts = list(_IDENTIFIER_PART.finditer(word))
        if len(parts) < 2:
            continue
        for part in parts:
            term = part.group().lower()
            if term not in stop_words:
                words.append(term)
                places.append((match.start() + part.start(), match.start() + part.end()))
    return words, places

"""Text to terms, each text by its own language or all by one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from functools import cache, lru_cache
from operator import attrgetter
from typing import TypeAlias

import regex
import Stemmer

from search_engine.errors import ConfigError
from search_engine.index.analysis.languages import (
    ENGLISH_STOP_WORDS,
    STEMMERS,
    find_stop_words,
    lower_turkish_word,
    lower_word,
    make_snowball_stem,
    make_stem,
)
from search_engine.index.analysis.word_terms import CompoundTerms, WordTerms
from search_engine.index.analysis.words import (
    WORD,
    Token,
    candidates_in,
    is_code,
    normalize,
    place_bigrams,
)

AUTO = "auto"
_WORD = re.compile(r"\w+")
# Words of which the terms are remembered, in each language.
_REMEMBERED = 16_384
# A single one (war, die) may as well be a word of another language.
_FEWEST_STOP_WORDS = 2

FindTerms: TypeAlias = Callable[[str], tuple[Token, ...]]


class Analyzer:
    """Lower-cased, stemmed words without stop words; identifiers also by their parts.

    `parse_http_header` gives itself, `pars`, `http` and `header`, so that both the exact name and
    the words in it find it.

    Args:
        language: a Snowball stemmer's name, such as "english", for all texts; or "auto", which
            takes stemmer and stop words from the language of each text. Only "auto" normalizes
            words to NFKC, cuts scripts without spaces into overlapping pairs of characters, and
            takes compounds such as `text/html` also whole.

    Raises:
        ConfigError: Snowball has no such language.
    """

    def __init__(self, language: str) -> None:
        self._one: FindTerms | None = None
        if language == AUTO:
            return
        if language not in Stemmer.algorithms():
            known = ", ".join((AUTO, *sorted(Stemmer.algorithms())))
            raise ConfigError(f"there is no stemmer for {language!r}; choose one of: {known}")
        stop_words = ENGLISH_STOP_WORDS if language == "english" else frozenset[str]()
        self._one = _remember(WordTerms(str.lower, make_snowball_stem(language), stop_words).find)

    def terms(self, text: str, *, language: str | None = None) -> Counter[str]:
        """How often a text of a language has each term.

        Args:
            language: ISO 639-1 code; None where it is not known.
        """
        find = self._one or _find_terms_of(language)
        counts: Counter[str] = Counter()
        for word, count in Counter(self._candidates(text).findall(text)).items():
            for token in find(word):
                counts[token.term] += count
        counts.update(bigram.term for bigram in self._bigrams(text))
        return counts

    def query_terms(self, text: str, languages: Collection[str | None]) -> Counter[str]:
        """How often a query has each term that a document in any of some languages could have.

        A short query does not tell its language, so each word is analysed in all of them, and a
        term that several languages make of it counts once. The stop words of the language that
        the query has most of, and two at least, count in no language. A compound counts whole
        where it is all of the query or has a form that prose has not.

        Args:
            languages: ISO 639-1 codes; None among them where that of some documents is not known.
        """
        if self._one:
            return self.terms(text)
        words = candidates_in(text).findall(text)
        if len(words) > 1:
            words = _take_prose_apart(words)
        words = _drop_stop_words(words, languages) or words
        finds = {_find_terms_of(language) for language in languages}
        counts: Counter[str] = Counter()
        for word in words:
            terms: Counter[str] = Counter()
            for find in finds:
                terms |= Counter(token.term for token in find(word))
            counts += terms
        counts.update(bigram.term for bigram in place_bigrams(text))
        return counts

    def tokens(
        self, text: str, *, language: str | None = None, among: Container[str] | None = None
    ) -> list[Token]:
        """The terms with their places, in the order of the text.

        Args:
            language: ISO 639-1 code; None where it is not known.
            among: leave out all other terms; None leaves out nothing.
        """
        find = self._one or _find_terms_of(language)
        tokens = [
            Token(term, match.start() + start, match.start() + end)
            for match in self._candidates(text).finditer(text)
            for term, start, end in find(match.group())
        ]
        tokens += self._bigrams(text)
        tokens.sort(key=attrgetter("start"))
        return [token for token in tokens if among is None or token.term in among]

    def _candidates(self, text: str) -> re.Pattern[str] | regex.Pattern[str]:
        return _WORD if self._one else candidates_in(text)

    def _bigrams(self, text: str) -> Iterator[Token]:
        return iter(()) if self._one else place_bigrams(text)


def _take_prose_apart(candidates: Sequence[str]) -> list[str]:
    """The words of compounds that could be prose: counted whole as well, they weigh too much."""
    return [
        word for each in candidates for word in ([each] if is_code(each) else WORD.findall(each))
    ]


def _drop_stop_words(words: Sequence[str], languages: Collection[str | None]) -> list[str]:
    """The words without the stop words of the language that most of them are stop words of.

    Documents in other languages have few of these words, which makes them weigh much there.
    """
    lowered = [lower_word(normalize(word)) for word in words]
    lists = {find_stop_words(language) for language in languages}
    counts = {each: sum(word in each for word in lowered) for each in lists}
    most = max(counts.values(), default=0)
    if most < _FEWEST_STOP_WORDS:
        return list(words)
    # Where two languages have as many, what both of them have.
    dropped = frozenset.intersection(*(each for each in lists if counts[each] == most))
    return [word for word, lower in zip(words, lowered, strict=True) if lower not in dropped]


def _remember(find: FindTerms) -> FindTerms:
    return lru_cache(maxsize=_REMEMBERED)(find)


def _find_terms_of(language: str | None) -> FindTerms:
    return _load_terms(language if language in STEMMERS else None)


@cache
def _load_terms(language: str | None) -> FindTerms:
    """What finds the terms of words and compounds in a language that has a stemmer, or None."""
    if language is None:
        words = WordTerms(lower_word, str, find_stop_words(None))
    else:
        lower = lower_turkish_word if language == "tr" else lower_word
        words = WordTerms(lower, make_stem(language), find_stop_words(language))
    return _remember(CompoundTerms(words).find)

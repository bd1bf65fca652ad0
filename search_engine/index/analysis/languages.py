"""The stemmer and the stop words of each language, by its ISO 639-1 code."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable
from functools import cache

import Stemmer

# The stop words of Lucene's EnglishAnalyzer (ENGLISH_STOP_WORDS_SET).
_ENGLISH = """
a an and are as at be but by for if in into is it no not of on or such that the their then there
these they this to was will with
"""
ENGLISH_STOP_WORDS = frozenset(_ENGLISH.split())
_TURKISH = str.maketrans({"I": "\u0131", "İ": "i"})
# Snowball's names, which those of the stop words' package are, too.
STEMMERS = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}


def lower_word(word: str) -> str:
    """Lower-case, with a plain i for the Turkish capital that has a dot."""
    return word.lower() if word.isascii() else word.replace("İ", "i").lower()


def lower_turkish_word(word: str) -> str:
    """Lower-case as Turkish has it, where I and İ differ; acronyms (API, ID) are international."""
    if word.isascii() and word.isupper():
        return word.lower()
    return word.translate(_TURKISH).lower()


@cache
def find_stop_words(language: str | None) -> frozenset[str]:
    """The stop words of a language, lower-case; for one without a stemmer those of English.

    Text whose language is not known is mostly code and short English, and where it kept words
    that English documents do not have, they would be rare, and weigh most in English questions.
    """
    if language == "en" or language not in STEMMERS:
        return ENGLISH_STOP_WORDS
    from stop_words import AVAILABLE_LANGUAGES, get_stop_words

    name = STEMMERS[language]
    if name not in AVAILABLE_LANGUAGES:
        return frozenset()
    words = get_stop_words(name)
    if language == "tr":
        # The list was saved in Turkish Latin-5 and read as Latin-1.
        words = [word.encode("latin-1").decode("iso8859-9") for word in words]
    return frozenset(unicodedata.normalize("NFKC", word).lower() for word in words)


def make_stem(language: str) -> Callable[[str], str]:
    """What stems a lower-case word of a language that has a stemmer; threads may share it."""
    stem = make_snowball_stem(STEMMERS[language])
    if language != "tr":
        return stem
    # Whether a capital had its dot is often lost, so both letters are one after stemming.
    return lambda word: stem(word).replace("\u0131", "i")


def make_snowball_stem(name: str) -> Callable[[str], str]:
    """What stems a lower-case word, by the name of a Snowball stemmer; threads may share it."""
    # A PyStemmer object keeps a cache that two threads must not share.
    local = threading.local()

    def stem(word: str) -> str:
        stemmer = getattr(local, "stemmer", None)
        if stemmer is None:
            stemmer = local.stemmer = Stemmer.Stemmer(name)
        stemmed: str = stemmer.stemWord(word)
        return stemmed

    return stem

"""Text to terms."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.errors import ConfigError
from search_engine.index.analysis import Analyzer

ANALYZER = Analyzer("english")


def test_words_are_lower_cased_stemmed_and_without_stop_words() -> None:
    assert ANALYZER.terms("The Cats were RUNNING to it, running!") == Counter(
        {"cat": 1, "were": 1, "run": 2}
    )


@pytest.mark.parametrize(
    ("identifier", "terms"),
    [
        ("parse_http_header", ["parse_http_head", "pars", "http", "header"]),
        ("parseHTTPHeader", ["parsehttphead", "pars", "http", "header"]),
        ("utf8", ["utf8", "utf", "8"]),
        ("2xx", ["2xx", "2", "xx"]),
    ],
)
def test_identifiers_are_found_whole_and_by_part(identifier, terms) -> None:
    assert [token.term for token in ANALYZER.tokens(identifier)] == terms


def test_other_scripts_are_terms_too() -> None:
    assert [token.term for token in ANALYZER.tokens("Größe 日本語 да")] == ["größe", "日本語", "да"]


@given(text=st.text(max_size=300))
def test_terms_are_the_tokens_counted_and_tokens_have_their_places(text) -> None:
    tokens = ANALYZER.tokens(text)
    assert Counter(token.term for token in tokens) == ANALYZER.terms(text)
    assert all(0 <= token.start < token.end <= len(text) for token in tokens)


def test_an_unknown_language_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"klingon.*english"):
        Analyzer("klingon")

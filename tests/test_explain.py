"""The highlight is a part of the text, and its spans are the shared words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.explain import PASSAGE_CHARACTERS, highlight
from search_engine.index.analysis import Analyzer

ANALYZER = Analyzer("english")


def _marked(text: str, query: str) -> tuple[str, list[str]]:
    found = highlight(text, frozenset(ANALYZER.terms(query)), ANALYZER)
    assert text[found.start : found.start + len(found.text)] == found.text
    return found.text, [found.text[first:last] for first, last in found.spans]


def test_the_passage_with_most_of_the_query_wins() -> None:
    filler = "Nothing of interest is said in this sentence at all. " * 12
    text = (
        f"{filler}Storage can be kept for longer. {filler}Set the retention of storage to 30 days. "
    )
    passage, words = _marked(text + filler, "how long is storage retained: retention")
    assert "Set the retention of storage" in passage
    assert words == ["retention", "storage"]


def test_words_are_marked_by_their_stem_and_identifiers_by_their_parts() -> None:
    _, words = _marked("Parsing calls parse_http_header once.", "parse http")
    assert words == ["Parsing", "parse", "http"]


def test_without_a_shared_word_it_is_the_beginning() -> None:
    passage, words = _marked("First sentence. " * 60, "unrelated")
    assert passage.startswith("First sentence.") and len(passage) <= PASSAGE_CHARACTERS
    assert words == []


@pytest.mark.parametrize(
    ("language", "text", "query", "words"),
    [
        ("de", "Die Häuser sind alt. Ein Haus ist neu.", "haus", ["Häuser", "Haus"]),
        ("en", "Die Häuser sind alt. Ein Haus ist neu.", "häuser", ["Häuser"]),
        ("ja", "FastAPIで日本語を使う。", "日本語 api", ["API", "日本語"]),
        ("en", "Set --storage.tsdb.path now; a path.", "--storage.tsdb.path", None),
        (None, "Gro\u0308ße und größe", "GRÖßE", ["Gro\u0308ße", "größe"]),
    ],
)
def test_words_are_marked_in_the_language_of_the_text(language, text, query, words) -> None:
    analyzer = Analyzer("auto")
    terms = frozenset(analyzer.query_terms(query, {language}))
    found = highlight(text, terms, analyzer, language=language)
    marked = [found.text[first:last] for first, last in found.spans]
    assert marked == (words or ["storage.tsdb.path", "path"])


@given(text=st.text(max_size=900), query=st.text(max_size=40))
def test_any_text_gives_spans_that_ascend_within_the_passage(text, query) -> None:
    found = highlight(text, frozenset(ANALYZER.terms(query)), ANALYZER)
    assert text[found.start : found.start + len(found.text)] == found.text
    ends = [0]
    for first, last in found.spans:
        assert ends[-1] <= first < last <= len(found.text)
        ends.append(last)

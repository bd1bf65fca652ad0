"""Phrases in texts, against a search that walks over every place."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from search_engine.phrases import find_phrase, holds_phrase


def _found(text: str, phrase: str) -> list[str]:
    spans = find_phrase(text, phrase)
    assert holds_phrase(text, phrase) is bool(spans)
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize(
    ("text", "phrase", "found"),
    [
        ("It said HTTP 404.", "HTTP 404", ["HTTP 404"]),
        ("http\n\t 404, HTTP\u00a0404", "HTTP 404", ["http\n\t 404", "HTTP\u00a0404"]),
        ("HTTP 4040, XHTTP 404, HTTP_404", "HTTP 404", []),
        ("set --storage.tsdb.path=/x", "--storage.tsdb.path", ["--storage.tsdb.path"]),
        ("--storage.tsdb.paths", "--storage.tsdb.path", []),
        ("a---storage b", "--storage", ["--storage"]),
        ("foo() foo () xfoo()", "foo()", ["foo()"]),
        ("C++ and C", "c++", ["C++"]),
        ("C++ and C", "c", ["C", "C"]),
        ("snake_case snake", "snake", ["snake"]),
        ("a b a b a", "a b a", ["a b a"]),
        ("a a a a", "a a", ["a a", "a a"]),
        ("-- -- --", "-- --", ["-- --"]),
        ("one  two", "one   two ", ["one  two"]),
        ("onetwo", "one two", []),
        ("one two", "onetwo", []),
        ("", "a", []),
        ("a b", " \n", []),
        ("a", "", []),
        ("x\0y", "x\0y", ["x\0y"]),
        ("x\0y", "x", ["x"]),
        ("a\x1cb", "a b", ["a\x1cb"]),
    ],
)
def test_characters_are_compared_at_the_edges_of_words(text, phrase, found) -> None:
    assert _found(text, phrase) == found


@pytest.mark.parametrize(
    ("text", "phrase", "found"),
    [
        ("Straße, STRASSE", "strasse", ["Straße", "STRASSE"]),
        ("GRÖSSE", "Größe", ["GRÖSSE"]),
        ("cafe\u0301 CAFÉ cafe", "café", ["cafe\u0301", "CAFÉ"]),
        ("cafe\u0301 café", "cafe", []),
        ("ein ﬁnger", "finger", ["ﬁnger"]),
        (
            "\u1112\u1161\u11ab\u1100\u1173\u11af 한글",
            "한글",
            ["\u1112\u1161\u11ab\u1100\u1173\u11af", "한글"],
        ),
        ("300 \u212a", "300 k", ["300 \u212a"]),
        ("ΣΊΣΥΦΟΣ", "σίσυφος", ["ΣΊΣΥΦΟΣ"]),
        ("नमस्ते दुनिया", "नमस्ते", ["नमस्ते"]),
        ("नमस्ते दुनिया", "नमस्त", []),
        ("ßß ss", "ss", ["ss"]),
        ("\u03b1\u0345\u0301", "\u1fb4", ["\u03b1\u0345\u0301"]),
        ("e\u0301\u0323 \u1eb9\u0301", "\u1eb9\u0301", ["e\u0301\u0323", "\u1eb9\u0301"]),
    ],
)
def test_case_and_composition_do_not_matter(text, phrase, found) -> None:
    assert _found(text, phrase) == found


@pytest.mark.parametrize(
    ("text", "phrase", "found"),
    [
        ("私は東京タワーを見た", "東京タワー", ["東京タワー"]),
        ("私は東京タワーを見た", "京タ", ["京タ"]),
        ("在2020年的HTTP错误", "2020", ["2020"]),
        ("在2020年的HTTP错误", "http错误", ["HTTP错误"]),
        ("在2020年的HTTP错误", "TTP错误", []),
        ("ประเทศไทยสวย", "ไทย", ["ไทย"]),
        ("か\u3099 が", "が", ["か\u3099", "が"]),
        ("か\u3099", "か", []),
        ("𠮷野家の𠮷", "𠮷", ["𠮷", "𠮷"]),
    ],
)
def test_scripts_without_spaces_have_no_edges(text, phrase, found) -> None:
    assert _found(text, phrase) == found


ALPHABET = st.sampled_from(
    ["a", "A", "b", "_", "9", "-", ".", " ", "\n", "é", "ß", "東", "京", "\0"]
)
TEXTS = st.text(ALPHABET, max_size=14)


def _is_word(character: str) -> bool:
    return character in "ab_9és"


def _slowly(text: str, phrase: str) -> list[tuple[int, int]]:
    """Every stretch of the text compared with the phrase, then its neighbours looked at."""

    def folded(part: str) -> str:
        return re.sub(r"\s+", " ", part).casefold()

    wanted = folded(phrase).strip()
    spans: list[tuple[int, int]] = []
    start = 0
    while wanted and start < len(text):
        for end in range(start + 1, len(text) + 1):
            if text[start].isspace() or text[end - 1].isspace():
                continue
            before, after = folded(text[:start])[-1:], folded(text[end:])[:1]
            if (
                folded(text[start:end]) == wanted
                and not (_is_word(wanted[0]) and before and _is_word(before))
                and not (_is_word(wanted[-1]) and after and _is_word(after))
            ):
                spans.append((start, end))
                start = end - 1
                break
        start += 1
    return spans


@given(TEXTS, st.text(ALPHABET, max_size=4))
@settings(max_examples=500, deadline=None)
def test_places_are_those_of_every_stretch_compared(text, phrase) -> None:
    assert find_phrase(text, phrase) == _slowly(text, phrase)
    assert holds_phrase(text, phrase) is bool(_slowly(text, phrase))


@given(TEXTS, st.integers(0, 14), st.integers(1, 8))
def test_a_stretch_of_whole_words_is_found(text, start, length) -> None:
    phrase = text[start : start + length]
    spans = _slowly(text, phrase)
    assert find_phrase(text, phrase) == spans
    assert find_phrase(unicodedata.normalize("NFD", text), phrase.upper().lower()) == find_phrase(
        unicodedata.normalize("NFD", text), phrase
    )


@given(st.text(), st.text(max_size=3))
def test_spans_are_in_the_text_and_hold_the_phrase(text, phrase) -> None:
    spans = find_phrase(text, phrase)
    assert holds_phrase(text, phrase) is bool(spans)
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    composed = unicodedata.normalize("NFD", text)
    assert len(find_phrase(composed, phrase)) == len(
        find_phrase(unicodedata.normalize("NFC", text), phrase)
    )


@pytest.mark.parametrize("name", ["NFD", "NFC", "NFKC"])
def test_a_text_holds_itself_however_it_is_composed(name) -> None:
    text = "Ἀθῆναι, Ǻngström ﬃ ﬀ Ṩ ḳ́ 한글 Việt Nam"
    assert holds_phrase(unicodedata.normalize(name if name != "NFKC" else "NFC", text), text)


def test_nothing_composes_across_two_clusters() -> None:
    """What folding cluster by cluster rests on."""
    for point in range(sys.maxunicode + 1):
        decomposition = unicodedata.decomposition(chr(point)).split()
        if len(decomposition) == 2 and not decomposition[0].startswith("<"):
            pair = "".join(chr(int(each, 16)) for each in decomposition)
            if unicodedata.normalize("NFC", pair) != pair:
                assert regex.fullmatch(r"\X", pair), f"{point:04x}"


@pytest.mark.parametrize(
    ("text", "phrase", "count"),
    [
        ("a" * 1_000_000, "a" * 1_000, 0),
        ("-" * 1_000_000 + "ab", "-" * 1_000 + "a", 0),
        ("-" * 1_000_000, "-" * 1_000, 1_000),
        ("a " * 300_000 + "b", "a " * 1_000 + "b", 1),
        ("か" + "\u3099" * 100_000, "\u3099", 99_999),
    ],
    ids=["one word", "no edge", "many", "nearly", "one cluster"],
)
@pytest.mark.timeout(60)
def test_hostile_texts_end(text, phrase, count) -> None:
    # Comparing the phrase anew at every place would take minutes.
    spans = find_phrase(text, phrase)
    assert len(spans) == count
    assert holds_phrase(text, phrase) is (count > 0)

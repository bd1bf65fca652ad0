"""Texts as sets of shingles."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.near_duplicates.shingles import jaccard, shingles_of


def test_words_are_shingled_by_three() -> None:
    assert shingles_of("The moon, the sea: the MOON -- the\n\tsea_7 (rises).") == {
        "the moon the",
        "moon the sea",
        "the sea the",
        "sea the moon",
        "moon the sea_7",
        "the sea_7 rises",
    }


def test_characters_of_scripts_without_spaces_are_shingled_by_five() -> None:
    assert shingles_of("東京タワーは、とても高い") == {
        "東 京 タ ワ ー",
        "京 タ ワ ー は",
        "タ ワ ー は と",
        "ワ ー は と て",
        "ー は と て も",
        "は と て も 高",
        "と て も 高 い",
    }


def test_a_shingle_is_as_wide_as_its_first_token_asks() -> None:
    assert shingles_of("use 電気自動車 in two cities") == {
        "use 電 気",
        "電 気 自 動 車",
        "気 自 動 車 in",
        "自 動 車 in two",
        "動 車 in two cities",
        "in two cities",
    }


@pytest.mark.parametrize("joined", ["größer als ein grüner Baum im", "नमस्ते दुनिया यह एक छोटा सा"])
def test_letters_with_marks_stay_in_their_word(joined) -> None:
    folded = unicodedata.normalize("NFC", joined).casefold().split()
    expected = {" ".join(folded[start : start + 3]) for start in range(len(folded) - 2)}
    assert len(expected) < 5
    words = [*folded, "a", "b", "c"]
    expected |= {" ".join(words[start : start + 3]) for start in range(len(words) - 2)}
    assert shingles_of(joined + " a b c") == expected
    assert shingles_of(unicodedata.normalize("NFD", joined) + " a b c") == expected


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", "\n"),
        (" \n ", "\n"),
        ("Yes.", "\nyes."),
        ("one two  three\nfour Five six", "\none two three four five six"),
        ("na na na na na na na na na na", "\nna na na na na na na na na na"),
        ("東京タワーは高い", "\n東京タワーは高い"),
        ("+ - * / = < >", "\n+ - * / = < >"),
    ],
)
def test_a_short_text_is_one_shingle(text, whole) -> None:
    assert shingles_of(text) == {whole}


def test_five_shingles_are_enough() -> None:
    assert len(shingles_of("one two three four five six seven")) == 5
    assert jaccard(shingles_of("one two three"), shingles_of("ONE  two three")) == 1
    assert jaccard(shingles_of("one two three"), shingles_of("one two three.")) == 0
    long = "one two three four five six seven"
    assert jaccard(shingles_of("one two three"), shingles_of(long)) == 0


TOKENS = st.sampled_from(["a", "bb", "ccc", "x_1", "été", "東", "京", "ก", "ー"])
GAPS = st.sampled_from([" ", "\n", ", ", " (", ". ", "\u3000", "。"])


@given(st.lists(st.tuples(TOKENS, GAPS), max_size=30))
def test_shingles_are_the_windows_of_the_tokens(parts) -> None:
    tokens = [token for token, _ in parts]
    expected = set()
    for start, token in enumerate(tokens):
        window = tokens[start : start + (5 if token in "東京กー" else 3)]
        if len(window) == (5 if token in "東京กー" else 3):
            expected.add(" ".join(window))
    text = "".join(token + gap for token, gap in parts)
    if len(expected) >= 5:
        assert shingles_of(text) == expected
    else:
        assert shingles_of(text) == {"\n" + " ".join(text.split())}


SETS = st.frozensets(st.sampled_from("abcdefgh"), min_size=1)


@given(SETS, SETS)
def test_jaccard_is_intersection_over_union(left, right) -> None:
    assert jaccard(left, right) == len(left & right) / len(left | right)

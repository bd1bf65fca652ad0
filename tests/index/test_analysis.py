"""Text to terms."""

from __future__ import annotations

import gzip
import json
import math
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from search_engine.errors import ConfigError
from search_engine.index.analysis import Analyzer, has_identifier

ENGLISH = Analyzer("english")
AUTO = Analyzer("auto")
LANGUAGES = ("en", "de", "tr", "el", "hi", "ja", None)
# Letters of which some are written in two ways, joints of compounds, and scripts without spaces.
TEXTS = st.text("aAbß'iIİ\u0131üÅéﬁ0²9 _-./:\n\u0308\u00adΣςजि日本語かガｶﾞ한글ไที่🙂™", max_size=60)


def _terms(text: str, language: str | None) -> list[str]:
    return [token.term for token in AUTO.tokens(text, language=language)]


def test_words_are_lower_cased_stemmed_and_without_stop_words() -> None:
    expected = Counter({"cat": 1, "were": 1, "run": 2})
    text = "The Cats were RUNNING to it, running!"
    assert ENGLISH.terms(text) == expected
    assert AUTO.terms(text, language="en") == expected


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
    assert [token.term for token in ENGLISH.tokens(identifier)] == terms
    assert _terms(identifier, "en") == terms


def test_one_language_for_all_takes_words_as_they_are() -> None:
    """What indexes hold that were made before there was "auto"."""
    text = "Größe 日本語 да text/html cm² İ"
    terms = ["größe", "日本語", "да", "text", "html", "cm²", "i̇"]
    assert [token.term for token in ENGLISH.tokens(text)] == terms
    assert ENGLISH.terms(text, language="de") == Counter(terms)
    assert ENGLISH.query_terms(text, {"de", "ja"}) == Counter(terms)


@given(text=st.text(max_size=300) | TEXTS, language=st.sampled_from(LANGUAGES))
def test_terms_are_the_tokens_counted_and_tokens_have_their_places(text, language) -> None:
    for analyzer in (ENGLISH, AUTO):
        tokens = analyzer.tokens(text, language=language)
        assert Counter(each.term for each in tokens) == analyzer.terms(text, language=language)
        assert all(0 <= token.start < token.end <= len(text) for token in tokens)
        assert [each.start for each in tokens] == sorted(each.start for each in tokens)
        some = {each.term for each in tokens[::2]}
        among = [each for each in tokens if each.term in some]
        assert analyzer.tokens(text, language=language, among=some) == among


@given(words=st.lists(st.text("abcdefghijklmnopqrstuvwxyzABC_019", min_size=1, max_size=12)))
def test_english_without_compounds_is_what_it_was(words) -> None:
    text = " ".join(words)
    assert AUTO.terms(text, language="en") == ENGLISH.terms(text)


@pytest.mark.parametrize(
    ("code", "name", "text"),
    [
        ("de", "german", "Häuser Größe Bäume laufenden Straßen"),
        ("fr", "french", "chevaux mangeaient élèves"),
        ("ru", "russian", "собаками бежали красивая"),
        ("hi", "hindi", "लड़कियाँ किताबों"),
        ("no", "norwegian", "hestene løper"),
    ],
)
def test_each_text_is_stemmed_by_its_own_language(code, name, text) -> None:
    stem = Stemmer.Stemmer(name).stemWord
    words = unicodedata.normalize("NFKC", text).lower().split()
    assert _terms(text, code) == [stem(word) for word in words]


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("de", "das Haus und der Garten", ["haus", "gart"]),
        # The package has the Turkish words in the wrong encoding.
        ("tr", "alt\u0131 şey elma", ["elma"]),
        # No stemmer: only the English stop words, which such texts have most.
        ("uk", "The Running книги", ["running", "книги"]),
        (None, "The Running is_not", ["running", "is_not"]),
        ("xx", "Running", ["running"]),
    ],
)
def test_stop_words_are_those_of_the_language(language, text, terms) -> None:
    assert _terms(text, language) == terms


@pytest.mark.parametrize(
    ("compound", "terms"),
    [
        ("text/html", ["text/html", "text", "html"]),
        ("HTTP-404", ["http-404", "http", "404"]),
        ("std::vec::Vec", ["std::vec::vec", "std", "vec", "vec"]),
        ("foo.bar_baz.", ["foo.bar_baz", "foo", "bar_baz", "bar", "baz"]),
        ("(--dry-run)", ["dry-run", "dri", "run"]),
        ("-v", ["-v", "v"]),
        ("--port", ["--port", "port"]),
        ("docs/en/index.md", ["docs/en/index.md", "doc", "en", "index.md", "index", "md"]),
        ("docs/en", ["docs/en", "doc", "en"]),
        ("docs/utf8", ["docs/utf8", "doc", "utf8", "utf", "8"]),
        ("a/well-known", ["a/well-known", "well", "known"]),
        ("192.168.0.1", ["192.168.0.1", "192", "168", "0", "1"]),
        # Prose: hyphens, a dash between words, a negative number, an end of a sentence.
        ("well-known", ["well", "known"]),
        ("well--known", ["well", "known"]),
        ("-5", ["5"]),
        ("end. Next: one - two", ["end", "next", "one", "two"]),
        ("E0308", ["e0308", "e", "0308"]),
        (f"{'a' * 50}.{'b' * 49}", [f"{'a' * 50}.{'b' * 49}", "a" * 50, "b" * 49]),
        (f"{'a' * 50}.{'b' * 50}", ["a" * 50, "b" * 50]),
    ],
)
def test_compounds_are_found_whole_too(compound, terms) -> None:
    assert _terms(compound, "en") == terms
    # The same patterns for other than ASCII.
    assert _terms(f"{compound} \u2013", "en") == terms


def test_a_compound_and_its_words_have_their_places() -> None:
    text = "see --storage.tsdb.path, Größe"
    found = {token.term: text[token.start : token.end] for token in AUTO.tokens(text)}
    assert found["storage.tsdb.path"] == "storage.tsdb.path"
    assert (found["tsdb"], found["größe"]) == ("tsdb", "Größe")


@given(text=st.text("日本語漢字一二中文", min_size=2, max_size=30))
def test_scripts_without_spaces_are_overlapping_pairs(text) -> None:
    pairs = [(text[place : place + 2], place, place + 2) for place in range(len(text) - 1)]
    for language in ("zh", "en", None):
        assert AUTO.tokens(text, language=language) == pairs


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("水", ["水"]),
        ("FastAPIを使う", ["fastapi", "fast", "api", "を使", "使う"]),
        ("한국어 한", ["한국", "국어", "한"]),
        ("コード", ["コー", "ード"]),
        ("ｺｰﾄﾞ", ["コー", "ード"]),
        # Four letters and four marks are what a reader sees as four characters.
        ("ที่ดีมา", ["ที่ดี", "ดีม", "มา"]),
        ("ລາວ", ["ລາ", "າວ"]),
        ("ខ្មែ", ["ខ្មែ"]),
        ("x.日本", ["x", "日本"]),
    ],
)
def test_pairs_stand_beside_words_in_the_same_text(text, terms) -> None:
    for language in ("en", "ja", None):
        assert _terms(text, language) == terms


def test_the_places_of_pairs_are_those_of_the_text_as_it_is() -> None:
    text = "x ｶﾞﾗｽ"
    found = [(each.term, text[each.start : each.end]) for each in AUTO.tokens(text)]
    assert found == [("x", "x"), ("ガラ", "ｶﾞﾗ"), ("ラス", "ﾗｽ")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Gro\u0308ße", "Größe"),
        ("\uff26\uff41\uff53\uff54\uff21\uff30\uff29", "FastAPI"),
        ("ﬁle", "file"),
        ("Donau\u00addampf", "Donaudampf"),
        ("cm²", "cm2"),
        ("ｶﾞﾗｽ", "ガラス"),
        ("か\u3099す", "がす"),
        ("葛\U000e0100城", "葛城"),
        ("İstanbul", "Istanbul"),
    ],
)
def test_what_is_the_same_to_a_reader_is_the_same_term(one, other) -> None:
    assert AUTO.terms(one, language="de") == AUTO.terms(other, language="de")
    assert all(each.end <= len(one) for each in AUTO.tokens(one, language="de"))


@given(text=st.text("aßÜöéÅçñ 한국어がパでžŽάΩ", max_size=40), language=st.sampled_from(LANGUAGES))
def test_composed_and_decomposed_letters_are_the_same(text, language) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert AUTO.terms(composed, language=language) == AUTO.terms(decomposed, language=language)


def test_a_trade_mark_is_no_part_of_its_word() -> None:
    assert _terms("Prometheus™ Java®", "en") == ["prometheus", "java"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("IŞIK", "\u0131ş\u0131k"),
        ("İstanbul", "istanbul"),
        ("Irmak", "\u0131rmak"),
        ("API", "api"),
        ("ID", "id"),
    ],
)
def test_turkish_capitals_find_their_small_letters(one, other) -> None:
    assert _terms(one, "tr") == _terms(other, "tr")


def test_a_question_has_the_form_of_each_language() -> None:
    forms = AUTO.query_terms("running Häuser", {"en", "de", None})
    assert forms == Counter({"run": 1, "running": 1, "haus": 1, "häuser": 1})
    # What several languages have in common counts once, and as often as the question has it.
    assert AUTO.query_terms("running run Run", {"en", "nl", "fr"})["run"] == 3
    assert AUTO.query_terms("日本 日本", {"en", "ja"}) == Counter({"日本": 2})
    assert AUTO.query_terms("running", {"en"}) == Counter({"run": 1})
    assert AUTO.query_terms("running", frozenset()) == Counter()


@given(text=TEXTS, language=st.sampled_from(LANGUAGES))
def test_a_question_asks_for_nothing_that_its_own_text_has_not(text, language) -> None:
    asked = AUTO.query_terms(text, {language})
    assert set(asked) <= set(AUTO.terms(text, language=language))


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        # English has two of its stop words in it, so they are not asked of German texts.
        ("the running in the dog", ["run", "running", "dog"]),
        # German has two, English one.
        ("wie ist es in Berlin", ["berlin"]),
        # One alone could be a word of the other language.
        ("cold war", ["cold", "war"]),
        # As many of one language as of the other: what both have is dropped.
        ("is in die Berlin", ["is", "die", "berlin"]),
        # Nothing but stop words is still a question to the other language.
        ("to be or not to be", ["to", "be", "or", "not"]),
    ],
)
def test_stop_words_of_the_language_of_the_question_are_asked_of_none(query, terms) -> None:
    assert sorted(AUTO.query_terms(query, {"en", "de"})) == sorted(terms)


def test_a_question_of_prose_does_not_ask_for_compounds_twice() -> None:
    assert AUTO.query_terms("text/html", {"en"}) == Counter(["text/html", "text", "html"])
    assert AUTO.query_terms("send text/html", {"en"}) == Counter(["send", "text", "html"])
    assert AUTO.query_terms("192.168.0.1 down", {"en"}) == Counter(["192", "168", "0", "1", "down"])
    for code in ("std::vec", "foo.bar", "--port", "a_b/c"):
        assert code in AUTO.query_terms(f"use {code}", {"en"})


def test_threads_share_an_analyzer() -> None:
    texts = [f"running{n} häuser{n} Walking{n} gelaufen" for n in range(400)]
    alone = [Analyzer("auto").terms(text, language="de") for text in texts]
    analyzer = Analyzer("german")
    german = [analyzer.terms(text) for text in texts]
    fresh = Analyzer("german")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: AUTO.terms(text, language="de"), texts)) == alone
        assert list(pool.map(fresh.terms, texts)) == german


@pytest.mark.parametrize("language", ["zh", "th", "hi", "ru", "tr", "ar"])
def test_questions_in_any_script_find_their_paragraph(shared_data, language) -> None:
    """Of 240 paragraphs the one with the greatest idf sum; 100 questions."""
    path = shared_data / "multilingual" / "xquad" / f"{language}.json.gz"
    articles = json.loads(gzip.decompress(path.read_bytes()))["data"]
    paragraphs = [each for article in articles for each in article["paragraphs"]]
    documents = [set(AUTO.terms(each["context"], language=language)) for each in paragraphs]
    df = Counter(term for terms in documents for term in terms)
    first = [
        (position, qa["question"])
        for position, each in enumerate(paragraphs)
        for qa in each["qas"][:1]
    ][:100]
    found = 0
    for position, question in first:
        asked = AUTO.query_terms(question, {language, "en"})
        scores = [
            sum(math.log(1 + len(documents) / df[term]) for term in asked if term in terms)
            for terms in documents
        ]
        found += max(range(len(scores)), key=scores.__getitem__) == position
    assert found >= 80


def test_an_unknown_language_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"klingon.*auto.*english"):
        Analyzer("klingon")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((each, True) for each in ("--web.enable-lifecycle", "tar -xzf", "scrape_interval")),
        *((each, True) for each in ("what does response_model do", "std::vec", "os.path.join")),
        *((each, True) for each in ("HTTPException", "camelCase", "error E0308", "_private")),
        *((each, True) for each in ("AS-201", "use getHttpHeader here", "storage.tsdb")),
        *((each, False) for each in ("how do I cook rice", "the HTTP 404 code", "e.g. this one")),
        *((each, False) for each in ("a well-known fact", "text/html", "at 9 a.m.", "IPv4", "p53")),
        *((each, False) for each in ("mRNA and IgM", "Dr. McDonald", "my iPhone", "1.5 litres")),
        *((each, False) for each in ("Who? Me.", "12:30", "", "東京の天気", "NASA", "2024-05-17")),
    ],
)
def test_identifiers_are_told_from_prose(text, expected) -> None:
    assert has_identifier(text) is expected

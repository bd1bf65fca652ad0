"""Quoted phrases and excluded terms in queries."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_engine.query_syntax import ParsedQuery, parse_query


@pytest.mark.parametrize(
    ("query", "parsed"),
    [
        (
            '"HTTP 404" proxy -nginx -"load balancer"',
            ParsedQuery("HTTP 404 proxy", ("HTTP 404",), ("nginx",), ("load balancer",)),
        ),
        ('a "b" c "d e"', ParsedQuery("a b c d e", ("b", "d e"))),
        ("“a b” „c d“ „e f” «g h»", ParsedQuery("a b c d e f g h", ("a b", "c d", "e f", "g h"))),
        ("« mot juste » ici", ParsedQuery(" mot juste  ici", ("mot juste",))),
        (
            '"--storage.tsdb.path" -x',
            ParsedQuery("--storage.tsdb.path", ("--storage.tsdb.path",), ("x",)),
        ),
        ("fast -„langsam wie“ x -«y z»", ParsedQuery("fast x", (), (), ("langsam wie", "y z"))),
        ('f("a b")', ParsedQuery("f(a b)", ("a b",))),
        ('"a\nb"', ParsedQuery("a\nb", ("a\nb",))),
        ("他说“你好”了", ParsedQuery("他说你好了", ("你好",))),
        ('错误"连接超时"怎么办', ParsedQuery("错误连接超时怎么办", ("连接超时",))),
        ('“he said "x y"” z', ParsedQuery('he said "x y" z', ('he said "x y"',))),
        ('"a"b" c', ParsedQuery('a"b c', ('a"b',))),
    ],
)
def test_phrases_are_required_or_excluded(query, parsed) -> None:
    assert parse_query(query) == parsed


@pytest.mark.parametrize(
    "query",
    [
        "",
        "  ",
        "two  words\n",
        'a 5" disk',
        'a 5" disk and a 3" disk',
        '27"',
        '"never closed',
        'closed"',
        "“never closed",
        "closed” „ »",
        "» a «",
        "“a“ b",
        "”b”",
        "don't 'quote me'",
        '"" and "-" and " "',
        'a"b"c',
        '-"never closed',
        "--flag",
        "x --flag=y",
        "well-known a-b -",
        "a - b",
        "- a",
        "x -(y)",
        "x -_y",
        "1\u22122 \u22123 \u2013x",
        'x -"-"',
    ],
)
def test_what_is_no_syntax_stays_as_it_is(query) -> None:
    assert parse_query(query) == ParsedQuery(query)


@pytest.mark.parametrize("query", ["-v", "-v -w", '-"a b"', ' -a\t-"b c" -d', "! -a ?", '"" -a'])
def test_a_query_that_would_only_exclude_is_literal(query) -> None:
    assert parse_query(query) == ParsedQuery(query)


@pytest.mark.parametrize(
    ("query", "text", "terms"),
    [
        ("moon -cheese", "moon", ("cheese",)),
        ("-cheese moon", "moon", ("cheese",)),
        ("moon  -cheese  rise\n-x", "moon  rise", ("cheese", "x")),
        ("mac -windows, linux", "mac linux", ("windows",)),
        ("what -c++ -f(x)?", "what", ("c++", "f(x)")),
        ("x -don't -a-b -5 -über -日本", "x", ("don't", "a-b", "5", "über", "日本")),
        ("--flag -y z", "--flag z", ("y",)),
        ('x -a"b', "x", ('a"b',)),
        ("x -\N{ARABIC-INDIC DIGIT TWO}", "x", ("\N{ARABIC-INDIC DIGIT TWO}",)),
    ],
)
def test_terms_are_excluded(query, text, terms) -> None:
    assert parse_query(query) == ParsedQuery(text, (), terms)


WORDS = st.text(st.sampled_from("abÄ9é_"), min_size=1, max_size=4).filter(
    lambda word: any(character.isalnum() for character in word)
)
PLAIN = WORDS | st.sampled_from(["--flag", "a-b", "don't", "&", "5-6"])
PHRASES = (
    st.lists(PLAIN, min_size=1, max_size=3)
    .map(" ".join)
    .filter(lambda phrase: any(character.isalnum() for character in phrase))
)
QUOTES = st.sampled_from(['""', "“”", "„“", "„”", "«»"])
# Letters may be excluded, an underscore may not.
TERMS = st.tuples(st.sampled_from("aÄ9"), WORDS).map("".join)


@given(
    st.lists(
        st.tuples(st.just("plain"), PLAIN, QUOTES)
        | st.tuples(st.just("phrase"), PHRASES, QUOTES)
        | st.tuples(st.just("term"), TERMS, QUOTES)
        | st.tuples(st.just("not phrase"), PHRASES, QUOTES),
        min_size=1,
    ),
    st.sampled_from([" ", "\n", "\u3000"]),
)
def test_what_is_spelled_is_read(parts, gap) -> None:
    spelled = {
        "plain": lambda content, _: content,
        "phrase": lambda content, quotes: quotes[0] + content + quotes[1],
        "term": lambda content, _: "-" + content,
        "not phrase": lambda content, quotes: "-" + quotes[0] + content + quotes[1],
    }
    query = gap.join(spelled[kind](content, quotes) for kind, content, quotes in parts)

    def contents(kind: str) -> tuple[str, ...]:
        return tuple(content for each, content, _ in parts if each == kind)

    text = gap.join(content for kind, content, _ in parts if kind in ("plain", "phrase"))
    if any(character.isalnum() for character in text):
        assert parse_query(query) == ParsedQuery(
            text, contents("phrase"), contents("term"), contents("not phrase")
        )
        assert parse_query(text) == ParsedQuery(text)
    elif contents("term") or contents("not phrase"):
        assert parse_query(query) == ParsedQuery(query)


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN"


def _joins(character: str) -> bool:
    """Whether a quote beside it is part of a word."""
    return character in "ab9_"


def _slowly(query: str) -> ParsedQuery:
    """The rules read from left to right, one character at a time."""
    closers = {'"': '"', "“": "”", "„": "“”", "«": "»"}
    found: dict[str, list[str]] = {"phrase": [], "term": [], "not phrase": []}
    text, place = "", 0
    while place < len(query):
        begins = place == 0 or query[place - 1].isspace()
        minus = query[place] == "-" and begins
        opening = place + minus
        if minus and opening < len(query) and _is_letter(query[opening]):
            end = opening
            while end < len(query) and not query[end].isspace():
                end += 1
            found["term"].append(query[opening:end].rstrip(".,;:!?"))
            text, place = text.rstrip(), end
            continue
        if (
            opening < len(query)
            and query[opening] in closers
            and (minus or place == 0 or not _joins(query[place - 1]))
        ):
            ends = [
                end
                for end in range(opening + 1, len(query))
                if query[end] in closers[query[opening]]
                and not _joins(query[end + 1 : end + 2] or " ")
            ]
            if ends:
                content = query[opening + 1 : ends[0]]
                if not any(map(_is_letter, content)):
                    text += query[place : ends[0] + 1]
                elif minus:
                    found["not phrase"].append(content.strip())
                    text = text.rstrip()
                else:
                    found["phrase"].append(content.strip())
                    text += content
                place = ends[0] + 1
                continue
            text += query[place : opening + 1]
            place = opening + 1
            continue
        text += query[place]
        place += 1
    if found["term"] or found["not phrase"]:
        text = text.strip()
        if not any(map(_is_letter, text)):
            return ParsedQuery(query)
    return ParsedQuery(text, *(tuple(each) for each in found.values()))


@given(st.text(st.sampled_from('ab9_東 \n--""“”„«».'), max_size=24))
@settings(max_examples=1_000, deadline=None)
def test_any_text_is_read_as_the_rules_say(query) -> None:
    assert parse_query(query) == _slowly(query)


@given(st.text())
def test_every_text_is_a_query(query) -> None:
    parsed = parse_query(query)
    for each in (*parsed.phrases, *parsed.excluded_terms, *parsed.excluded_phrases):
        assert each == each.strip() != ""
        assert each in query


@pytest.mark.parametrize(
    ("part", "parsed"),
    [
        (' "a', lambda query, count: ParsedQuery(query)),
        (" “a", lambda query, count: ParsedQuery(query)),
        (' -"a', lambda query, count: ParsedQuery(query)),
        (" -a", lambda query, count: ParsedQuery(query)),
        ('""', lambda query, count: ParsedQuery(query)),
        (' "a"', lambda query, count: ParsedQuery(" a" * count, ("a",) * count)),
    ],
)
@pytest.mark.timeout(60)
def test_hostile_queries_end(part, parsed) -> None:
    # Reading on to the end from each quote would take hours.
    count = 200_000
    assert parse_query(part * count) == parsed(part * count, count)

"""Quoted phrases and excluded terms, against every chunk's text read one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_engine.config import Compute, Config, DenseConfig
from search_engine.query_syntax import parse_query
from search_engine.search import SearchEngine
from search_engine.types import Document

TEXTS = {
    "run": "Start the proxy with --web.listen-address and read HTTP 404 in the log.",
    "running": "The proxy was running when HTTP status 404 came; 404 HTTP is the other order.",
    "log": "Nothing of it: the log says http  404\nand that the server runs on.",
    "german": "Der Proxy lief nicht mehr, als die Häuser im Dunkeln lagen und niemand half.",
    "japanese": "東京都の天気は晴れです。京都の天気は雨です。明日は大阪に行きます。",
    "kyoto": "京都の寺は古いです。奈良の寺も古いと言われています。",
    "thai": "ดื่มน้ำที่บ้านทุกวัน เพราะน้ำดีต่อร่างกาย และที่นี่ไม่มีน้ำอัดลมขายเลย",
    "stop": "Not to be taken for the question to be or not to be, which is another one.",
    "dots": "Set the option storage.tsdb.path, and never storage tsdb path, in the file.",
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("narrowing") / "index"
    with SearchEngine.create(folder, config=Config(), compute=Compute(offline=True)) as engine:
        with engine.writer() as writer:
            for name, text in TEXTS.items():
                title = "A titled page" if name == "log" else ""
                writer.add(Document(name, text, title=title))
        yield engine


def _ids(engine: SearchEngine, query: str, **options: object) -> set[str]:
    return {result.doc_id for result in engine.search(query, **options).results}


@pytest.mark.parametrize(
    "query, expected",
    [
        ('proxy "HTTP 404"', {"run", "log"}),
        ('"http status 404"', {"running"}),
        ('"404 http"', {"running"}),
        ('"--web.listen-address"', {"run"}),
        ('"storage.tsdb.path"', {"dots"}),
        ('"storage tsdb"', {"dots"}),
        ('"to be or not to be"', {"stop"}),
        ('"die Häuser im"', {"german"}),
        ('"京都の天気"', {"japanese"}),
        ('"寺"', {"kyoto"}),
        ('"「寺」"', set()),
        ('"น้ำ"', {"thai"}),
        ('"ที่บ้าน"', {"thai"}),
        ('"titled page"', {"log"}),
        ('"HTTP 404" "proxy"', {"run"}),
        ('"no such words"', set()),
        ('"tsdb.pat"', set()),
        # An excluded word goes in any form, more than a word as it is typed.
        ("http -run", {"run", "german", "japanese", "kyoto", "thai", "stop", "dots"}),
        ("weather -proxy", set(TEXTS) - {"run", "running", "german"}),
        ('weather -"HTTP 404"', set(TEXTS) - {"run", "log"}),
        ("weather -storage.tsdb.path", set(TEXTS) - {"dots"}),
        ("天気 -東京都", set(TEXTS) - {"japanese"}),
        ('"the log" -titled', {"run"}),
        ("-run", None),
        ("say -nothing-of-this", set(TEXTS)),
    ],
)
def test_the_results_are_those_that_hold_what_is_asked_for(query, expected, engine) -> None:
    if expected is None:
        # A query that would only exclude is taken as it is typed.
        assert "run" in _ids(engine, query)
        return
    assert _ids(engine, query) == expected


def test_every_leg_is_narrowed_and_a_filter_holds_as_well(engine) -> None:
    stages = engine.retrieve('proxy "HTTP 404"')
    for hits in stages.legs.values():
        assert set(engine.doc_ids(hits.chunk_ids)) <= {"run", "log"}
    assert len(stages.legs["dense"]) == 2
    assert "filter" in stages.timings_ms
    assert _ids(engine, '"the" -proxy', where={"language": "de"}) == set()
    assert _ids(engine, "proxy -nothing", where={"language": "de"}) == {"german"}


def test_what_was_left_out_is_said(engine) -> None:
    notes = engine.search('weather -run -"HTTP 404"').notes
    assert [note for note in notes if note.startswith("Left out")] == [
        "Left out what has 'run'; put it in quotes to look for it.",
        "Left out what has 'HTTP 404'; put it in quotes to look for it.",
    ]


_words = st.sampled_from(
    ["run", "runs", "log", "proxy", "http 404", "the log", "寺", "天気は", "be"]
)


@settings(max_examples=60, deadline=None)
@given(phrases=st.lists(_words, max_size=3), without=st.lists(_words, max_size=2))
def test_phrases_are_those_that_stand_in_the_text(phrases, without, engine) -> None:
    asked = ["anything", *(f'"{each}"' for each in phrases), *(f'-"{each}"' for each in without)]

    def holds(text: str, phrase: str) -> bool:
        """By hand: lower case, single spaces, and a space or a mark around Latin words."""
        marked = "".join(each if each.isalnum() else " " for each in text.lower())
        plain = " ".join(marked.split())
        return f" {phrase} " in f" {plain} " if phrase.isascii() else phrase in plain

    expected = {
        name
        for name, text in TEXTS.items()
        if all(holds(text, each) for each in phrases)
        and not any(holds(text, each) for each in without)
    }
    assert _ids(engine, " ".join(asked)) == expected


def test_without_postings_phrases_are_found_all_the_same(tmp_path) -> None:
    config = Config(dense=DenseConfig(), bm25=None)
    with SearchEngine.create(
        tmp_path / "index", config=config, compute=Compute(offline=True)
    ) as engine:
        with engine.writer() as writer:
            for name, text in TEXTS.items():
                writer.add(Document(name, text))
        assert _ids(engine, 'proxy "HTTP 404"') == {"run", "log"}
        # Without postings an excluded word goes as it is typed, and in no other form.
        assert _ids(engine, "weather -runs") == set(TEXTS) - {"log"}


def test_an_empty_index_has_nothing_for_a_phrase(tmp_path) -> None:
    with SearchEngine.create(tmp_path / "index", compute=Compute(offline=True)) as engine:
        assert _ids(engine, '"a phrase" -word') == set()


def test_the_encoders_see_neither_quotes_nor_what_is_left_out() -> None:
    assert parse_query('proxy "HTTP 404" -nginx').text == "proxy HTTP 404"

"""The page over a real index, through Streamlit's own test harness."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import app.page
from search_engine.errors import IndexCorruptError, IndexNotFoundError
from search_engine.search import NO_RERANKER, SearchEngine
from search_engine.types import Document
from tests.app.conftest import MakeIndex, OpenPage, add_documents, ask
from tests.app.shown import elements, marks, texts

MAPLE = Document(
    "trees/maple",
    "# Maple\n\nA maple is a tree.\n\n## Syrup\n\nThe syrup of maples is boiled from sap.\n",
    title="Maple",
    source="trees/maple.md",
    markup="markdown",
    first_line=1,
)
FIRST_PAGE = "The ferry leaves at nine. " * 20 + "\n\n"
FERRY = Document(
    "notes/ferry",
    FIRST_PAGE + "It returns at five. " * 20 + "In winter the last one returns at four.",
    title="Ferry",
    source="notes/ferry.pdf",
    pages=(0, len(FIRST_PAGE)),
)
LONG = Document(
    "notes/long",
    "\n".join(f"    Line {number} of a long indented list about nothing." for number in range(40))
    + "\n    Here an otter swims.\n",
    title="Long",
)


def test_header_and_empty_box(make_index: MakeIndex, open_page: OpenPage) -> None:
    page = open_page(make_index(MAPLE, FERRY))
    with SearchEngine.open(Path(sys.argv[-1])) as engine:
        chunks = engine.chunk_count
    assert texts(page, "se-index") == ["letters"]
    assert texts(page, "se-counts") == [f"2 documents · {chunks} chunks"]
    for question in ("", "  "):
        page = ask(page, question)
        assert not texts(page, "se-card") and not texts(page, "se-summary") and not page.error


def test_a_result_shows_what_the_engine_answered(
    make_index: MakeIndex, open_page: OpenPage
) -> None:
    folder = make_index(MAPLE, FERRY, LONG)
    page = ask(open_page(folder), "where does the syrup of a maple come from")
    with SearchEngine.open(folder) as engine:
        answer = engine.search("where does the syrup of a maple come from")
    best = answer.results[0]
    assert texts(page, "se-rank") == [str(result.rank) for result in answer.results]
    assert texts(page, "se-title")[0] == "Maple"
    assert texts(page, "se-score") == [f"score {result.score:.3f}" for result in answer.results]
    assert texts(page, "se-source")[0] == "trees/maple.md"
    assert texts(page, "se-position")[0] == f"line {best.line}"
    assert texts(page, "se-passage") == [result.highlight.text for result in answer.results]
    assert [word for words in marks(page, "se-passage") for word in words] == [
        result.highlight.text[start:end]
        for result in answer.results
        for start, end in result.highlight.spans
    ]
    assert {"syrup", "maples"} <= set(marks(page, "se-passage")[0])
    assert texts(page, "se-leg")[0] == f"bm25 #1 {best.scores['bm25']:.3f}"


def test_headings_leave_out_the_title(make_index: MakeIndex, open_page: OpenPage) -> None:
    body = "word " * 180
    written = (
        f"# Maple\n\n{body}\n\n## Care\n\n{body}\n\n### Pruning\n\nPrune with secateurs. {body}\n"
    )
    named = Document("a", written, title="Maple", markup="markdown")
    page = ask(open_page(make_index(named)), "secateurs")
    bdi = [
        heading.text_content()
        for each in elements(page)
        for headings in each.find_class("se-headings")
        for heading in headings
    ]
    assert bdi == ["Care", "Pruning"]


def test_a_page_number_and_a_place_without_source(
    make_index: MakeIndex, open_page: OpenPage
) -> None:
    page = open_page(make_index(FERRY, LONG))
    assert texts(ask(page, "winter"), "se-position") == ["page 2"]
    page = ask(page, "otter")
    assert texts(page, "se-source") == ["notes/long"]
    assert texts(page, "se-position") == []


def test_the_whole_chunk_is_shown_as_written(make_index: MakeIndex, open_page: OpenPage) -> None:
    folder = make_index(LONG)
    page = ask(open_page(folder), "otter")
    with SearchEngine.open(folder) as engine:
        (result,) = engine.search("otter").results
    assert result.text != result.highlight.text
    assert [each.label for each in page.expander] == ["Whole chunk"]
    assert texts(page, "se-chunk") == [result.text]
    assert marks(page, "se-chunk") == [["otter"]]
    assert f"notes/long, characters {result.start} to {result.end}" in texts(page, "se-place")


def test_no_expander_where_the_passage_is_all(make_index: MakeIndex, open_page: OpenPage) -> None:
    page = ask(open_page(make_index(Document("a", "An otter swims."))), "otter")
    assert texts(page, "se-passage") == ["An otter swims."]
    assert len(page.expander) == 0


def test_a_document_without_text_is_found_by_its_title(
    make_index: MakeIndex, open_page: OpenPage
) -> None:
    page = ask(open_page(make_index(Document("a", "", title="An otter"))), "otter")
    assert texts(page, "se-title") == ["An otter"]
    assert texts(page, "se-passage") == []


def test_number_of_results(make_index: MakeIndex, open_page: OpenPage) -> None:
    otters = [Document(f"{number}", f"Otter number {number}.") for number in range(30)]
    page = ask(open_page(make_index(*otters)), "otter")
    assert len(texts(page, "se-passage")) == 10
    assert texts(page, "se-total")[0].startswith("10 results in ")
    assert len(texts(page.selectbox[0].set_value(20).run(), "se-passage")) == 20
    assert len(texts(page.selectbox[0].set_value(50).run(), "se-passage")) == 30


def test_summary_names_every_stage_and_the_notes(
    make_index: MakeIndex, open_page: OpenPage
) -> None:
    page = ask(open_page(make_index(FERRY)), "ferry")
    stages = texts(page, "se-stage")
    assert [re.sub(r" \d+\.\d ms$", "", stage) for stage in stages] == [
        "bm25",
        "fuse",
        "highlight",
    ]
    assert texts(page, "se-note") == [NO_RERANKER]


def test_nothing_found(make_index: MakeIndex, open_page: OpenPage) -> None:
    page = ask(open_page(make_index(FERRY)), "zebra")
    assert texts(page, "se-total")[0].startswith("Nothing found in ")
    assert not texts(page, "se-card")


def test_a_missing_index_is_said_and_found_once_it_is_there(
    make_index: MakeIndex, open_page: OpenPage, tmp_path: Path
) -> None:
    folder = tmp_path / "__my__ *index* $x$"
    page = open_page(folder)
    with pytest.raises(IndexNotFoundError) as error:
        SearchEngine.open(folder)
    assert [each.value for each in page.error] == ["The index cannot be opened"]
    assert texts(page, "se-details") == [str(error.value)]
    assert len(page.text_input) == 0
    make_index(FERRY, name=folder.name)
    page.run()
    assert not page.error
    assert texts(ask(page, "winter"), "se-title") == ["Ferry"]


def test_an_index_that_cannot_be_read_is_said(open_page: OpenPage, tmp_path: Path) -> None:
    (tmp_path / "index.db").write_text("these are no tables " * 100)
    page = open_page(tmp_path)
    with pytest.raises(IndexCorruptError) as error:
        SearchEngine.open(tmp_path)
    assert texts(page, "se-details") == [str(error.value)]


def test_no_index_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["page.py"])
    page = AppTest.from_file(app.page.__file__).run()
    assert [each.value for each in page.error] == ["No index was named"]
    assert texts(page, "se-details") == ["start the page with `search-cli ui --index NAME`"]


def test_new_documents_are_found_without_opening_the_index_again(
    make_index: MakeIndex, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_index(FERRY)
    page = ask(open_page(folder), "otter")
    assert not texts(page, "se-card")
    add_documents(folder, LONG)
    with monkeypatch.context() as context:
        context.delattr(SearchEngine, "open")
        page.run()
    assert texts(page, "se-title") == ["Long"]
    assert texts(page, "se-counts")[0].startswith("2 documents")


def test_an_index_that_was_built_anew_is_opened_anew(
    make_index: MakeIndex, open_page: OpenPage
) -> None:
    folder = make_index(FERRY, LONG)
    page = ask(open_page(folder), "ferry")
    assert set(texts(page, "se-title")) == {"Ferry"}
    shutil.rmtree(folder)
    make_index(MAPLE)
    assert not texts(page.run(), "se-card")
    assert texts(ask(page, "syrup"), "se-title")[0] == "Maple"
    shutil.rmtree(folder)
    assert [each.value for each in page.run().error] == ["The index cannot be opened"]

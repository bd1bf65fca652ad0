"""What goes in comes out, counted, whatever its characters are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from search_engine.config import ChunkingConfig, Config
from search_engine.document_writer import WriterCounts
from search_engine.errors import ConfigError
from search_engine.index.store.database import Database
from search_engine.index.store.known_files import KnownFile, known_files
from search_engine.search import SearchEngine
from search_engine.types import Document

BM25_ONLY = Config(dense=None)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SearchEngine]:
    with SearchEngine.create(tmp_path / "index", config=BM25_ONLY) as engine:
        yield engine


def _found(engine: SearchEngine, query: str) -> list[str]:
    return [result.doc_id for result in engine.search(query).results]


def test_counts_tell_added_replaced_unchanged_and_deleted(engine) -> None:
    first = Document("a", "alpha one")
    with engine.writer() as writer:
        writer.add(first)
        writer.add(Document("b", "beta"))
    with engine.writer() as writer:
        writer.add(replace(first, source="elsewhere.txt"))
        writer.add(Document("b", "beta changed"))
        writer.add(Document("c", "gamma"))
        assert writer.delete("a")
        assert not writer.delete("a")
    assert writer.counts == WriterCounts(
        added=1, replaced=1, unchanged=1, deleted=1, chunks=2, encoded=2
    )
    assert _found(engine, "alpha") == []
    assert _found(engine, "changed gamma") == ["c", "b"]


def test_the_last_of_several_versions_in_one_run_stays(engine) -> None:
    with engine.writer() as writer:
        writer.add(Document("a", "alpha"))
        writer.add(Document("a", "beta"))
        writer.add(Document("a", "gamma"))
        writer.add(Document("b", "beta"))
        writer.delete("b")
    assert [_found(engine, word) for word in ("alpha", "beta", "gamma")] == [[], [], ["a"]]
    assert (engine.document_count, engine.chunk_count) == (1, 1)


def test_characters_that_cannot_be_stored_are_replaced_and_offsets_stay(engine) -> None:
    text = "before\x00\ud800 after 😀 zebra"
    with engine.writer() as writer:
        writer.add(Document("a", text, title="ti\x00tle"))
        writer.add(Document("a", text, title="ti\x00tle"))
    assert writer.counts.unchanged == 1
    (result,) = engine.search("zebra").results
    assert result.text == "before\ufffd\ufffd after 😀 zebra"
    assert (result.start, result.end, result.title) == (0, len(text), "ti\ufffdtle")
    start, end = result.highlight.spans[0]
    assert result.highlight.text[start:end] == "zebra"


def test_a_document_without_text_is_found_by_its_title(engine) -> None:
    with engine.writer() as writer:
        writer.add(Document("a", "", title="Zebra crossing"))
    (result,) = engine.search("zebra").results
    assert (result.title, result.text, result.start, result.end) == ("Zebra crossing", "", 0, 0)


def test_page_and_line_are_where_the_passage_stands(tmp_path) -> None:
    config = Config(dense=None, chunking=ChunkingConfig(strategy="none"))
    pages = ["one " * 100 + "\n", "two " * 100 + "\n", "three zebra " + "three " * 100]
    starts = (0, len(pages[0]), len(pages[0]) + len(pages[1]))
    filler = "nothing to see on this line of the file\n" * 40
    with SearchEngine.create(tmp_path / "index", config=config) as engine:
        with engine.writer() as writer:
            writer.add(Document("paged", "".join(pages), pages=starts))
            writer.add(Document("lined", filler + "a quagga here\n" + filler, first_line=1))
            writer.add(Document("record", "x\ny\nokapi", first_line=17, single_line=True))
        (paged,) = engine.search("zebra").results
        (lined,) = engine.search("quagga").results
        (record,) = engine.search("okapi").results
    assert (paged.page, paged.line) == (3, None)
    text = filler + "a quagga here\n" + filler
    expected = text.count("\n", 0, text.index(lined.highlight.text)) + 1
    assert (lined.page, lined.line) == (None, expected)
    assert 35 <= lined.line <= 41
    assert record.line == 17


def test_lines_are_right_for_every_chunk_of_a_long_file(engine) -> None:
    lines = [f"word{number} is the word on line {number} of this file." for number in range(1, 400)]
    with engine.writer() as writer:
        writer.add(Document("a", "\n".join(lines), first_line=1))
    assert writer.counts.chunks > 5
    for number in (1, 77, 200, 399):
        result = engine.search(f"word{number}", 1).results[0]
        first = result.highlight.text.split("\n")[0]
        assert first == lines[result.line - 1][-len(first) :]
        assert f"word{number} " in result.highlight.text


def test_many_documents_pass_through_several_batches(engine) -> None:
    seen = []
    with engine.writer(on_progress=lambda counts: seen.append(counts.encoded)) as writer:
        for number in range(1_200):
            writer.add(Document(f"d{number}", f"text number{number}"))
    assert seen == [500, 1000, 1200]
    assert engine.chunk_count == 1_200
    assert _found(engine, "number777")[0] == "d777"


def test_the_page_and_line_of_later_chunks_count_from_their_own_start(engine) -> None:
    pages = [f"page{number} talks at length about topic{number}. " * 30 for number in range(1, 6)]
    starts = tuple(sum(map(len, pages[:number])) for number in range(5))
    record = "first line\n" + "filler without interest. " * 60 + "\nthe okapi is here"
    with engine.writer() as writer:
        writer.add(Document("paged", "".join(pages), pages=starts))
        writer.add(Document("record", record, first_line=17, single_line=True))
    assert writer.counts.chunks > 6
    assert [engine.search(f"topic{n}", 1).results[0].page for n in (1, 3, 5)] == [1, 3, 5]
    assert engine.search("okapi", 1).results[0].line == 17


def test_a_change_of_pages_or_metadata_alone_is_a_change(engine) -> None:
    document = Document("a", "alpha beta", pages=(0,), metadata={"lang": "en"})
    with engine.writer() as writer:
        writer.add(document)
    with engine.writer() as writer:
        writer.add(replace(document, pages=(0, 6)))
        writer.add(replace(document, pages=(0, 6), metadata={"lang": "de"}))
    assert writer.counts.replaced == 2
    assert engine.search("beta").results[0].metadata == {"lang": "de"}


def test_more_results_than_the_fusion_depth_are_found(engine) -> None:
    with engine.writer() as writer:
        for number in range(200):
            writer.add(Document(f"d{number}", "the same words"))
    assert len(engine.search("words", 150).results) == 150


def test_an_id_that_cannot_be_stored_is_refused_and_a_source_is_mended(engine) -> None:
    with engine.writer() as writer:
        with pytest.raises(ConfigError, match="cannot be stored"):
            writer.add(Document("bad\udcff", "alpha"))
        writer.add(Document("good", "alpha", source="bad\udcff.txt"))
    assert [result.source for result in engine.search("alpha").results] == ["bad\ufffd.txt"]


def test_ending_early_keeps_what_is_encoded(engine) -> None:
    with engine.writer() as writer:
        for number in range(700):
            writer.add(Document(f"d{number}", f"text {number}"))
        writer.commit_encoded()
    assert engine.chunk_count == 500


ENGLISH = "The tide rises and falls twice a day, because the moon pulls at the sea."
GERMAN = "Das Wasser steigt und fällt zweimal am Tag, weil der Mond am Meer zieht."


@pytest.mark.parametrize(
    ("text", "given", "stored"),
    [
        (ENGLISH, None, "en"),
        (GERMAN, None, "de"),
        (GERMAN, "de-AT", "de"),
        (GERMAN, "Deutsch", "de"),
        # What was said counts, whatever the text looks like.
        (GERMAN, "en", "en"),
        (GERMAN, "Klingon", "Klingon"),
        ("a1 b2", None, None),
    ],
)
def test_the_language_is_that_which_was_said_or_else_the_detected_one(
    text, given, stored, engine
) -> None:
    metadata = {} if given is None else {"language": given}
    with engine.writer() as writer:
        writer.add(Document("a", text, metadata=metadata))
    (result,) = engine.search(text.split()[-1].strip(".")).results
    assert result.metadata.get("language") == stored
    # It is part of what is compared: the same document again is unchanged.
    with engine.writer() as writer:
        writer.add(Document("a", text, metadata=metadata))
    assert writer.counts == WriterCounts(unchanged=1)


def test_each_document_is_found_by_the_forms_of_its_own_language(engine) -> None:
    with engine.writer() as writer:
        writer.add(Document("en", "The houses were running out of water, and nobody was singing."))
        writer.add(Document("de", "Die Häuser hatten kein Wasser mehr, und niemand hat gesungen."))
        writer.add(Document("ja", "東京都の天気は晴れです。明日は雨が降るでしょう。"))
    assert _found(engine, "house") == ["en"]
    assert _found(engine, "runs") == ["en"]
    assert _found(engine, "Haus Häusern") == ["de"]
    assert _found(engine, "天気") == ["ja"]
    assert _found(engine, "京都") == ["ja"]


def test_texts_that_are_there_are_not_encoded_again(engine) -> None:
    with engine.writer() as writer:
        writer.add(Document("a", ENGLISH))
        writer.add(Document("b", ENGLISH))
    assert (writer.counts.encoded, writer.counts.reused, writer.counts.chunks) == (1, 1, 2)
    with engine.writer() as writer:
        writer.add(Document("a", ENGLISH, metadata={"new": True}))
        writer.add(Document("c", f"{ENGLISH} And more of it."))
    assert (writer.counts.encoded, writer.counts.reused, writer.counts.chunks) == (1, 1, 2)


def _known_files(engine: SearchEngine) -> dict[str, KnownFile]:
    with Database(engine.folder, writable=True) as database:
        return known_files(database.here, "docs")


def _known(place: Path) -> KnownFile:
    return KnownFile("docs", place.name, 1, 2, "hash", 1, (("a fault", 3), ("another", None)), 4)


def test_a_file_is_known_once_its_documents_are_committed(engine, tmp_path) -> None:
    with engine.writer() as writer:
        root = writer.root(tmp_path / "docs", settings={"hidden": True})
        assert (root.root_id, dict(root.settings)) == ("docs", {"hidden": True})
        writer.add(Document("docs/a.txt", "alpha"))
        writer.know_file(_known(tmp_path / "a.txt"))
        # Ended early: the document was not encoded, so its file is not known either.
        writer.commit_encoded()
        assert _known_files(engine) == {}
        writer.add(Document("docs/a.txt", "alpha"))
        writer.know_file(_known(tmp_path / "a.txt"))
        writer.commit()
        assert _known_files(engine) == {"a.txt": _known(tmp_path / "a.txt")}
        writer.forget_file("docs", "a.txt")
        assert _known_files(engine) != {}
    with engine.writer() as writer:
        assert _known_files(engine) == {}
        assert dict(writer.root(tmp_path / "docs").settings) == {"hidden": True}
        assert writer.documents_of_file("docs", "a.txt") == ["docs/a.txt"]
        assert (writer.document_count_below("docs"), writer.document_count_below("doc")) == (1, 0)

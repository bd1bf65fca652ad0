"""A generation beside the live one: built, promoted, gone back from, removed."""

from __future__ import annotations

import pytest

from search_engine.config import Config
from search_engine.errors import (
    ConfigError,
    GenerationBehindError,
    GenerationChangedError,
    GenerationError,
    SnapshotGoneError,
)
from search_engine.index.generations.builder import GenerationBuilder
from search_engine.index.generations.generation import Generation
from search_engine.index.generations.promotion import (
    begin_generation,
    give_up_generation,
    promote_generation,
    roll_back,
)
from search_engine.index.reader import IndexReader
from search_engine.index.upkeep.compaction import compact
from search_engine.index.writer import IndexWriter
from tests.index.documents import hash_of
from tests.index.generations import (
    answers,
    answers_from_scratch,
    answers_now,
    build,
    encode_for,
    generation,
    new_index,
    write,
)
from tests.index.rows import count_rows, folders, query


def _texts(count: int) -> dict[str, str]:
    return {f"d{n}": f"alpha {'beta ' * (n % 3)}{n}" for n in range(count)}


def test_built_while_documents_come_and_go_it_answers_as_one_made_from_scratch(tmp_path) -> None:
    texts = _texts(9)
    folder = new_index(tmp_path / "index", "first", texts)
    second = begin_generation(folder, generation("second"))
    assert build(folder, second.generation_id, "second", most=4) == ["d0", "d1", "d2", "d3"]
    with pytest.raises(GenerationBehindError, match="lacks 5 documents"):
        promote_generation(folder, second.generation_id)

    with IndexWriter(folder) as writer:
        writer.add(encode_for("d1", "beta changed", "first"))
        writer.add(encode_for("new", "alpha new", "first"))
        writer.delete("d2")
        writer.delete("d8")
    texts |= {"d1": "beta changed", "new": "alpha new"}
    del texts["d2"], texts["d8"]
    assert answers_now(folder) == answers_from_scratch(folder, "first", texts)

    lacking = ["d4", "d5", "d6", "d7", "d1", "new"]
    assert build(folder, second.generation_id, "second") == lacking
    assert answers_now(folder) == answers_from_scratch(folder, "first", texts), "nobody sees it yet"
    promote_generation(folder, second.generation_id)
    assert answers_now(folder) == answers_from_scratch(folder, "second", texts)

    write(folder, "second", {"later": "alpha later", "d0": "beta again"})
    assert roll_back(folder) == 2
    kept = {key: text for key, text in texts.items() if key != "d0"}
    assert answers_now(folder) == answers_from_scratch(folder, "first", kept)
    with IndexWriter(folder) as writer:
        assert writer.content_hash("later") is None
        assert writer.content_hash("d0") is None
        assert writer.content_hash("d4") == hash_of(texts["d4"])
        writer.add(encode_for("later", "alpha later", "first"))
    assert answers_now(folder) == answers_from_scratch(
        folder, "first", kept | {"later": "alpha later"}
    )

    with pytest.raises(GenerationBehindError, match="lacks 1 documents"):
        promote_generation(folder, second.generation_id)
    assert build(folder, second.generation_id, "second") == ["later"]
    promote_generation(folder, second.generation_id)
    texts |= {"later": "alpha later", "d0": "beta again"}
    assert answers_now(folder) == answers_from_scratch(folder, "second", texts)


def test_a_third_generation_retires_the_first_once_nobody_reads_it(tmp_path) -> None:
    texts = _texts(4)
    folder = new_index(tmp_path / "index", "first", texts)
    with IndexReader(folder) as held:
        snapshot = held.snapshot
        before = answers(held, snapshot)
        for name in ("second", "third"):
            new = begin_generation(folder, generation(name))
            build(folder, new.generation_id, name)
            promote_generation(folder, new.generation_id)
        assert answers_now(folder) == answers_from_scratch(folder, "third", texts)
        roll_back(folder)
        assert answers_now(folder) == answers_from_scratch(folder, "second", texts)
        compact(folder)
        assert answers(held, snapshot) == before
        states = query(folder, "SELECT generation_id, state FROM generations")
        assert states == [(1, "retired"), (2, "live"), (3, "previous")]
        assert count_rows(folder, "chunks") == 12
    compact(folder)
    assert query(folder, "SELECT generation_id FROM generations") == [(2,), (3,)]
    assert count_rows(folder, "chunks") == 8
    assert count_rows(folder, "segments") == len(folders(folder)) == 2
    assert count_rows(folder, "documents") == 4


def test_an_interrupted_build_goes_on_and_encodes_nothing_twice(tmp_path) -> None:
    folder = new_index(tmp_path / "index", "first", _texts(6))
    begun = begin_generation(folder, generation("second"))
    with pytest.raises(KeyboardInterrupt), GenerationBuilder(folder, 2) as builder:
        documents = list(builder.documents(builder.lacking()))
        for number, (document_id, document, _) in enumerate(documents):
            builder.add(document_id, encode_for(document.doc_id, document.text, "second"))
            if number == 3:
                builder.commit()
            if number == 4:
                raise KeyboardInterrupt
    again = begin_generation(folder, generation("second"))
    assert again.generation_id == begun.generation_id == 2
    assert build(folder, 2, "second") == ["d4", "d5"]
    assert query(folder, "SELECT count(*) FROM chunks WHERE generation_id = 2") == [(6,)]


def test_a_document_that_dies_while_its_chunks_wait_is_left_out(tmp_path) -> None:
    folder = new_index(tmp_path / "index", "first", _texts(3))
    begin_generation(folder, generation("second"))
    with GenerationBuilder(folder, 2) as builder:
        for document_id, document, _ in builder.documents(builder.lacking()):
            builder.add(document_id, encode_for(document.doc_id, document.text, "second"))
        with IndexWriter(folder) as writer:
            writer.delete("d0")
            writer.add(encode_for("d1", "beta changed", "first"))
    with pytest.raises(GenerationBehindError, match="lacks 1 documents"):
        promote_generation(folder, 2)
    build(folder, 2, "second")
    promote_generation(folder, 2)
    expected = {"d1": "beta changed", "d2": _texts(3)["d2"]}
    assert answers_now(folder) == answers_from_scratch(folder, "second", expected)


def test_a_builder_whose_generation_is_given_up_commits_nothing(tmp_path) -> None:
    folder = new_index(tmp_path / "index", "first", _texts(2))
    begin_generation(folder, generation("second"))
    with pytest.raises(SnapshotGoneError, match="given up"), GenerationBuilder(folder, 2) as last:
        for document_id, document, _ in last.documents(last.lacking()):
            last.add(document_id, encode_for(document.doc_id, document.text, "second"))
        # Other settings: the candidate that was being built makes room.
        assert begin_generation(folder, generation("third")).generation_id == 3
    with pytest.raises(SnapshotGoneError, match="given up"):
        GenerationBuilder(folder, 2)
    assert query(folder, "SELECT count(*) FROM chunks WHERE generation_id <> 1") == [(0,)]


def test_what_cannot_be_done_is_refused_and_changes_nothing(tmp_path) -> None:
    folder = new_index(tmp_path / "index", "first", _texts(2))
    dump = "SELECT * FROM generations UNION ALL SELECT key, value, 0, 0, 0, 0, 0 FROM config"
    before = query(folder, dump)
    with pytest.raises(GenerationError, match="has these models and settings already"):
        begin_generation(folder, generation("first"))
    with pytest.raises(GenerationError, match=r"generation 1 of .* is live already"):
        promote_generation(folder, 1)
    with pytest.raises(GenerationError, match="has no generation 7"):
        promote_generation(folder, 7)
    with pytest.raises(GenerationError, match="keeps no generation to go back to"):
        roll_back(folder)
    with pytest.raises(GenerationError, match=r"generation 1 of .* is live; promote another"):
        give_up_generation(folder, 1)
    with pytest.raises(ConfigError, match="manhattan"):
        begin_generation(folder, Generation(0, "a" * 64, Config(), 4, "manhattan"))
    assert query(folder, dump) == before


def test_what_is_given_up_leaves_nothing_behind(tmp_path) -> None:
    folder = new_index(tmp_path / "index", "first", _texts(3))
    named = folders(folder)
    begin_generation(folder, generation("second"))
    build(folder, 2, "second")
    assert len(folders(folder)) == 4
    give_up_generation(folder, 2)
    assert folders(folder) == named
    assert query(folder, "SELECT DISTINCT generation_id FROM chunks") == [(1,)]
    assert count_rows(folder, "generations") == 1
    assert begin_generation(folder, generation("second")).generation_id == 3, "ids are not reused"


def test_a_writer_that_is_open_across_a_promotion_commits_nothing(tmp_path) -> None:
    folder = new_index(tmp_path / "index", "first", _texts(2))
    begin_generation(folder, generation("second"))
    build(folder, 2, "second")
    with pytest.raises(GenerationChangedError, match="went live"), IndexWriter(folder) as writer:
        writer.add(encode_for("new", "alpha", "first"))
        writer.delete("d0")
        promote_generation(folder, 2)
        after = query(folder, "SELECT key, value FROM config")
        named = folders(folder)
    assert query(folder, "SELECT key, value FROM config") == after
    assert folders(folder) == named
    assert answers_now(folder) == answers_from_scratch(folder, "second", _texts(2))

"""Signatures in an index, and the near-duplicates among its documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from search_engine.errors import ConfigError
from search_engine.index.store.database import Database, write_transaction
from search_engine.index.store.pins import pinned
from search_engine.index.store.signatures import (
    delete_signatures,
    documents_without_signature,
    insert_signatures,
    signatures_of_living,
)
from search_engine.index.upkeep.duplicates import DuplicateDocument, find_duplicates
from search_engine.index.writer import IndexWriter
from search_engine.near_duplicates.shingles import jaccard, shingles_of
from search_engine.near_duplicates.signature import estimate_jaccard, signature_of
from tests.index.documents import encode
from tests.index.rows import query

MakeIndex = Callable[[str], Path]
WORDS = [f"word{number}" for number in range(200)]
LONG = " ".join(WORDS)
NEAR = " ".join([*WORDS[:-1], "changed"])
FAR = " ".join(WORDS[:170] + [word + "x" for word in WORDS[170:]])


def _add(folder: Path, texts: dict[str, str]) -> None:
    with IndexWriter(folder) as writer:
        for doc_id, text in texts.items():
            writer.add(encode(doc_id, text))


def _sign(folder: Path, *, but: tuple[str, ...] = ()) -> None:
    """Give all documents their signatures, and some none."""
    rows = query(folder, "SELECT document_id, doc_id, text FROM documents")
    with Database(folder, writable=True) as database, write_transaction(database.here):
        delete_signatures(database.here, [document_id for document_id, *_ in rows])
        insert_signatures(
            database.here,
            (
                (document_id, signature_of(text))
                for document_id, doc_id, text in rows
                if doc_id not in but
            ),
        )


def _living(folder: Path, commit: int | None = None) -> list[tuple[str, bytes]]:
    names = dict(query(folder, "SELECT document_id, doc_id FROM documents"))
    with Database(folder, writable=False) as database:
        if commit is None:
            commit = int(query(folder, "SELECT value FROM config WHERE key = 'commit'")[0][0])
        return [(names[each], own) for each, own in signatures_of_living(database.here, commit)]


def test_signatures_of_the_living_come_by_doc_id(make_index: MakeIndex) -> None:
    folder = make_index("index")
    _add(folder, {"c": "three", "a": "one", "b": "two"})
    _add(folder, {"d": "four"})
    _sign(folder, but=("d",))
    expected = [
        ("a", signature_of("one")),
        ("b", signature_of("two")),
        ("c", signature_of("three")),
    ]
    assert _living(folder) == expected


def test_a_commit_has_the_signatures_of_its_documents(make_index: MakeIndex) -> None:
    folder = make_index("index")
    _add(folder, {"a": "one", "b": "two"})
    with Database(folder, writable=True) as pinning, pinned(pinning, str(folder)) as state:
        _add(folder, {"a": "new", "c": "three"})
        with IndexWriter(folder) as writer:
            writer.delete("b")
        _sign(folder)
        assert _living(folder, state.commit) == [
            ("a", signature_of("one")),
            ("b", signature_of("two")),
        ]
        assert _living(folder) == [("a", signature_of("new")), ("c", signature_of("three"))]


def test_many_signatures_come_in_batches(
    make_index: MakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search_engine.index.store.signatures._ROWS", 3)
    folder = make_index("index")
    texts = {f"{number:02}": f"text {number}" for number in range(10)}
    _add(folder, texts)
    _sign(folder, but=("00", "04"))
    assert _living(folder) == [
        (doc_id, signature_of(text)) for doc_id, text in texts.items() if doc_id not in ("00", "04")
    ]


def test_a_signature_can_be_replaced_and_removed(make_index: MakeIndex) -> None:
    folder = make_index("index")
    _add(folder, {"a": "one", "b": "two"})
    (a,), (b,) = query(folder, "SELECT document_id FROM documents ORDER BY doc_id")
    _sign(folder)
    with Database(folder, writable=True) as database:
        with write_transaction(database.here):
            insert_signatures(database.here, [(a, b"x" * 512)])
        assert _living(folder) == [("a", b"x" * 512), ("b", signature_of("two"))]
        with write_transaction(database.here):
            delete_signatures(database.here, [a])
        assert _living(folder) == [("b", signature_of("two"))]
        with write_transaction(database.here):
            delete_signatures(database.here, [a, b])
        assert _living(folder) == []


def test_living_documents_without_a_signature_are_counted(make_index: MakeIndex) -> None:
    folder = make_index("index")
    _add(folder, {"a": "one", "b": "two", "c": "three", "d": "four"})
    _sign(folder, but=("a", "b", "c"))
    with IndexWriter(folder) as writer:
        writer.delete("c")
    (commit,) = query(folder, "SELECT value FROM config WHERE key = 'commit'")[0]
    with Database(folder, writable=False) as database:
        assert documents_without_signature(database.here, int(commit)) == 2
        assert documents_without_signature(database.here, int(commit) - 1) == 3
        assert documents_without_signature(database.here, 0) == 0


def test_groups_have_their_documents_and_similarities(make_index: MakeIndex) -> None:
    folder = make_index("index")
    texts = {"b/2": "Yes.", "b/1": "yes.", "near": NEAR, "copy": LONG.upper(), "first": LONG}
    _add(folder, {**texts, "far": FAR, "alone": "Nothing is like this."})
    _sign(folder)
    found = find_duplicates(folder)
    exact = jaccard(shingles_of(LONG), shingles_of(NEAR))
    assert exact == 197 / 199
    estimated = estimate_jaccard(signature_of(LONG), signature_of(NEAR))
    assert found.groups == (
        (
            DuplicateDocument("copy", "", len(LONG), 1.0, 1.0),
            DuplicateDocument("first", "", len(LONG), 1.0, 1.0),
            DuplicateDocument("near", "", len(NEAR), estimated, exact),
        ),
        (DuplicateDocument("b/1", "", 4, 1.0, 1.0), DuplicateDocument("b/2", "", 4, 1.0, 1.0)),
    )
    assert (found.repeating, found.without_signature) == (3, 0)
    far = find_duplicates(folder, threshold=0.65).groups[0]
    assert [each.doc_id for each in far] == ["copy", "far", "first", "near"]
    assert far[1].jaccard == jaccard(shingles_of(LONG), shingles_of(FAR)) == 168 / 228
    assert find_duplicates(folder, threshold=1.0).repeating == 2


def test_what_the_texts_do_not_bear_out_is_left_out(make_index: MakeIndex) -> None:
    folder = make_index("index")
    _add(folder, {"a": LONG, "b": FAR, "c": NEAR, "d": "one thing", "e": "another"})
    same = signature_of(LONG)
    ids = [each for (each,) in query(folder, "SELECT document_id FROM documents ORDER BY doc_id")]
    with Database(folder, writable=True) as database, write_transaction(database.here):
        # Signatures that claim too much.
        insert_signatures(database.here, [(each, same) for each in ids[:3]])
        insert_signatures(database.here, [(each, b"x" * 512) for each in ids[3:]])
    found = find_duplicates(folder)
    assert [[each.doc_id for each in group] for group in found.groups] == [["a", "c"]]
    assert found.repeating == 1


def test_documents_that_died_or_have_no_signature_are_left_out(make_index: MakeIndex) -> None:
    folder = make_index("index")
    _add(folder, {"a": LONG, "b": LONG, "c": LONG, "d": LONG})
    with IndexWriter(folder) as writer:
        writer.delete("b")
    _sign(folder, but=("d",))
    found = find_duplicates(folder)
    assert [[each.doc_id for each in group] for group in found.groups] == [["a", "c"]]
    assert found.without_signature == 1


def test_an_index_of_version_1_has_documents_but_no_signatures(make_index: MakeIndex) -> None:
    folder = make_index("index")
    _add(folder, {"a": LONG, "b": LONG})
    _sign(folder, but=("a", "b"))
    found = find_duplicates(folder)
    assert (found.groups, found.without_signature) == ((), 2)


def test_a_threshold_that_makes_no_sense_is_refused(make_index: MakeIndex) -> None:
    with pytest.raises(ConfigError, match="choose one of"):
        find_duplicates(make_index("index"), threshold=0.1)


def test_nothing_is_changed_and_no_row_of_a_reader_stays(make_index: MakeIndex) -> None:
    folder = make_index("index")
    _add(folder, {"a": LONG, "b": LONG})
    _sign(folder)
    before = query(folder, "SELECT * FROM documents"), query(folder, "SELECT * FROM signatures")
    find_duplicates(folder)
    after = query(folder, "SELECT * FROM documents"), query(folder, "SELECT * FROM signatures")
    assert after == before
    assert query(folder, "SELECT * FROM readers") == []

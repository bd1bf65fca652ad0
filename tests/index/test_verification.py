"""Every kind of damage is found, where it is, and a sound index has none."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from search_engine.config import Config
from search_engine.index.creation import create_index
from search_engine.index.generations.generation import Generation
from search_engine.index.generations.promotion import (
    begin_generation,
    promote_generation,
    roll_back,
)
from search_engine.index.upkeep.compaction import compact
from search_engine.index.upkeep.verification import (
    Finding,
    VerifiedGeneration,
    verify_database,
    verify_generations,
)
from search_engine.index.writer import IndexWriter
from tests.index.documents import DIMENSION, encode
from tests.index.generations import build, encode_for, generation, new_index
from tests.index.rows import query

FILES = (
    "chunks.npy",
    "columns.safetensors",
    "dense.faiss",
    "segment.json",
    "sparse.bm25.indptr.npy",
    "sparse.bm25.lengths.npy",
    "sparse.bm25.ordinals.npy",
    "sparse.bm25.terms.npy",
    "sparse.bm25.weights.npy",
)
# One segment of three chunks, and one of one chunk, whose id is 4.
TEXTS = {"a": "alpha beta", "b": "alpha", "c": "gamma", "d": "delta"}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "index"
    create_index(folder, Generation(1, "f" * 64, Config(), DIMENSION, "dot"))
    with IndexWriter(folder) as writer:
        for doc_id, text in TEXTS.items():
            if doc_id == "d":
                writer.commit()
            writer.add(encode(doc_id, text))
    assert _findings(folder) == []
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy of the sound index, to be damaged."""
    return shutil.copytree(sound, tmp_path / "index")


def _segments(folder: Path) -> list[str]:
    return [name for (name,) in query(folder, "SELECT segment_id FROM segments ORDER BY born")]


def _change(folder: Path, *statements: str) -> None:
    """Change rows as no program of ours does: without foreign keys, too."""
    with closing(sqlite3.connect(folder / "index.db")) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount == 1, statement
        connection.commit()


def _only(folder: Path) -> VerifiedGeneration:
    (found,) = verify_generations(folder)
    return found


def _findings(folder: Path) -> list[Finding]:
    found = [each for every in verify_generations(folder) for each in every.findings]
    return [*verify_database(folder), *found]


def _flip_bit(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("place", [0, 0.5, -1])
@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_in_any_file_of_a_segment_is_found(folder, name, place) -> None:
    first, _ = _segments(folder)
    path = folder / "segments" / first / name
    assert {each.name for each in path.parent.iterdir()} == set(FILES)
    _flip_bit(path, int(place * path.stat().st_size) if place > 0 else place)
    found = _only(folder)
    assert found.damaged == (first,)
    assert found.lost.tolist() == [1, 2, 3]
    damage, lost = found.findings
    assert damage.repairable and lost.repairable
    assert f"segment {first} in" in damage.what and name in damage.what
    assert lost.what == "3 chunks are in no sound segment"
    assert verify_database(folder) == []


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_shortened_file_is_found(folder, name) -> None:
    _, second = _segments(folder)
    path = folder / "segments" / second / name
    path.write_bytes(path.read_bytes()[:-1])
    assert _only(folder).damaged == (second,)
    path.unlink()
    found = _only(folder)
    assert (found.damaged, found.lost.tolist()) == ((second,), [4])
    assert name in found.findings[0].what


def test_a_missing_folder_is_found(folder) -> None:
    first, second = _segments(folder)
    shutil.rmtree(folder / "segments" / first)
    found = _only(folder)
    assert (found.damaged, found.lost.tolist()) == ((first,), [1, 2, 3])
    shutil.rmtree(folder / "segments" / second)
    found = _only(folder)
    assert (found.damaged, found.lost.tolist()) == ((first, second), [1, 2, 3, 4])


def test_another_segments_folder_under_the_name_is_found(folder) -> None:
    first, second = _segments(folder)
    shutil.rmtree(folder / "segments" / second)
    shutil.copytree(folder / "segments" / first, folder / "segments" / second)
    found = _only(folder)
    assert (found.damaged, found.lost.tolist()) == ((second,), [4])
    assert "segment.json was changed" in found.findings[0].what


def test_a_chunk_row_that_is_gone_is_found(folder) -> None:
    first, _ = _segments(folder)
    _change(folder, "DELETE FROM chunks WHERE chunk_id = 2")
    found = _only(folder)
    assert (found.damaged, found.lost.tolist()) == ((first,), [1, 3])
    assert [each.what for each in found.findings] == [
        f"segment {first} holds 1 chunks that have no row",
        "2 chunks are in no sound segment",
        "1 documents have no chunks in the live generation",
    ]
    assert all(each.repairable for each in found.findings)


def test_a_chunk_row_too_many_is_found(folder) -> None:
    _change(
        folder,
        'INSERT INTO chunks (chunk_id, document_id, generation_id, start, "end", headings, born) '
        "VALUES (9, 1, 1, 0, 1, '[]', 1)",
    )
    found = _only(folder)
    assert (found.damaged, found.lost.tolist()) == ((), [9])
    assert found.findings == (Finding("1 chunks are in no sound segment", repairable=True),)
    assert verify_database(folder) == [
        Finding("index.db: next_chunk_id is not greater than every id", repairable=False)
    ]


def test_a_wrong_number_of_chunks_is_found(folder) -> None:
    first, _ = _segments(folder)
    _change(folder, "UPDATE segments SET chunk_count = 4 WHERE chunk_count = 3")
    found = _only(folder)
    assert (found.damaged, found.lost.tolist()) == ((first,), [1, 2, 3])
    assert found.findings[0].what == f"segment {first} holds 3 chunks, and its row says 4"


def test_chunks_that_two_segments_hold_are_found(folder) -> None:
    """A merge of which the death of its sources was lost."""
    first, second = _segments(folder)
    kept = folder.with_name("kept")
    shutil.copytree(folder / "segments", kept)
    compact(folder)
    (merged,) = _segments(folder)
    shutil.copytree(kept / first, folder / "segments" / first)
    assert merged not in (first, second)
    sha256 = hashlib.sha256((kept / first / "segment.json").read_bytes()).hexdigest()
    _change(
        folder,
        "INSERT INTO segments (segment_id, generation_id, chunk_count, sha256, born) "  # noqa: S608
        f"VALUES ('{first}', 1, 3, '{sha256}', 99)",
    )
    _change(folder, "UPDATE config SET value = '99' WHERE key = 'commit'")
    found = _only(folder)
    assert (found.damaged, found.lost.tolist()) == ((first,), [])
    assert (
        found.findings[0].what == f"segment {first} holds 3 chunks that another segment holds too"
    )


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (
            "UPDATE chunks SET document_id = 77 WHERE chunk_id = 3",
            "row 3 of chunks belongs to no row of documents",
        ),
        (
            "UPDATE chunks SET generation_id = 77 WHERE chunk_id = 3",
            "row 3 of chunks belongs to no row of generations",
        ),
        ("DELETE FROM documents WHERE doc_id = 'c'", "row 3 of chunks belongs to no row"),
        (
            "UPDATE config SET value = '4' WHERE key = 'next_chunk_id'",
            "next_chunk_id is not greater than every id",
        ),
        (
            "UPDATE config SET value = '1' WHERE key = 'next_document_id'",
            "next_document_id is not greater than every id",
        ),
    ],
)
def test_rows_that_contradict_each_other_are_found(folder, statement, what) -> None:
    _change(folder, statement)
    (finding,) = verify_database(folder)
    assert what in finding.what
    assert not finding.repairable


def test_a_damaged_page_of_the_database_is_found(folder) -> None:
    """SQLite's own check, with an index that lacks an entry of its table."""
    _change(folder, "UPDATE documents SET title = 'more' WHERE doc_id = 'a'")
    with closing(sqlite3.connect(folder / "index.db")) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'IS NULL', 'IS NOT NULL') "
            "WHERE name = 'documents_live'"
        )
        connection.commit()
    findings = verify_database(folder)
    assert findings
    assert all(each.what.startswith("index.db: ") for each in findings)
    assert not any(each.repairable for each in findings)


def test_a_sound_index_has_no_findings_whatever_was_done_to_it(tmp_path) -> None:
    texts = {f"d{n}": f"alpha {n}" for n in range(12)}
    folder = new_index(tmp_path / "index", "first", texts)
    assert _findings(folder) == []
    with IndexWriter(folder) as writer:
        writer.delete("d3")
        writer.add(encode_for("d4", "changed", "first"))
    assert _findings(folder) == []
    begin_generation(folder, generation("second"))
    build(folder, 2, "second", most=5)
    assert _findings(folder) == [], "one that is being built may lack documents"
    build(folder, 2, "second")
    promote_generation(folder, 2)
    assert _findings(folder) == []
    with IndexWriter(folder) as writer:
        writer.add(encode_for("new", "delta", "second"))
    compact(folder)
    assert _findings(folder) == [], "the one before may lack documents, too"
    assert roll_back(folder) == 1
    lacking = Finding("1 documents have no chunks in the live generation", repairable=True)
    assert _findings(folder) == [lacking]
    build(folder, 1, "first")
    assert _findings(folder) == []
    assert [found.state for found in verify_generations(folder)] == ["live", "previous"]


def test_damage_to_a_generation_that_is_not_live_is_found_too(tmp_path) -> None:
    folder = new_index(tmp_path / "index", "first", {"a": "alpha", "b": "beta"})
    begin_generation(folder, generation("second"))
    build(folder, 2, "second")
    (name,) = (
        each for (each,) in query(folder, "SELECT segment_id FROM segments WHERE generation_id = 2")
    )
    _flip_bit(folder / "segments" / name / "dense.faiss", -1)
    live, building = verify_generations(folder)
    assert live.findings == ()
    assert (building.damaged, building.lost.tolist()) == ((name,), [3, 4])

"""Damage to a whole index is found, and mended from the stored texts."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from search_engine import doctor
from search_engine.config import ChunkingConfig, Compute, Config, DenseConfig
from search_engine.doctor import examine, repair
from search_engine.errors import EncoderMismatchError, IndexCorruptError
from search_engine.index.generations import builder as generation_builder
from search_engine.rebuild import generations, promote, rebuild, rollback
from search_engine.search import SearchEngine
from search_engine.types import Document
from tests.encoders.checkpoints import write_trunk
from tests.index.rows import count_rows, folders, query

TORCH = Compute(backend="torch", dtype="float32", offline=True)
BM25_ONLY = Config(dense=None, chunking=ChunkingConfig(max_tokens=16))
SENTENCE = "Sentence {part} of text {n} is about cells and lipids."
TEXTS = {f"d{n}": " ".join(SENTENCE.format(part=part, n=n) for part in range(4)) for n in range(15)}
QUESTION = "text 3 lipids sentence 2 cells"
Answer = list[tuple[str, int, int, float]]


def _make(folder: Path, config: Config = BM25_ONLY) -> Path:
    """Three segments of five documents; one of them was replaced and one deleted since."""
    with SearchEngine.create(folder, config=config, compute=TORCH) as engine:
        with engine.writer() as writer:
            for number, (doc_id, text) in enumerate(TEXTS.items()):
                writer.add(Document(doc_id, text, metadata={"number": number}))
                if number in (4, 9, 14):
                    writer.commit()
        with engine.writer() as writer:
            writer.add(Document("d6", "Changed text 3 lipids."))
            writer.delete("d12")
    return folder


def _answer(folder: Path) -> Answer:
    with SearchEngine.open(folder, compute=TORCH) as engine:
        results = engine.search(QUESTION, 1_000).results
        return sorted((each.doc_id, each.start, each.end, round(each.score, 5)) for each in results)


def _segments(folder: Path) -> list[Path]:
    rows = query(folder, "SELECT segment_id FROM segments WHERE died IS NULL ORDER BY born")
    return [folder / "segments" / name for (name,) in rows]


def _flip_bit(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = _make(tmp_path / "index")
    assert examine(folder) == []
    assert len(_segments(folder)) == 4
    return folder


@pytest.mark.parametrize(
    "name", ["chunks.npy", "sparse.bm25.weights.npy", "segment.json", "columns.safetensors"]
)
def test_a_damaged_segment_is_made_anew_and_answers_as_before(folder, name) -> None:
    before = _answer(folder)
    damaged = _segments(folder)[1]
    _flip_bit(damaged / name)
    with pytest.raises(IndexCorruptError, match="doctor --repair"):
        _answer(folder)
    findings = examine(folder)
    assert all(each.repairable for each in findings)
    assert damaged.name in findings[0].what and name in findings[0].what
    progress: list[tuple[int, int]] = []
    repair(folder, on_progress=lambda *done: progress.append(done))
    # d6 was replaced: of the damaged segment, the four others are still wanted.
    assert progress == [(4, 4)]
    assert examine(folder) == []
    assert _answer(folder) == before
    assert not damaged.exists()
    assert count_rows(folder, "segments") == len(folders(folder)) == 4
    with SearchEngine.open(folder) as engine:
        found = engine.search(QUESTION, 100, where={"number": {"$gte": 7, "$lt": 12}}).results
        assert {each.doc_id for each in found} == {"d7", "d8", "d9", "d10", "d11"}


def test_segments_that_are_gone_are_made_anew(folder) -> None:
    before = _answer(folder)
    for path in _segments(folder):
        shutil.rmtree(path)
    repair(folder)
    assert examine(folder) == []
    assert _answer(folder) == before


def test_a_segment_is_mended_while_a_reader_has_it_open(folder) -> None:
    """The reader's pin keeps the row of the damaged segment, whose folder is gone."""
    before = _answer(folder)
    with SearchEngine.open(folder) as engine:
        shutil.rmtree(_segments(folder)[0])
        repair(folder)
        assert examine(folder) == []
        assert engine.search(QUESTION).results
    assert _answer(folder) == before


def test_who_adds_beside_damage_is_told_and_what_was_committed_stays(folder) -> None:
    before = _answer(folder)
    with SearchEngine.open(folder) as engine:
        shutil.rmtree(_segments(folder)[-1])
        with (
            pytest.raises(IndexCorruptError, match="doctor --repair"),
            engine.writer() as writer,
        ):
            writer.add(Document("new", "Unheard of."))
    repair(folder)
    assert examine(folder) == []
    with SearchEngine.open(folder) as engine:
        assert engine.search("unheard").results[0].doc_id == "new"
        assert engine.document_count == 15
        with engine.writer() as writer:
            writer.delete("new")
    assert _answer(folder) == before


def test_a_repair_that_was_interrupted_is_an_error_until_it_is_done(folder, monkeypatch) -> None:
    before = _answer(folder)
    for path in _segments(folder)[:2]:
        _flip_bit(path / "sparse.bm25.terms.npy")
    monkeypatch.setattr("search_engine.rebuild.ENCODE_CHUNKS", 1)
    monkeypatch.setattr(generation_builder, "COMMIT_CHUNKS", 1)

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    rows = count_rows(folder, "segments")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            repair(folder, on_progress=stop)
        with pytest.raises(IndexCorruptError, match="doctor --repair"):
            _answer(folder)
    assert count_rows(folder, "segments") > rows, "something was done"
    done: list[tuple[int, int]] = []
    repair(folder, on_progress=lambda *each: done.append(each))
    # Of the nine documents, four are there from the two that were interrupted.
    assert done == [(number, 5) for number in range(1, 6)]
    assert examine(folder) == []
    assert _answer(folder) == before


def test_dense_vectors_are_made_anew(tmp_path) -> None:
    model = write_trunk(tmp_path / "model", seed=4)
    config = BM25_ONLY.model_copy(update={"dense": DenseConfig(model=str(model))})
    folder = _make(tmp_path / "index", config)
    before = _answer(folder)
    _flip_bit(_segments(folder)[0] / "dense.faiss")
    shutil.move(model, tmp_path / "kept")
    write_trunk(model, seed=5)
    with pytest.raises(EncoderMismatchError, match="not the same model"):
        repair(folder, compute=TORCH)
    shutil.rmtree(model)
    shutil.move(tmp_path / "kept", model)
    repair(folder, compute=TORCH)
    assert examine(folder) == []
    after = _answer(folder)
    assert [each[:3] for each in after] == [each[:3] for each in before]
    assert [each[3] for each in after] == pytest.approx([each[3] for each in before], abs=1e-4)


def test_a_changed_text_is_found_and_cannot_be_mended(folder) -> None:
    with closing(sqlite3.connect(folder / "index.db")) as connection:
        connection.execute("UPDATE documents SET text = text || '!' WHERE doc_id = 'd3'")
        connection.execute("UPDATE documents SET metadata = '{}' WHERE doc_id = 'd5'")
        connection.commit()
    findings = examine(folder)
    assert [each.what for each in findings] == [
        f"index.db: what is stored of document {doc_id!r} is not what was indexed; delete it "
        "(`search-cli delete`), then index its file again"
        for doc_id in ("d3", "d5")
    ]
    assert not any(each.repairable for each in findings)
    with SearchEngine.open(folder) as engine, engine.writer() as writer:
        writer.delete("d3")
        writer.delete("d5")
    assert examine(folder) == []


def test_the_generation_before_is_mended_too_and_may_lack_documents(folder) -> None:
    before = _answer(folder)
    rebuild(folder, Config(dense=None))
    promote(folder)
    with SearchEngine.open(folder) as engine, engine.writer() as writer:
        writer.add(Document("later", "Later text 3."))
    after = _answer(folder)
    ((name,), *_) = query(
        folder, "SELECT segment_id FROM segments WHERE generation_id = 1 ORDER BY born"
    )
    _flip_bit(folder / "segments" / name / "chunks.npy")
    assert _answer(folder) == after, "the live one is sound"
    repair(folder)
    assert examine(folder) == []
    assert [state for _, state in generations(folder)] == ["previous", "live"]
    assert rollback(folder) == 1
    assert _answer(folder) == before
    assert [each.what for each in examine(folder)] == [
        "1 documents have no chunks in the live generation"
    ]
    repair(folder)
    assert examine(folder) == []
    assert "later" in {each[0] for each in _answer(folder)}


def test_two_builds_of_faiss_are_noticed(folder, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "_is_installed", lambda name: True)
    (finding,) = examine(folder)
    assert "faiss-cpu and faiss-gpu-cu12 are both installed" in finding.what
    assert not finding.repairable


def test_repairing_a_sound_index_changes_nothing(folder) -> None:
    rows, named = query(folder, "SELECT * FROM config"), folders(folder)
    repair(folder)
    assert query(folder, "SELECT * FROM config") == rows
    assert folders(folder) == named

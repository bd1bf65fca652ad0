"""Generations through the engine: other settings and models beside the live ones, and back."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from search_engine.config import ChunkingConfig, Compute, Config, DenseConfig
from search_engine.errors import EncoderMismatchError, GenerationError
from search_engine.index.generations import builder as generation_builder
from search_engine.index.generations.builder import GenerationBuilder
from search_engine.index.generations.generation import Generation
from search_engine.index.segments.encoded import EncodedDocument
from search_engine.rebuild import catch_up, generations, promote, rebuild, rollback
from search_engine.search import SearchEngine
from search_engine.types import Document
from tests.encoders.checkpoints import write_trunk

TORCH = Compute(backend="torch", dtype="float32", offline=True)
LONG = Config(dense=None)
SHORT = Config(dense=None, chunking=ChunkingConfig(max_tokens=16))
# Of some 60 words each, so that 16 tokens make several chunks of what 200 leave whole.
TEXTS = {
    f"d{n}": " ".join(f"Sentence {part} of text {n} is about lipids." for part in range(6))
    for n in range(8)
}
QUESTION = "text 3 lipids sentence 4"
Answer = list[tuple[str, int, int, float]]


def _documents(doc_ids: Iterable[str] = TEXTS) -> list[Document]:
    return [Document(doc_id, TEXTS[doc_id], title=f"title {doc_id}") for doc_id in doc_ids]


def _make(folder: Path, config: Config, documents: Iterable[Document]) -> Path:
    with SearchEngine.create(folder, config=config, compute=TORCH) as engine:
        _add(engine, documents)
    return folder


def _add(engine: SearchEngine, documents: Iterable[Document]) -> None:
    with engine.writer() as writer:
        for document in documents:
            writer.add(document)


def _answer(engine: SearchEngine) -> Answer:
    results = engine.search(QUESTION, 100).results
    return sorted((each.doc_id, each.start, each.end, round(each.score, 5)) for each in results)


def _expected(folder: Path, config: Config, documents: Iterable[Document]) -> Answer:
    """What an index answers that was made with these settings at once."""
    with SearchEngine.open(_make(folder, config, documents), compute=TORCH) as engine:
        return _answer(engine)


def _states(folder: Path) -> list[str]:
    return [state for _, state in generations(folder)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return _make(tmp_path / "index", LONG, _documents())


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The documents that generations were given since, by id, each time that they were."""
    seen: list[str] = []
    add_all = GenerationBuilder.add_all

    def count(builder: GenerationBuilder, documents: Iterable[tuple[int, EncodedDocument]]) -> None:
        documents = list(documents)
        seen.extend(encoded.document.doc_id for _, encoded in documents)
        add_all(builder, documents)

    monkeypatch.setattr(GenerationBuilder, "add_all", count)
    return seen


def test_an_open_engine_answers_from_the_generation_that_is_live(folder, tmp_path) -> None:
    long = _expected(tmp_path / "long", LONG, _documents())
    short = _expected(tmp_path / "short", SHORT, _documents())
    assert len(short) > len(long) == 8
    with SearchEngine.open(folder) as engine:
        first = engine.search(QUESTION).generation
        progress: list[tuple[int, int]] = []
        built = rebuild(folder, SHORT, on_progress=lambda *done: progress.append(done))
        assert progress == [(8, 8)]
        assert _states(folder) == ["live", "building"]
        assert _answer(engine) == long
        assert engine.search(QUESTION).generation == first != built.name
        assert promote(folder).name == built.name
        assert _states(folder) == ["previous", "live"]
        assert _answer(engine) == short
        assert engine.search(QUESTION).generation == built.name
        assert engine.config == SHORT
        assert rollback(folder) == 0
        assert _answer(engine) == long
        assert engine.search(QUESTION).generation == first
        assert promote(folder).name == built.name, "forward again"
        assert _answer(engine) == short


def test_what_another_process_promotes_is_seen(folder, tmp_path) -> None:
    with SearchEngine.open(folder) as engine:
        before = engine.search(QUESTION).generation
        rebuild(folder, SHORT)
        script = "import sys; from search_engine.rebuild import promote; promote(sys.argv[1])"
        subprocess.run([sys.executable, "-c", script, str(folder)], check=True, timeout=60)
        assert _answer(engine) == _expected(tmp_path / "short", SHORT, _documents())
        assert engine.search(QUESTION).generation != before


def test_documents_that_come_meanwhile_are_caught_up_with(folder, tmp_path, encoded) -> None:
    changed = Document("d1", "Lipids only.")
    new = Document("new", "A new text 3 sentence. " * 10)
    with SearchEngine.open(folder) as engine:
        rebuild(folder, SHORT)
        assert sorted(encoded) == sorted(TEXTS)
        encoded.clear()
        _add(engine, [changed, new])
        with engine.writer() as writer:
            writer.delete("d2")
        promote(folder)
        assert encoded == ["d1", "new"]
        there = [changed, new, *(each for each in _documents() if each.doc_id not in ("d1", "d2"))]
        assert _answer(engine) == _expected(tmp_path / "short", SHORT, there)

        later = Document("later", "Sentence 4 came later.")
        _add(engine, [later])
        assert rollback(folder) == 1
        lacking = _expected(tmp_path / "long", LONG, there)
        assert _answer(engine) == lacking
        encoded.clear()
        catch_up(folder)
        assert encoded == ["later"]
        assert _answer(engine) == _expected(tmp_path / "whole", LONG, [*there, later])


def test_a_document_that_the_live_generation_lacks_can_be_added_again(folder, tmp_path) -> None:
    later = Document("later", "Sentence 4 came later.")
    with SearchEngine.open(folder) as engine:
        rebuild(folder, SHORT)
        promote(folder)
        _add(engine, [later])
        rollback(folder)
        with engine.writer() as writer:
            writer.add(later)
            writer.add(_documents(["d0"])[0])
        assert (writer.counts.added, writer.counts.unchanged) == (1, 1)
        assert _answer(engine) == _expected(tmp_path / "long", LONG, [*_documents(), later])


def test_a_rebuild_that_was_interrupted_encodes_nothing_twice(
    folder, tmp_path, monkeypatch, encoded
) -> None:
    monkeypatch.setattr("search_engine.rebuild.ENCODE_CHUNKS", 1)
    monkeypatch.setattr(generation_builder, "COMMIT_CHUNKS", 1)

    def stop(done: int, _: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(folder, SHORT, on_progress=stop)
    assert encoded == ["d0", "d1", "d2", "d3", "d4"]
    rebuild(folder, SHORT)
    assert encoded == list(TEXTS)
    promote(folder)
    assert encoded == list(TEXTS)
    with SearchEngine.open(folder) as engine:
        assert _answer(engine) == _expected(tmp_path / "short", SHORT, _documents())


def test_searching_and_indexing_go_on_while_it_is_built(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("search_engine.rebuild.ENCODE_CHUNKS", 1)
    monkeypatch.setattr(generation_builder, "COMMIT_CHUNKS", 1)
    long = _expected(tmp_path / "long", LONG, _documents())
    half_way, go_on = threading.Event(), threading.Event()

    def pause(done: int, _: int) -> None:
        if done == 4:
            half_way.set()
            assert go_on.wait(30)

    thread = threading.Thread(target=lambda: rebuild(folder, SHORT, on_progress=pause))
    with SearchEngine.open(folder) as engine:
        thread.start()
        try:
            assert half_way.wait(30)
            assert _answer(engine) == long
            _add(engine, [Document("new", "Lipids in text 3.")])
            there = [*_documents(), Document("new", "Lipids in text 3.")]
            assert _answer(engine) == _expected(tmp_path / "new", LONG, there)
        finally:
            go_on.set()
            thread.join()
        promote(folder)
        assert _answer(engine) == _expected(tmp_path / "short", SHORT, there)


def test_what_cannot_be_done_says_what_to_do(folder) -> None:
    with pytest.raises(GenerationError, match="search-cli rebuild --index"):
        promote(folder)
    with pytest.raises(GenerationError, match="keeps no generation"):
        rollback(folder)
    with pytest.raises(GenerationError, match="has these models and settings already"):
        rebuild(folder, LONG)
    assert _states(folder) == ["live"]


def test_another_model_answers_after_it_was_promoted(tmp_path) -> None:
    models = [str(write_trunk(tmp_path / f"model-{seed}", seed=seed)) for seed in (1, 2)]
    configs = [Config(dense=DenseConfig(model=model), bm25=None) for model in models]
    expected = [
        _expected(tmp_path / f"expected-{number}", config, _documents())
        for number, config in enumerate(configs)
    ]
    assert expected[0] != expected[1]
    folder = _make(tmp_path / "index", configs[0], _documents())
    with SearchEngine.open(folder, compute=TORCH) as engine:
        rebuild(folder, configs[1], compute=TORCH)
        assert _answer(engine) == expected[0]
        promote(folder, compute=TORCH)
        assert _answer(engine) == expected[1]
        rollback(folder)
        assert _answer(engine) == expected[0]


def test_a_model_that_changed_since_it_was_begun_is_refused(tmp_path) -> None:
    first, second = (write_trunk(tmp_path / f"model-{seed}", seed=seed) for seed in (1, 2))
    config = Config(dense=DenseConfig(model=str(first)))
    folder = _make(tmp_path / "index", config, _documents(["d0"]))
    rebuild(folder, Config(dense=DenseConfig(model=str(second))), compute=TORCH)
    (second / "model.safetensors").write_bytes((first / "model.safetensors").read_bytes())
    with pytest.raises(EncoderMismatchError, match="not the same model"):
        promote(folder, compute=TORCH)
    assert _states(folder) == ["live", "building"]


def test_generations_are_listed_with_their_settings(folder) -> None:
    rebuild(folder, SHORT)
    kept: list[tuple[Generation, str]] = list(generations(folder))
    assert [(each.config, state) for each, state in kept] == [(LONG, "live"), (SHORT, "building")]
    rebuild(folder, Config(dense=None, chunking=ChunkingConfig(strategy="none")))
    assert [each.config.chunking.strategy for each, _ in generations(folder)] == ["default", "none"]

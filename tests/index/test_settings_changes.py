"""Settings by which questions are asked change without anything being encoded again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from search_engine.config import (
    BM25Config,
    ChunkingConfig,
    Compute,
    Config,
    FusionConfig,
    RerankConfig,
)
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.errors import GenerationError
from search_engine.index.generations.builder import GenerationBuilder
from search_engine.index.generations.promotion import promote_generation
from search_engine.index.segments.encoded import EncodedDocument
from search_engine.rebuild import generations, promote, rebuild, rollback
from search_engine.search import NO_RERANKER, SearchEngine
from search_engine.types import Document
from tests.encoders.checkpoints import write_trunk
from tests.index.rows import query

TORCH = Compute(backend="torch", dtype="float32", offline=True)
MADE = Config(dense=None)
SHORT = Config(dense=None, chunking=ChunkingConfig(max_tokens=16))
TUNED = BM25Config(k1=1.6, b=0.9)
RANKS = FusionConfig(method="rrf", rank_constant=20)
TEXTS = {
    f"d{n}": " ".join(f"Sentence {part} on lipids {n}." for part in range(n + 1)) for n in range(12)
}
QUESTION = "lipids 3 sentence 4"
Answer = list[tuple[str, int, float, float]]
Everything = list[list[tuple[object, ...]]]


def _make(folder: Path, config: Config) -> Path:
    with SearchEngine.create(folder, config=config) as engine, engine.writer() as writer:
        for doc_id, text in TEXTS.items():
            writer.add(Document(doc_id, text))
    return folder


def _answer(engine: SearchEngine) -> Answer:
    results = engine.search(QUESTION, 100).results
    return [(each.doc_id, each.start, each.score, each.scores["bm25"]) for each in results]


def _expected(folder: Path, config: Config) -> Answer:
    """What an index answers that was made with these settings at once."""
    with SearchEngine.open(_make(folder, config)) as engine:
        return _answer(engine)


def _states(folder: Path) -> list[tuple[Config, str]]:
    return [(each.config, state) for each, state in generations(folder)]


def _everything(folder: Path) -> Everything:
    tables = ("config", "generations", "documents", "chunks", "segments")
    return [query(folder, f"SELECT * FROM {table} ORDER BY 1") for table in tables]  # noqa: S608


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return _make(tmp_path / "index", MADE)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The documents that were given chunks of a generation since, by id."""
    seen: list[str] = []
    add_all = GenerationBuilder.add_all

    def count(builder: GenerationBuilder, documents: Iterable[tuple[int, EncodedDocument]]) -> None:
        documents = list(documents)
        seen.extend(each.document.doc_id for _, each in documents)
        add_all(builder, documents)

    monkeypatch.setattr(GenerationBuilder, "add_all", count)
    return seen


@pytest.mark.parametrize("change", [{"bm25": TUNED}, {"fusion": RANKS}], ids=["bm25", "fusion"])
def test_the_live_generation_takes_them_over_at_once(folder, tmp_path, encoded, change) -> None:
    changed = MADE.model_copy(update=change)
    expected = _expected(tmp_path / "expected", changed)
    chunks = query(folder, "SELECT * FROM chunks")
    with SearchEngine.open(folder) as engine:
        before = _answer(engine)
        assert before != expected
        generation = rebuild(folder, changed)
        assert (generation.generation_id, generation.config) == (1, changed)
        assert _states(folder) == [(changed, "live")]
        assert _answer(engine) == expected
        assert engine.config == changed
        rebuild(folder, MADE)
        assert _answer(engine) == before
    assert encoded == []
    assert query(folder, "SELECT * FROM chunks") == chunks


def test_a_reranker_that_was_named_reads_what_the_next_question_finds(folder, tmp_path) -> None:
    model = write_trunk(tmp_path / "model", head="SequenceClassification", seed=3)
    changed = MADE.model_copy(update={"rerank": RerankConfig(model=str(model))})
    with SearchEngine.open(folder, compute=TORCH) as engine:
        assert engine.search(QUESTION).notes == (NO_RERANKER,)
        rebuild(folder, changed, compute=TORCH)
        response = engine.search(QUESTION, 100)
    assert response.notes == ()
    expected = CrossEncoder(str(model), backend="torch", dtype="float32").predict(
        [(QUESTION, each.text) for each in response.results]
    )
    assert [each.score for each in response.results] == pytest.approx(expected, abs=1e-5)


def test_the_same_settings_are_refused(folder) -> None:
    changed = MADE.model_copy(update={"bm25": TUNED})
    rebuild(folder, changed)
    before = _everything(folder)
    with pytest.raises(GenerationError, match="has these models and settings already"):
        rebuild(folder, changed)
    assert _everything(folder) == before


def test_a_candidate_takes_them_over_without_being_built_again(folder, tmp_path, encoded) -> None:
    built = rebuild(folder, SHORT)
    assert encoded == list(TEXTS)
    encoded.clear()
    changed = SHORT.model_copy(update={"bm25": TUNED, "fusion": RANKS})
    assert rebuild(folder, changed).generation_id == built.generation_id
    assert _states(folder) == [(MADE, "live"), (changed, "building")]
    with SearchEngine.open(folder) as engine:
        assert _answer(engine) == _expected(tmp_path / "made", MADE)
        promote(folder)
        assert _answer(engine) == _expected(tmp_path / "changed", changed)
    assert encoded == []


def test_what_the_live_generation_takes_over_leaves_a_candidate_alone(folder, tmp_path) -> None:
    rebuild(folder, SHORT)
    changed = MADE.model_copy(update={"bm25": TUNED})
    rebuild(folder, changed)
    assert _states(folder) == [(changed, "live"), (SHORT, "building")]
    with SearchEngine.open(folder) as engine:
        promote(folder)
        assert _answer(engine) == _expected(tmp_path / "short", SHORT)
        rollback(folder)
        assert _answer(engine) == _expected(tmp_path / "changed", changed)


def test_promoting_twice_is_refused_and_changes_nothing(folder) -> None:
    rebuild(folder, SHORT)
    live = promote(folder)
    before = _everything(folder)
    with pytest.raises(GenerationError, match="no generation after the live one"):
        promote(folder)
    with pytest.raises(GenerationError, match="is live already"):
        promote_generation(folder, live.generation_id)
    assert _everything(folder) == before
    assert _states(folder) == [(MADE, "previous"), (SHORT, "live")]


def test_going_back_twice_is_refused_and_promoting_then_goes_forward(folder, tmp_path) -> None:
    rebuild(folder, SHORT)
    promote(folder)
    assert rollback(folder) == 0
    before = _everything(folder)
    with pytest.raises(GenerationError, match="was rolled back already; `search-cli promote`"):
        rollback(folder)
    assert _everything(folder) == before
    with SearchEngine.open(folder) as engine:
        assert _answer(engine) == _expected(tmp_path / "made", MADE)
        promote(folder)
        assert _states(folder) == [(MADE, "previous"), (SHORT, "live")]
        assert _answer(engine) == _expected(tmp_path / "short", SHORT)

"""The whole query path with all legs and a reranker, on tiny random checkpoints."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from search_engine.config import Compute, Config, DenseConfig, RerankConfig, SpladeConfig
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.errors import ConfigError, EncoderMismatchError, ModelNotFoundError
from search_engine.search import NO_RERANKER, SearchEngine
from search_engine.types import Document
from tests.encoders.checkpoints import write_trunk

TORCH = Compute(backend="torch", dtype="float32", offline=True)
TEXTS = {
    "membrane": "a cell membrane is made of lipids",
    "query": "the query of a document",
    "letters": "x y z and the cell",
    "numbers": "1 2 3 4 5",
    "fox": "lipids and a fox",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("models")
    return {
        "dense": str(write_trunk(root / "dense", seed=1)),
        "splade": str(write_trunk(root / "splade", head="MaskedLM", seed=2)),
        "rerank": str(write_trunk(root / "rerank", head="SequenceClassification", seed=3)),
    }


@pytest.fixture(scope="module")
def engine(
    models: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SearchEngine]:
    config = Config(
        dense=DenseConfig(model=models["dense"]),
        splade=SpladeConfig(model=models["splade"]),
        rerank=RerankConfig(model=models["rerank"], depth=3),
    )
    folder = tmp_path_factory.mktemp("indexes") / "all-legs"
    with SearchEngine.create(folder, config=config, compute=TORCH) as engine:
        with engine.writer() as writer:
            for number, (doc_id, text) in enumerate(TEXTS.items()):
                writer.add(Document(doc_id, text))
                if number % 2:
                    writer.commit()
        yield engine


def test_each_leg_scores_by_its_own_vectors(engine, models) -> None:
    question = "is the membrane of a cell made of lipids"
    stages = engine.retrieve(question, rerank=False)
    assert list(stages.legs) == ["dense", "bm25", "splade"]
    texts = list(TEXTS.values())

    # A bare transformers checkpoint says nothing of similarity: vectors compare by cosine.
    dense = BiEncoder(models["dense"], backend="torch", dtype="float32")
    query, documents = dense.encode_query([question])[0], dense.encode_document(texts)
    expected = documents @ query / (np.linalg.norm(documents, axis=1) * np.linalg.norm(query))
    _assert_scores(engine, stages.legs["dense"], expected)

    splade = SparseEncoder(models["splade"], backend="torch", dtype="float32")
    query_row = _densify(splade.encode_query([question]))[0]
    _assert_scores(
        engine, stages.legs["splade"], _densify(splade.encode_document(texts)) @ query_row
    )


def test_the_first_candidates_are_in_the_cross_encoders_order(engine, models) -> None:
    question = "a fox and lipids"
    stages = engine.retrieve(question)
    candidates = engine.doc_ids(stages.fused.chunk_ids)
    cross = CrossEncoder(models["rerank"], backend="torch", dtype="float32")
    scores = cross.predict([(question, TEXTS[doc_id]) for doc_id in candidates[:3]])
    expected = [candidates[position] for position in np.argsort(-scores, kind="stable")]
    assert engine.doc_ids(stages.reranked.chunk_ids) == expected + candidates[3:]
    response = engine.search(question, 3)
    assert [result.doc_id for result in response.results] == expected
    np.testing.assert_allclose(
        [result.score for result in response.results], np.sort(scores)[::-1], atol=1e-6
    )
    assert response.notes == ()
    assert "rerank" in response.timings_ms
    fused = engine.search(question, 3, rerank=False)
    assert [result.doc_id for result in fused.results] == candidates[:3]
    assert "rerank" not in fused.timings_ms


def test_scores_and_ranks_of_each_leg_stand_in_the_results(engine) -> None:
    stages = engine.retrieve("lipids")
    for result in engine.search("lipids").results:
        for name, hits in stages.legs.items():
            places = np.flatnonzero(hits.chunk_ids == result.chunk_id).tolist()
            assert result.ranks.get(name) == (places[0] + 1 if places else None)
            assert result.scores.get(name) == (
                pytest.approx(float(hits.scores[places[0]])) if places else None
            )


def test_threads_may_share_an_engine(engine) -> None:
    expected = {text: _answer(engine, text) for text in TEXTS.values()}
    found: list[bool] = []

    def ask() -> None:
        for _ in range(5):
            for text, answer in expected.items():
                found.append(_answer(engine, text) == answer)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * (4 * 5 * len(TEXTS))


def test_another_model_under_the_same_name_is_refused(models, tmp_path) -> None:
    model = tmp_path / "model"
    shutil.copytree(models["dense"], model)
    config = Config(dense=DenseConfig(model=str(model)))
    SearchEngine.create(tmp_path / "index", config=config, compute=TORCH).close()
    SearchEngine.open(tmp_path / "index", compute=TORCH).close()
    shutil.rmtree(model)
    write_trunk(model, seed=99)
    with pytest.raises(EncoderMismatchError, match="not the same model"):
        SearchEngine.open(tmp_path / "index", compute=TORCH)
    shutil.rmtree(model)
    with pytest.raises(ModelNotFoundError, match="model"):
        SearchEngine.open(tmp_path / "index", compute=TORCH)


def test_chunks_are_no_longer_than_a_short_model_reads(models, tmp_path) -> None:
    config = Config(dense=DenseConfig(model=models["dense"]), bm25=None)
    with SearchEngine.create(tmp_path / "index", config=config, compute=TORCH) as engine:
        with engine.writer() as writer:
            writer.add(Document("long", "the cell membrane is made of lipids. " * 60))
        assert writer.counts.chunks > 5
        assert writer.counts.truncated == 0


def test_a_model_with_another_similarity_is_refused_with_the_reason(models, tmp_path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(models["dense"], similarity_fn_name="manhattan")
    model.save(str(tmp_path / "manhattan"))
    config = Config(dense=DenseConfig(model=str(tmp_path / "manhattan")))
    with pytest.raises(ConfigError, match="manhattan"):
        SearchEngine.create(tmp_path / "index", config=config, compute=TORCH)
    assert not (tmp_path / "index").exists()


def test_small_questions(tmp_path) -> None:
    with SearchEngine.create(tmp_path / "index", config=Config(dense=None)) as engine:
        assert engine.search("anything").results == ()
        with engine.writer() as writer:
            writer.add(Document("a", "alpha"))
        assert engine.search("").results == engine.search(" \n").results == ()
        assert engine.search("?!").results == ()
        response = engine.search("alpha", 1_000_000)
        assert [result.doc_id for result in response.results] == ["a"]
        assert response.notes == (NO_RERANKER,)
        assert engine.search("alpha", rerank=False).notes == ()
        with pytest.raises(ConfigError, match="k is how many"):
            engine.search("alpha", 0)


def _answer(engine: SearchEngine, text: str) -> list[tuple[str, float]]:
    return [(result.doc_id, result.score) for result in engine.search(text).results]


def _assert_scores(engine: SearchEngine, hits, expected) -> None:
    scores = dict(zip(TEXTS, expected.tolist(), strict=True))
    found = dict(zip(engine.doc_ids(hits.chunk_ids), hits.scores.tolist(), strict=True))
    assert found == pytest.approx(scores, rel=1e-4)


def _densify(vectors) -> np.ndarray:
    dense = np.zeros((len(vectors), vectors.size), np.float32)
    for position in range(len(vectors)):
        indices, weights = vectors.row(position)
        dense[position, indices] = weights
    return dense

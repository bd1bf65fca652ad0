"""mteb's own scores of our encoders are those of our evaluators on the same data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.errors import CheckpointError, ConfigError
from search_engine.evaluation.evaluators import (
    EmbeddingSimilarityEvaluator,
    InformationRetrievalEvaluator,
    RerankingEvaluator,
    RerankingSample,
)
from search_engine.evaluation.mteb_adapter import MtebCrossEncoder, MtebEncoder
from search_engine.evaluation.retrieval_dataset import RetrievalDataset
from search_engine.types import Document
from tests.encoders.checkpoints import WORDS, write_sentence_transformer, write_trunk

mteb = pytest.importorskip("mteb")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    # mteb measures abstention by it; with so few queries it is not defined for each.
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
]

GENERATOR = np.random.default_rng(23)


def write_texts(count: int) -> list[str]:
    letters = [*WORDS, *"bcdefghijklmnopqrstuvwxyz"]
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[" ".join(GENERATOR.choice(letters, size=GENERATOR.integers(2, 13)))] = None
    return list(texts)


TEXTS = write_texts(110)
QUERIES = {f"q{number}": text for number, text in enumerate(TEXTS[:10])}
DOCUMENTS = [
    Document(f"d{number:03}", text, title="" if number % 3 else "the title")
    for number, text in enumerate(TEXTS[10:70])
]
QRELS = {
    query: {f"d{number:03}": 1 + int(number) % 3 for number in GENERATOR.permutation(60)[:5]}
    for query in QUERIES
}
CANDIDATES = {
    query: [*grades, *(f"d{number:03}" for number in range(12) if f"d{number:03}" not in grades)]
    for query, grades in QRELS.items()
}
FIRST, SECOND = TEXTS[70:90], TEXTS[90:110]
GOLD = GENERATOR.integers(0, 6, size=20).astype(float).tolist()


def describe_task(name: str, kind: str, main_score: str) -> Any:
    return mteb.TaskMetadata(
        name=name,
        description="A task in memory.",
        reference=None,
        dataset={"path": "none", "revision": "none"},
        type=kind,
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=main_score,
        date=("2020-01-01", "2020-01-02"),
        domains=["Written"],
        task_subtypes=[],
        license="cc-by-4.0",
        annotations_creators="derived",
        dialect=[],
        sample_creation="created",
        bibtex_citation="",
    )


def make_retrieval_task(*, rerank: bool) -> Any:
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    class Task(AbsTaskRetrieval):
        metadata = (
            describe_task("TinyReranking", "Reranking", "map_at_1000")
            if rerank
            else describe_task("TinyRetrieval", "Retrieval", "ndcg_at_10")
        )

        def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
            corpus = [{"id": d.doc_id, "title": d.title, "text": d.text} for d in DOCUMENTS]
            self.dataset = {
                "default": {
                    "test": {
                        "queries": Dataset.from_list(
                            [{"id": query, "text": text} for query, text in QUERIES.items()]
                        ),
                        "corpus": Dataset.from_list(corpus),
                        "relevant_docs": QRELS,
                        "top_ranked": CANDIDATES if rerank else None,
                    }
                }
            }
            self.data_loaded = True

    return Task()


def make_similarity_task() -> Any:
    from datasets import Dataset
    from mteb.abstasks.sts import AbsTaskSTS

    class Task(AbsTaskSTS):
        metadata = describe_task("TinySTS", "STS", "cosine_spearman")

        def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
            pairs = {"sentence1": FIRST, "sentence2": SECOND, "score": GOLD}
            self.dataset = {"test": Dataset.from_dict(pairs)}
            self.data_loaded = True

    return Task()


def score(model: Any, task: Any) -> dict[str, float]:
    result = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    (scores,) = result.task_results[0].scores["test"]
    return scores


@pytest.fixture(scope="module", autouse=True)
def no_progress_bars() -> Iterator[None]:
    import datasets

    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture(scope="module")
def bi(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> BiEncoder:
    folder = write_sentence_transformer(
        tmp_path_factory.mktemp("bi") / "model",
        bert,
        prompts={"query": "query the ", "document": "document ", "TinySTS": "a cell is "},
        similarity="dot",
    )
    return BiEncoder(str(folder), backend="torch", dtype="float32", offline=True)


@pytest.fixture(scope="module")
def sparse(masked_lm: Path) -> SparseEncoder:
    return SparseEncoder(
        str(masked_lm), backend="torch", dtype="float32", offline=True, max_active_dims=12
    )


@pytest.fixture(scope="module")
def cross(classifier: Path) -> CrossEncoder:
    return CrossEncoder(str(classifier), backend="torch", dtype="float32", offline=True)


METRICS = {
    "ndcg@10": "ndcg_at_10",
    "map@10": "map_at_10",
    "recall@3": "recall_at_3",
    "precision@5": "precision_at_5",
    "mrr@10": "mrr_at_10",
    "accuracy@3": "hit_rate_at_3",
}


@pytest.mark.parametrize("kind", ["bi", "sparse"])
def test_retrieval(kind: str, request: pytest.FixtureRequest) -> None:
    encoder = request.getfixturevalue(kind)
    found = score(MtebEncoder(encoder), make_retrieval_task(rerank=False))
    dataset = RetrievalDataset("tiny", "test", QUERIES, QRELS, lambda: iter(DOCUMENTS))
    expected = InformationRetrievalEvaluator(dataset, metrics=tuple(METRICS))(encoder)
    for ours, name in METRICS.items():
        # mteb rounds to five digits.
        assert found[name] == pytest.approx(expected[ours], abs=1e-5), name
    assert found["main_score"] == found["ndcg_at_10"]
    assert 0.01 < found["ndcg_at_10"] < 0.9


@pytest.mark.parametrize("kind", ["bi", "sparse", "cross"])
def test_reranking(kind: str, request: pytest.FixtureRequest) -> None:
    encoder = request.getfixturevalue(kind)
    model = MtebCrossEncoder(encoder) if kind == "cross" else MtebEncoder(encoder)
    found = score(model, make_retrieval_task(rerank=True))
    texts = {d.doc_id: f"{d.title} {d.text}".strip() for d in DOCUMENTS}
    samples = [
        RerankingSample(
            QUERIES[query],
            {texts[doc_id]: grade for doc_id, grade in QRELS[query].items()},
            [texts[doc_id] for doc_id in candidates],
        )
        for query, candidates in CANDIDATES.items()
    ]
    expected = RerankingEvaluator(samples, metrics=("map", "ndcg@10", "mrr@10"))(encoder)
    assert found["map_at_1000"] == pytest.approx(expected["map"], abs=1e-5)
    assert found["ndcg_at_10"] == pytest.approx(expected["ndcg@10"], abs=1e-5)
    assert found["mrr_at_10"] == pytest.approx(expected["mrr@10"], abs=1e-5)
    assert expected["map"] < expected["base_map"] == 1


def test_similarity_of_texts(bi: BiEncoder) -> None:
    class Prompted:
        """The encoder with the prompt that the checkpoint has for the task."""

        similarity = bi.similarity

        @staticmethod
        def encode(texts: list[str]) -> NDArray[np.float32]:
            return bi.encode(texts, prompt="a cell is ")

    found = score(MtebEncoder(bi), make_similarity_task())
    evaluator = EmbeddingSimilarityEvaluator(
        FIRST, SECOND, GOLD, similarities=("dot", "cosine", "euclidean", "manhattan")
    )
    expected = evaluator(Prompted())
    for kind in ("pearson", "spearman"):
        assert found[kind] == pytest.approx(expected[f"{kind}_dot"], abs=1e-5)
        for similarity in ("cosine", "euclidean", "manhattan"):
            name = f"{similarity}_{kind}"
            assert found[name] == pytest.approx(expected[f"{kind}_{similarity}"], abs=1e-5)
    assert expected["pearson_dot"] != pytest.approx(evaluator(bi)["pearson_dot"], abs=1e-4)


def test_similarity_of_texts_by_sparse_vectors(sparse: SparseEncoder) -> None:
    found = score(MtebEncoder(sparse), make_similarity_task())
    expected = EmbeddingSimilarityEvaluator(FIRST, SECOND, GOLD)(sparse)
    assert found["spearman"] == pytest.approx(expected["spearman"], abs=1e-5)
    assert found["pearson"] == pytest.approx(expected["pearson"], abs=1e-5)


def test_what_mteb_is_told_of_the_model(bi: BiEncoder, cross: CrossEncoder) -> None:
    meta = MtebEncoder(bi).mteb_model_meta
    assert isinstance(meta, mteb.models.ModelMeta)
    assert meta.name == "local/model"
    assert meta.revision == bi.fingerprint
    assert (meta.embed_dim, meta.max_tokens) == (bi.dimension, bi.max_tokens)
    assert meta.similarity_fn_name.value == "dot"
    meta = MtebCrossEncoder(cross, name="me/reranker").mteb_model_meta
    assert (meta.name, meta.revision) == ("me/reranker", cross.fingerprint)
    assert MtebEncoder(bi, name="me/model").mteb_model_meta.name == "me/model"


def test_prompts_of_a_task_come_before_those_of_its_type(bert: Path, tmp_path: Path) -> None:
    class Metadata:
        name = "SciFact"
        type = "Retrieval"

    texts = ["a cell", "the membrane"]
    prompts = {"query": "q ", "Retrieval": "r ", "Retrieval-query": "rq ", "SciFact-query": "sq "}
    for count in range(4, 0, -1):
        chosen = dict(list(prompts.items())[:count])
        folder = write_sentence_transformer(tmp_path / str(count), bert, prompts=chosen)
        encoder = BiEncoder(str(folder), backend="torch", dtype="float32", offline=True)
        found = MtebEncoder(encoder).encode(
            [{"text": texts[:1]}, {"text": texts[1:]}], task_metadata=Metadata, prompt_type="query"
        )
        used = list(chosen.values())[-1]
        np.testing.assert_allclose(found, encoder.encode(texts, prompt=used), atol=1e-6)


def test_what_cannot_be_encoded_is_refused(
    bi: BiEncoder, cross: CrossEncoder, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="a batch has image and no text"):
        MtebEncoder(bi).encode([{"image": [b""]}], task_metadata=None)
    with pytest.raises(ConfigError, match="1 queries cannot be paired with 0"):
        MtebCrossEncoder(cross).predict([{"text": ["a"]}], [], task_metadata=None)
    folder = write_trunk(tmp_path / "trunk", head="SequenceClassification", labels=3)
    with pytest.raises(CheckpointError, match="3 labels"):
        MtebCrossEncoder(CrossEncoder(str(folder), backend="torch", offline=True))

"""Our evaluators give the scores of Sentence Transformers' on the same models and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from sentence_transformers import CrossEncoder as TheirCrossEncoder
from sentence_transformers import SentenceTransformer
from sentence_transformers import SparseEncoder as TheirSparseEncoder
from sentence_transformers.cross_encoder import evaluation as their_cross
from sentence_transformers.sentence_transformer import evaluation as theirs
from sentence_transformers.sparse_encoder import evaluation as their_sparse

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.evaluation.evaluators import (
    BinaryClassificationEvaluator,
    ClassificationEvaluator,
    EmbeddingSimilarityEvaluator,
    InformationRetrievalEvaluator,
    MSEEvaluator,
    RerankingEvaluator,
    RerankingSample,
    TranslationEvaluator,
    TripletEvaluator,
)
from search_engine.evaluation.retrieval_dataset import RetrievalDataset
from tests.encoders.checkpoints import WORDS, edit_json, write_sentence_transformer, write_trunk

# Of torch, about the tensors that the reference library makes.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning"),
    pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning"),
]

SIMILARITIES = ["cosine", "dot", "euclidean", "manhattan"]
GENERATOR = np.random.default_rng(17)


def write_texts(count: int) -> list[str]:
    """Different texts of two to twelve words."""
    letters = [*WORDS, *"bcdefghijklmnopqrstuvwxyz"]
    texts: dict[str, None] = {}
    while len(texts) < count:
        words = GENERATOR.choice(letters, size=GENERATOR.integers(2, 13))
        texts[" ".join(words)] = None
    return list(texts)


TEXTS = write_texts(160)
FIRST, SECOND, THIRD = TEXTS[:40], TEXTS[40:80], TEXTS[80:120]
GOLD = GENERATOR.integers(0, 6, size=40).tolist()
LABELS = GENERATOR.integers(0, 2, size=40).tolist()
QUERIES = {f"q{number}": text for number, text in enumerate(TEXTS[:12])}
CORPUS = {f"d{number:03}": text for number, text in enumerate(TEXTS[12:132])}
QRELS = {
    query: {f"d{number:03}": 1 for number in GENERATOR.permutation(120)[: 1 + 3 * place]}
    for place, query in enumerate(QUERIES)
}
SAMPLES = [
    {
        "query": query,
        "positive": TEXTS[20 + 10 * place : 22 + 10 * place + place % 3],
        "negative": TEXTS[25 + 10 * place : 30 + 10 * place],
    }
    for place, query in enumerate(TEXTS[:12])
]


@pytest.fixture(scope="module")
def bi(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[BiEncoder, Any]:
    folder = write_sentence_transformer(
        tmp_path_factory.mktemp("bi") / "model",
        bert,
        prompts={"query": "query the ", "document": "document "},
    )
    ours = BiEncoder(str(folder), backend="torch", dtype="float32", offline=True)
    return ours, SentenceTransformer(str(folder), device="cpu")


@pytest.fixture(scope="module")
def sparse(masked_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[SparseEncoder, Any]:
    folder = tmp_path_factory.mktemp("sparse") / "model"
    TheirSparseEncoder(str(masked_lm), device="cpu").save(str(folder), create_model_card=False)
    edit_json(
        folder / "config_sentence_transformers.json", {"prompts": {"query": "the ", "document": ""}}
    )
    # As a trained model is: few terms of each text have a weight.
    ours = SparseEncoder(str(folder), backend="torch", dtype="float32", max_active_dims=12)
    return ours, TheirSparseEncoder(str(folder), device="cpu", max_active_dims=12)


@pytest.fixture(scope="module")
def cross(classifier: Path) -> tuple[CrossEncoder, Any]:
    ours = CrossEncoder(str(classifier), backend="torch", dtype="float32", offline=True)
    return ours, TheirCrossEncoder(str(classifier), device="cpu")


def assert_same(ours: dict[str, float], expected: dict[str, float], names: dict[str, str]) -> None:
    """Compare by name; what a model makes in float32 differs in the seventh digit."""
    for name, their_name in names.items():
        assert ours[name] == pytest.approx(expected[their_name], abs=1e-6, rel=1e-6), name


IR_NAMES = ("ndcg@10", "mrr@10", *(f"{kind}@{k}" for kind in ("accuracy", "precision", "recall")
                                   for k in (1, 3, 5, 10)))  # fmt: skip


def make_retrieval() -> InformationRetrievalEvaluator:
    return InformationRetrievalEvaluator(
        RetrievalDataset.from_texts(QUERIES, CORPUS, QRELS), metrics=(*IR_NAMES, "map@100", "map@5")
    )


@pytest.mark.parametrize("truncate_dim", [None, 16])
def test_retrieval_by_vectors(bi: tuple[BiEncoder, Any], truncate_dim: int | None) -> None:
    ours, model = bi
    relevant = {query: set(grades) for query, grades in QRELS.items()}
    expected = theirs.InformationRetrievalEvaluator(
        QUERIES, CORPUS, relevant, truncate_dim=truncate_dim, map_at_k=[5, 100]
    )(model)
    dataset = RetrievalDataset.from_texts(QUERIES, CORPUS, QRELS)
    found = InformationRetrievalEvaluator(
        dataset, metrics=(*IR_NAMES, "map@100"), truncate_dim=truncate_dim
    ).measure(ours)
    # No query has more than 100 relevant documents: the two definitions of MAP are one.
    names = {name: f"cosine_{name}" for name in (*IR_NAMES, "map@100")}
    assert_same(found.scores, expected, names)
    assert len({round(value, 6) for value in expected.values()}) > 8


def test_map_below_the_number_of_relevant_documents_is_that_of_trec_eval(
    bi: tuple[BiEncoder, Any],
) -> None:
    """Theirs divides by the cut where it is smaller; trec_eval, BEIR and MTEB do not."""
    ours, model = bi
    relevant = {query: set(grades) for query, grades in QRELS.items()}
    expected = theirs.InformationRetrievalEvaluator(QUERIES, CORPUS, relevant, map_at_k=[5])(model)
    found = make_retrieval().measure(ours)
    rescaled = [
        value * len(QRELS[query]) / min(5, len(QRELS[query]))
        for query, value in zip(found.items, found.per_item["map@5"], strict=True)
    ]
    assert np.mean(rescaled) == pytest.approx(expected["cosine_map@5"], abs=1e-6)
    assert found.scores["map@5"] < expected["cosine_map@5"]
    similarities = model.similarity(
        model.encode_query(list(QUERIES.values())), model.encode_document(list(CORPUS.values()))
    )
    run = {
        query: dict(zip(CORPUS, row, strict=True))
        for query, row in zip(QUERIES, similarities.tolist(), strict=True)
    }
    values = pytrec_eval.RelevanceEvaluator(QRELS, {"map_cut.5"}).evaluate(run)
    for query, value in zip(found.items, found.per_item["map@5"], strict=True):
        assert value == pytest.approx(values[query]["map_cut_5"], abs=1e-6)


def test_retrieval_by_sparse_vectors(sparse: tuple[SparseEncoder, Any]) -> None:
    ours, model = sparse
    relevant = {query: set(grades) for query, grades in QRELS.items()}
    expected = their_sparse.SparseInformationRetrievalEvaluator(QUERIES, CORPUS, relevant)(model)
    names = {name: f"dot_{name}" for name in (*IR_NAMES, "map@100")}
    sparsity = ("active_dims", "sparsity_ratio")
    names |= {
        f"{side}_{name}": f"{side}_{name}" for side in ("query", "corpus") for name in sparsity
    }
    assert_same(make_retrieval()(ours), expected, names | {"avg_flops": "avg_flops"})
    assert expected["query_active_dims"] == 12


def reranking_samples() -> list[RerankingSample]:
    return [
        RerankingSample.of(each["query"], positives=each["positive"], negatives=each["negative"])
        for each in SAMPLES
    ]


def test_reranking_by_vectors(bi: tuple[BiEncoder, Any], sparse: tuple[SparseEncoder, Any]) -> None:
    expected = theirs.RerankingEvaluator(SAMPLES, at_k=3)(bi[1])
    evaluator = RerankingEvaluator(reranking_samples(), metrics=("map", "mrr@3", "ndcg@3"))
    names = {name: name for name in ("map", "mrr@3", "ndcg@3")}
    assert_same(evaluator(bi[0]), expected, names)
    expected = their_sparse.SparseRerankingEvaluator(SAMPLES, at_k=3)(sparse[1])
    # Theirs takes the cosine, whatever the model compares with.
    evaluator = RerankingEvaluator(
        reranking_samples(), metrics=("map", "mrr@3", "ndcg@3"), similarity="cosine"
    )
    assert_same(evaluator(sparse[0]), expected, names)


def test_reranking_by_a_cross_encoder(cross: tuple[CrossEncoder, Any]) -> None:
    ours, model = cross
    names = {name: name for name in ("map", "mrr@10", "ndcg@10")}
    expected = their_cross.CrossEncoderRerankingEvaluator(SAMPLES)(model)
    assert_same(RerankingEvaluator(reranking_samples())(ours), expected, names)


@pytest.mark.parametrize("always", [True, False])
def test_reranking_what_a_first_stage_found(cross: tuple[CrossEncoder, Any], always: bool) -> None:
    ours, model = cross
    given = [
        {
            "query": each["query"],
            "positive": each["positive"],
            # The first stage has missed a positive of every second query.
            "documents": [*each["negative"][:2], *each["positive"][place % 2 :],
                          *each["negative"][2:]],
        }
        for place, each in enumerate(SAMPLES)
    ]  # fmt: skip
    # Without its missed positives theirs takes those that were found for all there are, and ours
    # does not; so that there they are made the same.
    samples = [
        RerankingSample(
            each["query"],
            {text: 1 for text in each["positive"] if always or text in each["documents"]},
            each["documents"],
        )
        for each in given
    ]
    expected = their_cross.CrossEncoderRerankingEvaluator(given, always_rerank_positives=always)(
        model
    )
    found = RerankingEvaluator(samples, always_rerank_positives=always)(ours)
    names = {name: name for name in ("map", "mrr@10", "ndcg@10")}
    assert_same(found, expected, names)
    if always:
        assert_same(found, expected, {f"base_{name}": f"base_{name}" for name in names})


def test_correlations(bi: tuple[BiEncoder, Any], sparse: tuple[SparseEncoder, Any]) -> None:
    names = {
        f"{kind}_{similarity}": f"{kind}_{similarity}"
        for kind in ("pearson", "spearman")
        for similarity in SIMILARITIES
    }
    evaluator = EmbeddingSimilarityEvaluator(FIRST, SECOND, GOLD, similarities=SIMILARITIES)
    expected = theirs.EmbeddingSimilarityEvaluator(
        FIRST, SECOND, GOLD, similarity_fn_names=SIMILARITIES
    )(bi[1])
    assert_same(evaluator(bi[0]), expected, names)
    expected = their_sparse.SparseEmbeddingSimilarityEvaluator(
        FIRST, SECOND, GOLD, similarity_fn_names=SIMILARITIES
    )(sparse[1])
    assert_same(evaluator(sparse[0]), expected, names)


def test_correlations_of_truncated_vectors(bi: tuple[BiEncoder, Any]) -> None:
    ours, model = bi
    evaluator = EmbeddingSimilarityEvaluator(FIRST, SECOND, GOLD, truncate_dim=8)
    expected = theirs.EmbeddingSimilarityEvaluator(FIRST, SECOND, GOLD, truncate_dim=8)(model)
    names = {"pearson": "pearson_cosine", "spearman": "spearman_cosine"}
    assert_same(evaluator(ours), expected, names)
    whole = EmbeddingSimilarityEvaluator(FIRST, SECOND, GOLD)(ours)
    assert whole["pearson"] != pytest.approx(expected["pearson_cosine"], abs=1e-4)


def test_correlations_of_a_cross_encoder(cross: tuple[CrossEncoder, Any]) -> None:
    ours, model = cross
    pairs = [list(pair) for pair in zip(FIRST, SECOND, strict=True)]
    expected = their_cross.CrossEncoderCorrelationEvaluator(pairs, GOLD)(model)
    found = EmbeddingSimilarityEvaluator(FIRST, SECOND, GOLD)(ours)
    assert_same(found, expected, {"pearson": "pearson", "spearman": "spearman"})


def test_binary_classification(
    bi: tuple[BiEncoder, Any], sparse: tuple[SparseEncoder, Any]
) -> None:
    metrics = ("accuracy", "f1", "precision", "recall", "mcc", "accuracy_threshold", "f1_threshold")
    names = {
        f"{metric}_{similarity}": f"{similarity}_{metric}"
        for metric in metrics
        for similarity in SIMILARITIES
    }
    names |= {f"average_precision_{each}": f"{each}_ap" for each in SIMILARITIES}
    evaluator = BinaryClassificationEvaluator(FIRST, SECOND, LABELS, similarities=SIMILARITIES)
    for (ours, model), their_class in (
        (bi, theirs.BinaryClassificationEvaluator),
        (sparse, their_sparse.SparseBinaryClassificationEvaluator),
    ):
        expected = their_class(FIRST, SECOND, LABELS, similarity_fn_names=SIMILARITIES)(model)
        for similarity in ("euclidean", "manhattan"):
            # Theirs are distances, of which a smaller one is positive.
            for threshold in ("accuracy_threshold", "f1_threshold"):
                expected[f"{similarity}_{threshold}"] *= -1
        assert_same(evaluator(ours), expected, names)


def test_binary_classification_of_a_cross_encoder(cross: tuple[CrossEncoder, Any]) -> None:
    ours, model = cross
    pairs = [list(pair) for pair in zip(FIRST, SECOND, strict=True)]
    expected = their_cross.CrossEncoderClassificationEvaluator(pairs, LABELS)(model)
    found = BinaryClassificationEvaluator(FIRST, SECOND, LABELS)(ours)
    names = ("accuracy", "f1", "precision", "recall", "average_precision", "accuracy_threshold",
             "f1_threshold")  # fmt: skip
    assert_same(found, expected, {name: name for name in names})


def test_classification_by_several_labels(tmp_path: Path) -> None:
    folder = write_trunk(tmp_path / "trunk", head="SequenceClassification", labels=3)
    model = TheirCrossEncoder(str(folder), device="cpu")
    ours = CrossEncoder(str(folder), backend="torch", dtype="float32", offline=True)
    pairs = list(zip(FIRST, SECOND, strict=True))
    # Mostly what the model says, so that the scores are of several labels.
    gold = np.where(
        GENERATOR.random(40) < 0.6, model.predict(pairs).argmax(1), GENERATOR.integers(0, 3, 40)
    ).tolist()
    expected = their_cross.CrossEncoderClassificationEvaluator(pairs, gold)(model)
    names = {"f1_macro": "f1_macro", "f1_weighted": "f1_weighted", "accuracy": "f1_micro"}
    assert_same(ClassificationEvaluator(pairs, gold)(ours), expected, names)


@pytest.mark.parametrize("margin", [0.0, 0.01, -0.01])
def test_triplets(
    bi: tuple[BiEncoder, Any], sparse: tuple[SparseEncoder, Any], margin: float
) -> None:
    evaluator = TripletEvaluator(FIRST, SECOND, THIRD, similarities=SIMILARITIES, margin=margin)
    names = {f"accuracy_{each}": f"{each}_accuracy" for each in SIMILARITIES}
    for (ours, model), their_class in (
        (bi, theirs.TripletEvaluator),
        (sparse, their_sparse.SparseTripletEvaluator),
    ):
        expected = their_class(
            FIRST, SECOND, THIRD, similarity_fn_names=SIMILARITIES, margin=margin
        )(model)
        assert_same(evaluator(ours), expected, names)


def test_squared_errors(
    bi: tuple[BiEncoder, Any], sparse: tuple[SparseEncoder, Any], tmp_path: Path
) -> None:
    teacher_folder = write_sentence_transformer(
        tmp_path / "teacher", write_trunk(tmp_path / "trunk", seed=3)
    )
    teacher = SentenceTransformer(str(teacher_folder), device="cpu")
    our_teacher = BiEncoder(str(teacher_folder), backend="torch", dtype="float32", offline=True)
    names = {"negative_mse": "negative_mse"}
    for truncate_dim in (None, 8):
        expected = theirs.MSEEvaluator(FIRST, SECOND, teacher, truncate_dim=truncate_dim)(bi[1])
        found = MSEEvaluator(our_teacher, FIRST, SECOND, truncate_dim=truncate_dim)(bi[0])
        assert_same(found, expected, names)
        assert expected["negative_mse"] < -1
    expected = their_sparse.SparseMSEEvaluator(FIRST, SECOND, sparse[1])(sparse[1])
    assert_same(MSEEvaluator(sparse[0], FIRST, SECOND)(sparse[0]), expected, names)


def test_translations(bi: tuple[BiEncoder, Any], sparse: tuple[SparseEncoder, Any]) -> None:
    # What is near enough to be found now and then: the same text with a word more.
    target = [f"{text} {word}" for text, word in zip(FIRST, WORDS * 4, strict=False)]
    evaluator = TranslationEvaluator(FIRST, target)
    names = {name: name for name in ("src2trg_accuracy", "trg2src_accuracy", "mean_accuracy")}
    for (ours, model), their_class in (
        (bi, theirs.TranslationEvaluator),
        (sparse, their_sparse.SparseTranslationEvaluator),
    ):
        expected = their_class(FIRST, target)(model)
        assert_same(evaluator(ours), expected, names)
        assert 0.1 < expected["mean_accuracy"] < 1

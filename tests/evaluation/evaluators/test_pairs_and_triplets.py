"""Evaluators of pairs, triplets and translations, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from search_engine.errors import ConfigError, DatasetError
from search_engine.evaluation.evaluators import (
    BinaryClassificationEvaluator,
    ClassificationEvaluator,
    EmbeddingSimilarityEvaluator,
    MSEEvaluator,
    TranslationEvaluator,
    TripletEvaluator,
)
from tests.evaluation.evaluators.stubs import Cross, Dense, Labeller, Sparse

VECTORS = {
    "a": [1.0, 0.0, 0.5],
    "b": [0.5, 2.0, 0.0],
    "c": [0.0, 0.0, 3.0],
    "d": [1.5, 0.5, 0.5],
    "e": [0.0, 1.0, 1.0],
}
FIRST, SECOND = ["a", "a", "b", "c", "d", "e"], ["b", "c", "d", "e", "a", "b"]
GOLD = [0.1, 0.6, 0.3, 0.9, 0.8, 0.4]
LABELS = [0, 1, 0, 1, 1, 0]


def by_formula(name: str) -> np.ndarray:
    formulas = {
        "dot": lambda x, y: x @ y,
        "cosine": lambda x, y: x @ y / np.sqrt((x @ x) * (y @ y)),
        "euclidean": lambda x, y: -np.sqrt(((x - y) ** 2).sum()),
        "manhattan": lambda x, y: -np.abs(x - y).sum(),
    }
    return np.array(
        [
            formulas[name](np.array(VECTORS[a]), np.array(VECTORS[b]))
            for a, b in zip(FIRST, SECOND, strict=True)
        ]
    )


SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


@pytest.mark.parametrize("kind", [Dense, Sparse])
def test_correlations_by_every_similarity(kind) -> None:
    evaluator = EmbeddingSimilarityEvaluator(FIRST, SECOND, GOLD, similarities=SIMILARITIES)
    assert evaluator.metric == "spearman_cosine"
    encoder = kind(VECTORS)
    measured = evaluator.measure(encoder)
    for name in SIMILARITIES:
        expected = by_formula(name)
        np.testing.assert_allclose(measured.per_item[f"pearson_{name}"], expected, rtol=1e-5)
        assert measured.scores[f"pearson_{name}"] == pytest.approx(
            stats.pearsonr(expected, GOLD).statistic, abs=1e-6
        )
        assert measured.scores[f"spearman_{name}"] == pytest.approx(
            stats.spearmanr(expected, GOLD).statistic, abs=1e-6
        )
    # Each text once, as one that is neither query nor document.
    assert [(call, texts) for call, texts, _ in encoder.calls] == [("encode", list("abcde"))]


def test_the_encoders_own_similarity_has_no_name_of_its_own() -> None:
    evaluator = EmbeddingSimilarityEvaluator(FIRST, SECOND, GOLD)
    scores = evaluator(Dense(VECTORS, similarity="manhattan"))
    expected = stats.spearmanr(by_formula("manhattan"), GOLD).statistic
    assert scores == {
        "spearman": pytest.approx(expected),
        "pearson": pytest.approx(stats.pearsonr(by_formula("manhattan"), GOLD).statistic),
    }
    assert evaluator.metric == "spearman"


def test_what_a_cross_encoder_predicts_is_correlated() -> None:
    predictions = [0.3, 0.2, 0.1, 0.9, 0.7, 0.4]
    pairs = zip(FIRST, SECOND, strict=True)
    scores = EmbeddingSimilarityEvaluator(FIRST, SECOND, GOLD, metric="pearson")(
        Cross(dict(zip(pairs, predictions, strict=True)))
    )
    assert scores["pearson"] == pytest.approx(stats.pearsonr(predictions, GOLD).statistic)
    assert scores["spearman"] == pytest.approx(stats.spearmanr(predictions, GOLD).statistic)


@pytest.mark.parametrize("kind", [Dense, Sparse])
def test_classification_by_every_similarity(kind) -> None:
    evaluator = BinaryClassificationEvaluator(FIRST, SECOND, LABELS, similarities=SIMILARITIES)
    assert evaluator.metric == "average_precision_cosine"
    measured = evaluator.measure(kind(VECTORS))
    for name in SIMILARITIES:
        scores = by_formula(name)
        expected = metrics.average_precision_score(LABELS, scores)
        assert measured.scores[f"average_precision_{name}"] == pytest.approx(expected)
        np.testing.assert_allclose(measured.per_item[f"f1_{name}"], scores, rtol=1e-5)
        # A threshold may be a score itself, which is exact only in the precision of the scores.
        scores = measured.per_item[f"f1_{name}"]
        for metric, threshold in (("accuracy", "accuracy_threshold"), ("f1", "f1_threshold")):
            predicted = scores >= measured.scores[f"{threshold}_{name}"]
            formula = {"accuracy": metrics.accuracy_score, "f1": metrics.f1_score}[metric]
            assert measured.scores[f"{metric}_{name}"] == pytest.approx(formula(LABELS, predicted))
            best = max(formula(LABELS, scores >= cut) for cut in [*scores, 1e9])
            assert measured.scores[f"{metric}_{name}"] == pytest.approx(best)
    for name, statistic in measured.statistics.items():
        computed = statistic.compute(measured.per_item[name], measured.gold)
        assert computed == pytest.approx(measured.scores[name])
        rescaled = statistic.rescale(measured.per_item[name])
        assert statistic.compute(rescaled, measured.gold) == pytest.approx(computed)


def test_labels_of_several_classes() -> None:
    gold = [0, 1, 2, 2, 1, 0]
    predicted = [0, 1, 1, 1, 2, 0]
    pairs = list(zip(FIRST, SECOND, strict=True))
    evaluator = ClassificationEvaluator(pairs, gold)
    measured = evaluator.measure(Labeller(dict(zip(pairs, predicted, strict=True))))
    for average in ("macro", "weighted"):
        expected = metrics.f1_score(gold, predicted, average=average)
        assert measured.scores[f"f1_{average}"] == pytest.approx(expected)
    assert measured.scores["accuracy"] == pytest.approx(metrics.accuracy_score(gold, predicted))
    assert measured.per_item["accuracy"].tolist() == [1, 1, 0, 0, 0, 1]
    assert measured.per_item["f1_macro"].tolist() == predicted
    with pytest.raises(ConfigError, match="label 3, and labeller has only 3"):
        ClassificationEvaluator(pairs, [0, 1, 2, 3, 1, 0])(Labeller({}))
    for encoder in (Cross({}), Dense(VECTORS)):
        with pytest.raises(ConfigError, match="several labels"):
            evaluator(encoder)


def test_macro_f1_takes_labels_that_are_only_predicted_and_no_others() -> None:
    pairs = [("a", "b"), ("b", "c")]
    scores = ClassificationEvaluator(pairs, [0, 0])(Labeller({pairs[0]: 0, pairs[1]: 2}))
    assert scores["f1_macro"] == pytest.approx(metrics.f1_score([0, 0], [0, 2], average="macro"))


@pytest.mark.parametrize(
    ("margin", "right"), [(0, [1, 0, 0]), (0.5, [0, 0, 0]), (-0.1, [1, 1, 0]), (-3, [1, 1, 1])]
)
def test_triplets(margin: float, right: list[int]) -> None:
    documents = {"p": [1.0, 0.0], "n": [0.5, 1.0]}
    queries = {"x": [1.0, 0.0], "tie": [1.0, 0.5], "y": [0.0, 2.0]}
    evaluator = TripletEvaluator(["x", "tie", "y"], ["p"] * 3, ["n"] * 3, margin=margin)
    measured = evaluator.measure(Dense(documents, queries=queries))
    assert measured.per_item["accuracy"].tolist() == right
    assert measured.scores["accuracy"] == pytest.approx(np.mean(right))
    assert evaluator.metric == "accuracy"


def test_triplets_of_a_cross_encoder_and_of_named_similarities() -> None:
    cross = Cross({("x", "p"): 0.2, ("x", "n"): 0.1, ("y", "n"): 0.3})
    evaluator = TripletEvaluator(["x", "y"], ["p", "p"], ["n", "n"])
    assert evaluator.measure(cross).per_item["accuracy"].tolist() == [1, 0]
    vectors = {"x": [1.0, 0.0], "p": [1.0, 0.2], "n": [9.0, 0.0]}
    scores = TripletEvaluator(["x"], ["p"], ["n"], similarities=("dot", "manhattan", "cosine"))(
        Dense(vectors)
    )
    assert scores == {"accuracy_dot": 0, "accuracy_manhattan": 1, "accuracy_cosine": 0}


@pytest.mark.parametrize("kind", [Dense, Sparse])
def test_the_squared_error(kind) -> None:
    student = {text: np.add(vector, [0.1, 0, -0.2]) for text, vector in VECTORS.items()}
    evaluator = MSEEvaluator(kind(VECTORS), list("abc"), list("cab"))
    measured = evaluator.measure(kind(student))
    expected = [
        -100 * np.mean((np.array(VECTORS[source]) - student[target]) ** 2)
        for source, target in zip("abc", "cab", strict=True)
    ]
    np.testing.assert_allclose(measured.per_item["negative_mse"], expected, rtol=1e-5)
    assert measured.scores["negative_mse"] == pytest.approx(np.mean(expected))
    assert evaluator.metric == "negative_mse"
    assert str(MSEEvaluator(kind(VECTORS), "ab", "ab")(kind(VECTORS))["negative_mse"]) == "0.0"


def test_the_squared_error_of_vectors_of_other_lengths() -> None:
    longer = Dense({"a": [1.0, 0.0, 0.5, 7.0]})
    with pytest.raises(ConfigError, match="have 4 dimensions, the teacher's 3"):
        MSEEvaluator(Dense(VECTORS), ["a"], ["a"])(longer)
    assert MSEEvaluator(Dense(VECTORS), ["a"], ["a"], truncate_dim=3)(longer)["negative_mse"] == 0


@pytest.mark.parametrize("kind", [Dense, Sparse])
def test_translations(kind) -> None:
    vectors = {
        "one": [1.0, 0.1], "two": [0.1, 1.0], "three": [1.0, 0.6],
        "eins": [9.0, 0.0], "zwei": [0.0, 0.5], "drei": [0.3, 1.0],
    }  # fmt: skip
    source, target = ["one", "two", "three"], ["eins", "zwei", "drei"]
    measured = TranslationEvaluator(source, target).measure(kind(vectors, similarity="dot"))
    # By cosine, which the encoder does not use, three is nearest to eins (0.86; drei 0.78), and
    # drei to two (0.98).
    assert measured.per_item["src2trg_accuracy"].tolist() == [1, 1, 0]
    assert measured.per_item["trg2src_accuracy"].tolist() == [1, 1, 0]
    assert measured.scores["mean_accuracy"] == pytest.approx(2 / 3)


def test_forth_and_back_differ_and_an_equal_text_is_as_good() -> None:
    vectors = {"x": [1.0, 0.0], "y": [0.9, 0.1], "u": [1.0, 0.05], "v": [0.0, 1.0]}
    scores = TranslationEvaluator(["x", "y"], ["u", "v"])(Dense(vectors))
    assert scores == {"src2trg_accuracy": 0.5, "trg2src_accuracy": 1.0, "mean_accuracy": 0.75}
    scores = TranslationEvaluator(["x", "y"], ["u", "u"])(Dense(vectors))
    assert scores["src2trg_accuracy"] == 1
    assert scores["trg2src_accuracy"] == 0.5


def test_data_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(DatasetError, match="6 first texts, 6 second texts, 5 gold scores"):
        EmbeddingSimilarityEvaluator(FIRST, SECOND, GOLD[:5])
    with pytest.raises(DatasetError, match="0 anchors"):
        TripletEvaluator([], [], [])
    for gold in ([1.0, 1.0], [0.0, float("nan")]):
        with pytest.raises(DatasetError, match="all equal or not all finite"):
            EmbeddingSimilarityEvaluator(["a", "b"], ["c", "d"], gold)
    for labels in ([1, 1], [0, 2]):
        with pytest.raises(DatasetError, match="both have to be there"):
            BinaryClassificationEvaluator(["a", "b"], ["c", "d"], labels)
    with pytest.raises(DatasetError, match="a label is -1"):
        ClassificationEvaluator([("a", "b")], [-1])
    with pytest.raises(ConfigError, match="makes no vectors"):
        TranslationEvaluator(["a"], ["b"])(Cross({}))
    with pytest.raises(ConfigError, match="'f1' is not measured by 'similarity'; choose one of"):
        EmbeddingSimilarityEvaluator(FIRST, SECOND, GOLD, metric="f1")

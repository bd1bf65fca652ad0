"""Our sparse encoder gives the weights of Sentence Transformers' SparseEncoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_transformers import SparseEncoder as TheirSparseEncoder

from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.errors import ConfigError
from search_engine.types import SparseVectors
from tests.encoders.checkpoints import TEXTS, edit_json, write_json


def densify(vectors: SparseVectors) -> NDArray[np.float32]:
    dense = np.zeros((len(vectors), vectors.size), np.float32)
    for position in range(len(vectors)):
        terms, weights = vectors.row(position)
        assert (np.diff(terms) > 0).all()
        assert (weights > 0).all()
        dense[position, terms] = weights
    return dense


def assert_same(folder: Path, *, backend: str = "torch") -> None:
    theirs = TheirSparseEncoder(str(folder), device="cpu")
    ours = SparseEncoder(str(folder), backend=backend, dtype="float32")
    for method in ("encode_query", "encode_document"):
        expected = getattr(theirs, method)(list(TEXTS)).to_dense().numpy()
        assert (expected > 0).mean() > 0.05
        np.testing.assert_allclose(densify(getattr(ours, method)(TEXTS)), expected, atol=1e-5)
    assert ours.size == theirs.get_embedding_dimension()
    assert ours.max_tokens == theirs.max_seq_length


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_bare_masked_language_model(masked_lm: Path, backend: str) -> None:
    assert_same(masked_lm, backend=backend)


@pytest.mark.parametrize("strategy", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_the_sparse_layout(masked_lm: Path, tmp_path: Path, strategy: str, activation: str) -> None:
    folder = tmp_path / "splade"
    TheirSparseEncoder(str(masked_lm), device="cpu").save(str(folder), create_model_card=False)
    edit_json(
        folder / "1_SpladePooling" / "config.json",
        {"pooling_strategy": strategy, "activation_function": activation},
    )
    edit_json(
        folder / "config_sentence_transformers.json", {"prompts": {"query": "the ", "document": ""}}
    )
    assert_same(folder)


def test_the_old_spelling_of_the_layout(masked_lm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "splade"
    TheirSparseEncoder(str(masked_lm), device="cpu").save(str(folder), create_model_card=False)
    types = ("MLMTransformer", "SpladePooling")
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.{package}"}
            for i, (path, package) in enumerate(
                zip(
                    ("", "1_SpladePooling"),
                    (f"sparse_encoder.models.{type_}" for type_ in types),
                    strict=True,
                )
            )
        ],
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False})
    assert_same(folder)


def test_the_heaviest_terms(masked_lm: Path) -> None:
    theirs = TheirSparseEncoder(str(masked_lm), device="cpu")
    ours = SparseEncoder(str(masked_lm), backend="torch", dtype="float32")
    expected = theirs.decode(theirs.encode_document(list(TEXTS[:3])), top_k=5)
    found_all = ours.decode(ours.encode_document(TEXTS[:3]), 5)
    for found, reference in zip(found_all, expected, strict=True):
        assert [term for term, _ in found] == [term for term, _ in reference]
        np.testing.assert_allclose([w for _, w in found], [w for _, w in reference], atol=1e-5)
    (everything,) = theirs.decode(theirs.encode_document(list(TEXTS[:1])))
    (found,) = ours.decode(ours.encode_document(TEXTS[:1]))
    assert {term for term, _ in found} == {term for term, _ in everything}


def test_prompts_and_limits_of_a_call(masked_lm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "splade"
    TheirSparseEncoder(
        str(masked_lm),
        device="cpu",
        prompts={"query": "the ", "document": "", "aside": "of a "},
        default_prompt_name="aside",
        max_active_dims=6,
    ).save(str(folder), create_model_card=False)
    theirs = TheirSparseEncoder(str(folder), device="cpu")
    ours = SparseEncoder(str(folder), backend="torch", dtype="float32")
    assert ours.max_active_dims == 6
    for asked in (
        {},
        {"prompt_name": "query"},
        {"prompt": "made of "},
        {"prompt": "", "max_active_dims": 9},
    ):
        expected = theirs.encode(list(TEXTS), **asked).to_dense().numpy()
        found = densify(ours.encode(TEXTS, **asked))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    by_argument = SparseEncoder(str(folder), backend="torch", max_active_dims=9)
    assert by_argument.fingerprint != ours.fingerprint
    assert np.diff(by_argument.encode_query(TEXTS[:1]).indptr).tolist() == [9]
    with pytest.raises(ConfigError, match="no prompt named 'other'"):
        ours.encode(["a"], prompt_name="other")
    for call in (
        lambda: ours.encode(["a"], max_active_dims=0),
        lambda: SparseEncoder(str(folder), max_active_dims=-1),
        lambda: ours.decode(ours.encode(["a"]), 0),
    ):
        with pytest.raises(ConfigError, match="must be at least 1"):
            call()


@pytest.mark.filterwarnings("ignore:Sparse :UserWarning")
@pytest.mark.parametrize("similarity", ["dot", "cosine", "euclidean", "manhattan"])
def test_similarity_intersection_and_sparsity(
    masked_lm: Path, tmp_path: Path, similarity: str
) -> None:
    folder = tmp_path / "splade"
    TheirSparseEncoder(
        str(masked_lm), device="cpu", similarity_fn_name=similarity, max_active_dims=20
    ).save(str(folder), create_model_card=False)
    theirs = TheirSparseEncoder(str(folder), device="cpu")
    ours = SparseEncoder(str(folder), backend="torch", dtype="float32")
    reference, vectors = theirs.encode(list(TEXTS)), ours.encode(TEXTS)
    some, few = theirs.encode(list(TEXTS[:5])), ours.encode(TEXTS[:5])
    others, rest = theirs.encode(list(TEXTS[5:10])), ours.encode(TEXTS[5:10])
    np.testing.assert_allclose(
        ours.compare(few, vectors), theirs.similarity(some, reference), atol=2e-3, rtol=1e-5
    )
    # Their distances cancel where vectors are equal; those of vectors that differ are exact.
    np.testing.assert_allclose(
        ours.compare_pairs(few, rest), theirs.similarity_pairwise(some, others), rtol=1e-5
    )
    one, query = theirs.encode([TEXTS[0]])[0], ours.encode(TEXTS[:1])
    np.testing.assert_allclose(
        densify(ours.intersection(query, vectors)),
        theirs.intersection(one, reference).to_dense().numpy(),
        atol=1e-5,
    )
    found, expected = ours.sparsity(vectors), theirs.sparsity(reference)
    assert found.active_dims == expected["active_dims"]
    assert found.sparsity_ratio == pytest.approx(expected["sparsity_ratio"])


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_bfloat16_keeps_the_direction(masked_lm: Path, backend: str) -> None:
    exact = densify(SparseEncoder(str(masked_lm), backend="torch", dtype="float32")
                    .encode_document(TEXTS))  # fmt: skip
    ours = densify(
        SparseEncoder(str(masked_lm), backend=backend, dtype="bfloat16").encode_document(TEXTS)
    )
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(exact, axis=1)
    assert ((ours * exact).sum(axis=1) / lengths).min() > 0.999

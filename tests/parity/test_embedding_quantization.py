"""Vectors in fewer bits equal those of Sentence Transformers, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers import quantize_embeddings as quantize_theirs

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.quantization import Precision, calibrate, quantize_embeddings
from tests.encoders.checkpoints import TEXTS, write_sentence_transformer

PRECISIONS: tuple[Precision, ...] = ("float32", "int8", "uint8", "binary", "ubinary")


@st.composite
def made_vectors(draw: st.DrawFn, least: int = 0) -> NDArray[np.floating]:
    """Vectors of any scale and of three types, some dimensions of which are constant."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(least, 130)), draw(st.sampled_from([1, 3, 8, 9, 33])))
    spread = 10.0 ** rng.uniform(-3, 3, shape[1]) * rng.integers(0, 2, shape[1])
    vectors = rng.normal(size=shape) * spread + rng.integers(-1, 2)
    return vectors.astype(draw(st.sampled_from([np.float16, np.float32, np.float64])))


def assert_equal(found: NDArray[np.generic], expected: NDArray[np.generic]) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("precision", PRECISIONS)
@given(vectors=made_vectors(), calibration=made_vectors(least=2))
@settings(max_examples=60, deadline=None)
def test_codes_by_given_ranges_and_by_a_calibration(
    precision: Precision, vectors: NDArray[np.floating], calibration: NDArray[np.floating]
) -> None:
    calibration = np.resize(calibration, (len(calibration), vectors.shape[1]))
    # Given to the binary precisions too, which have no use for them.
    ranges = calibrate(calibration.astype(np.float64))
    # Sentence Transformers overflows for what lies far beyond narrow bounds.
    with np.errstate(over="ignore"):
        for given_ in ({"ranges": ranges}, {"calibration_embeddings": calibration}):
            expected = quantize_theirs(vectors, precision, **given_)
            assert_equal(quantize_embeddings(vectors, precision, **given_), expected)
        if len(vectors):
            expected = quantize_theirs(vectors[0], precision, ranges=ranges)
            assert_equal(quantize_embeddings(vectors[0], precision, ranges=ranges), expected)


@pytest.mark.parametrize("precision", PRECISIONS)
@given(vectors=made_vectors(least=100))
@settings(max_examples=30, deadline=None)
def test_codes_by_the_vectors_own_ranges(
    precision: Precision, vectors: NDArray[np.floating]
) -> None:
    expected = quantize_theirs(vectors, precision)
    assert_equal(quantize_embeddings(vectors, precision), expected)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_texts_become_the_same_codes(bert: Path, tmp_path: Path, precision: Precision) -> None:
    folder = write_sentence_transformer(tmp_path / "st", bert, dense=True)
    texts = [f"{text} {number}" for number in range(12) for text in TEXTS]
    ours = BiEncoder(str(folder), backend="torch", dtype="float32")
    theirs = SentenceTransformer(str(folder), device="cpu")
    found = ours.encode_quantized(texts, precision=precision)
    expected = theirs.encode(texts, precision=precision)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if precision.endswith("binary"):
        found, expected = (np.unpackbits(each.view(np.uint8)) for each in (found, expected))
        # A number within the rounding of zero may get the other sign.
        assert np.count_nonzero(found != expected) <= 1
    else:
        # One within the rounding of a step's edge may get the neighbouring code.
        tolerance = 1e-5 if precision == "float32" else 1
        np.testing.assert_allclose(
            found.astype(np.float32), expected.astype(np.float32), atol=tolerance
        )
        assert np.mean(np.abs(found - expected.astype(np.float32)) > 1e-5) < 0.01

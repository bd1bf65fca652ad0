"""8-bit codes equal FAISS's, and stand for what was coded; codes for others, and their memory.

That codes for others equal Sentence Transformers' is in tests/parity/test_embedding_quantization.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search_engine import quantization
from search_engine.quantization import (
    calibrate,
    dequantize_int8,
    quantize_embeddings,
    quantize_int8,
    ranges_of_steps,
    same_steps,
)


@st.composite
def made_vectors(draw: st.DrawFn) -> NDArray[np.float32]:
    """Vectors of any scale, some dimensions of which are constant."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 60)), draw(st.sampled_from([1, 3, 8, 16, 33])))
    spread = 10.0 ** rng.uniform(-6, 6, shape[1]) * rng.integers(0, 2, shape[1])
    vectors = rng.normal(size=shape) * spread + rng.normal() * 10.0 ** rng.uniform(-6, 6)
    return vectors.astype(np.float32)


def _faiss_quantizer(ranges: NDArray[np.float32]) -> faiss.IndexScalarQuantizer:
    quantizer = faiss.IndexScalarQuantizer(ranges.shape[1], faiss.ScalarQuantizer.QT_8bit)
    quantizer.train(ranges)
    return quantizer


@given(made_vectors(), st.floats(0, 3))
@settings(max_examples=200)
def test_codes_are_those_of_faiss(vectors: NDArray[np.float32], reach: float) -> None:
    ranges = calibrate(vectors)
    beyond = (vectors + np.float32(reach) * (vectors - vectors.mean(axis=0))).astype(np.float32)
    for each in (vectors, beyond):
        assert np.array_equal(quantize_int8(each, ranges), _faiss_quantizer(ranges).sa_encode(each))


@given(made_vectors())
@settings(max_examples=200)
def test_decoded_values_are_those_of_faiss(vectors: NDArray[np.float32]) -> None:
    ranges = calibrate(vectors)
    codes = quantize_int8(vectors, ranges)
    decoded, theirs = dequantize_int8(codes, ranges), _faiss_quantizer(ranges).sa_decode(codes)
    if vectors.shape[1] % 8:
        assert np.array_equal(decoded, theirs)
    else:
        # FAISS fuses the last product and sum: one rounding of the product less.
        rounding = np.spacing(np.abs(ranges[1] - ranges[0])) + np.spacing(np.abs(decoded))
        assert (np.abs(decoded - theirs) <= rounding).all()


@given(made_vectors())
@settings(max_examples=200)
def test_vectors_come_back_within_half_a_step(vectors: NDArray[np.float32]) -> None:
    ranges = calibrate(vectors)
    decoded = dequantize_int8(quantize_int8(vectors, ranges), ranges).astype(np.float64)
    low, high = ranges.astype(np.float64)
    rounding = 4 * np.spacing(np.abs(ranges).max(axis=0))
    assert (np.abs(decoded - vectors) <= (high - low) / 255 * 0.5 + rounding).all()


def test_a_code_is_the_number_of_the_step() -> None:
    ranges = np.array([[0, -1, 5], [255, 1, 5]], np.float32)
    vectors = np.array([[0, -1, 5], [2.9, 0, 5], [255, 1, 5], [-7, 9, 4], [300, -9, 6]], np.float32)
    codes = quantize_int8(vectors, ranges)
    assert codes.tolist() == [[0, 0, 0], [2, 127, 0], [255, 255, 0], [0, 255, 0], [255, 0, 0]]
    decoded = dequantize_int8(codes[:2], ranges)
    assert decoded[:, 0].tolist() == [0.5, 2.5]
    assert decoded[:, 1].tolist() == pytest.approx([-1 + 1 / 255, 0], abs=1e-6)
    assert decoded[:, 2].tolist() == [5, 5]


def test_calibration_takes_the_bounds_of_each_dimension() -> None:
    vectors = np.array([[1, -2], [3, -5], [2, 4]], np.float32)
    assert calibrate(vectors).tolist() == [[1, -5], [3, 4]]


def test_calibration_needs_a_vector() -> None:
    with pytest.raises(ValueError, match="at least one vector"):
        calibrate(np.empty((0, 4), np.float32))


def test_no_vectors_have_no_codes() -> None:
    ranges = np.array([[0, 0], [1, 1]], np.float32)
    codes = quantize_int8(np.empty((0, 2), np.float32), ranges)
    assert codes.shape == (0, 2)
    assert dequantize_int8(codes, ranges).shape == (0, 2)


@given(st.integers(0, 2**32))
@settings(max_examples=100)
def test_ranges_come_back_from_minimum_and_difference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-5, 5, (2, 2_000))
    ranges = calibrate((rng.normal(size=(2, 2_000)) * scales).astype(np.float32))
    # Differences just above a power of two: there the rounded sum is most often a neighbour.
    powers = np.float32(2) ** rng.integers(-4, 5, 1_000).astype(np.float32)
    ranges[1, :1_000] = np.nextafter(ranges[0, :1_000] + powers, np.float32(np.inf))
    width = ranges[1] - ranges[0]
    again = ranges_of_steps(ranges[0], width)
    assert np.array_equal(again[1] - again[0], width)
    assert same_steps(again, ranges)


def test_other_steps_are_not_the_same() -> None:
    ranges = np.array([[0, 0], [1, 2]], np.float32)
    assert same_steps(None, None)
    assert not same_steps(ranges, None)
    assert not same_steps(None, ranges)
    assert not same_steps(ranges, ranges + np.float32(1))
    assert not same_steps(ranges, ranges * np.float32(2))


def test_codes_for_others_by_hand() -> None:
    ranges = np.array([[0, -1], [255, 1]], np.float32)
    vectors = np.array([[2.9, 0], [-7, 1], [300, -9]], np.float32)
    # In float32, 2 / (2 / 255) is a little less than 255; the other convention's code is 255.
    steps = [[2, 127], [0, 254], [255, 0]]
    assert quantize_embeddings(vectors, "uint8", ranges=ranges).tolist() == steps
    signed = quantize_embeddings(vectors, "int8", ranges=ranges)
    assert signed.dtype == np.int8
    assert signed.tolist() == [[-126, -1], [-128, 126], [127, -128]]
    bits = np.array([[1, -1, 0, 1, 1, -2, 1, 1, 5]], np.float32)
    # Zero is no 1; the ninth bit begins another byte.
    assert quantize_embeddings(bits, "ubinary").tolist() == [[0b10011011, 0b10000000]]
    assert quantize_embeddings(bits, "binary").tolist() == [[0b10011011 - 128, 0]]
    halves = quantize_embeddings(np.array([[1 / 3, 2049]], np.float32), "float16")
    assert halves.dtype == np.float16
    assert halves.tolist() == [[0.333251953125, 2048]]


@pytest.mark.parametrize("precision", quantization._CODE_TYPES)
def test_a_memory_map_is_coded_in_blocks(
    precision: quantization.Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    count, dimension = 20_011, 64
    vectors = np.memmap(tmp_path / "vectors", np.float64, "w+", shape=(count, dimension))
    vectors[:] = rng.normal(size=vectors.shape)
    whole = quantize_embeddings(np.array(vectors), precision)
    monkeypatch.setattr(quantization, "_BLOCK_NUMBERS", 1_000 * dimension)
    tracemalloc.start()
    try:
        found = quantize_embeddings(vectors, precision)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found, whole)
    # A block of 1,000 rows is 0.5 MB, a copy of the whole 10 MB.
    assert most < found.nbytes + 3_000_000


@pytest.mark.parametrize(
    ("vectors", "precision", "ranges", "message"),
    [
        (np.ones((99, 4)), "int8", None, "taken from 99 embeddings"),
        (np.ones(4), "uint8", None, "taken from 1 embeddings"),
        (np.ones((200, 4)), "int4", None, "'int4' is not one of float32, float16, int8"),
        (np.ones((200, 4)), "int8", np.ones((2, 5)), r"are \[2, 4\], .* not \[2, 5\]"),
        (np.ones((200, 4), np.int8), "binary", None, "floating point, not int8"),
    ],
)
def test_what_cannot_be_coded(
    vectors: NDArray[np.float32],
    precision: quantization.Precision,
    ranges: NDArray[np.float32] | None,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        quantize_embeddings(vectors, precision, ranges=ranges)

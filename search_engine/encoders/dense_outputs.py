"""What a backend computes batch by batch, made vectors of texts and vectors of their tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.inference import Inference
from search_engine.quantization import (
    Codes,
    Precision,
    allocate_codes,
    has_ranges,
    quantize_embeddings,
)

# Positions in the caller's texts, intp [b], and the vectors of those, float32 [b, dimension].
Vectors: TypeAlias = Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]

# As torch.nn.functional.normalize has it: a vector of zeros stays one.
_SHORTEST = np.float32(1e-12)


def stream_vectors(
    inference: Inference,
    texts: Sequence[str],
    *,
    prompt: str,
    dimension: int,
    normalize: bool,
    on_batch: Callable[[int], None] | None,
    on_unknown: Callable[[int], None] | None,
) -> Vectors:
    """Vectors of texts as they are finished, in any order.

    Args:
        prompt: put before each text.
        dimension: how many of a vector's first numbers are kept.
        normalize: scale what is kept to length 1.
        on_batch, on_unknown: as in `BiEncoder.encode`.

    Yields:
        positions in `texts`, intp [b], and their vectors, float32 [b, dimension].
    """
    for batch, outputs in inference.run(texts, prompt=prompt, on_unknown=on_unknown):
        vectors = outputs[:, :dimension]
        if normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(lengths, _SHORTEST)
        yield batch.positions, vectors
        if on_batch is not None:
            on_batch(len(batch.positions))


def collect_vectors(batches: Vectors, count: int, *, dimension: int) -> NDArray[np.float32]:
    """The vectors of `count` texts in their order, float32 [count, dimension]."""
    vectors = np.empty((count, dimension), np.float32)
    for positions, found in batches:
        vectors[positions] = found
    return vectors


def collect_codes(
    batches: Vectors,
    count: int,
    *,
    dimension: int,
    precision: Precision,
    ranges: NDArray[np.float32] | None,
) -> Codes:
    """The codes of the vectors of `count` texts in their order.

    Without ranges, the bounds of 8-bit codes are known only when all vectors are. All other codes
    are made batch by batch.
    """
    if has_ranges(precision) and ranges is None:
        vectors = collect_vectors(batches, count, dimension=dimension)
        return quantize_embeddings(vectors, precision)
    codes = allocate_codes(count, dimension, precision=precision)
    for positions, found in batches:
        codes[positions] = quantize_embeddings(found, precision, ranges=ranges)
    return codes


def collect_tokens(
    inference: Inference,
    texts: Sequence[str],
    *,
    prompt: str,
    on_batch: Callable[[int], None] | None,
) -> list[NDArray[np.float32]]:
    """The vectors of each text's tokens, float32 [tokens, width], in the order of the texts.

    Args:
        inference: one whose outputs are of tokens.
        prompt: put before each text; its tokens are among them.
        on_batch: as in `BiEncoder.encode`.
    """
    tokens: list[NDArray[np.float32]] = [np.empty((0, 0), np.float32)] * len(texts)
    for batch, outputs in inference.run(texts, prompt=prompt):
        lengths = batch.inputs["attention_mask"].sum(axis=1)
        for position, length, output in zip(batch.positions, lengths, outputs, strict=True):
            # Copied, so that the batch with its padding is let go of.
            tokens[position] = output[:length].copy()
        if on_batch is not None:
            on_batch(len(batch.positions))
    return tokens

"""Dense and sparse vectors of texts, compared in one way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_engine.embeddings.semantic_search import Neighbours, semantic_search
from search_engine.embeddings.similarity import SimilarityName, pairwise_similarity
from search_engine.embeddings.top_k import COLUMNS, TopK, rows_at_once
from search_engine.encoders.checkpoints.module_specs import Input
from search_engine.encoders.sparse_vectors import compare_all, compare_pairs, stack_rows
from search_engine.errors import ConfigError
from search_engine.types import SparseVectors

Vectors: TypeAlias = NDArray[np.float32] | SparseVectors


def scores_pairs(encoder: Any) -> bool:
    """Whether the encoder gives pairs of texts a score, and no text a vector."""
    return not hasattr(encoder, "encode")


def encode_texts(
    encoder: Any, texts: Sequence[str], kind: Input = None, *, truncate_dim: int | None = None
) -> Vectors:
    """One vector per text, in the order of the texts.

    Args:
        encoder: a BiEncoder or a SparseEncoder.
        kind: "query" or "document"; None is a text that is neither.
        truncate_dim: how many of a vector's first numbers are kept; None is as the encoder has it.

    Raises:
        ConfigError: the encoder scores pairs; or it is a sparse one and is to be truncated.
    """
    if scores_pairs(encoder):
        raise ConfigError(
            f"{_name(encoder)} scores pairs of texts and makes no vectors, which are needed here; "
            "give a BiEncoder or a SparseEncoder"
        )
    encode = {
        None: encoder.encode,
        "query": getattr(encoder, "encode_query", None),
        "document": getattr(encoder, "encode_document", None),
    }[kind]
    options = {} if truncate_dim is None else {"truncate_dim": truncate_dim}
    if options and hasattr(encoder, "max_active_dims"):
        raise ConfigError(
            f"{_name(encoder)} is a sparse encoder, whose vectors cannot be cut at truncate_dim "
            f"{truncate_dim}; open it with max_active_dims instead"
        )
    vectors: Vectors = encode(texts, **options)
    return vectors


def take_rows(vectors: Vectors, rows: NDArray[np.int64]) -> Vectors:
    """Some of the vectors, in any order and as often as asked."""
    if isinstance(vectors, SparseVectors):
        return stack_rows([vectors.row(int(row)) for row in rows], vectors.size)
    return vectors[rows]


def compare_rows(a: Vectors, b: Vectors, similarity: SimilarityName) -> NDArray[np.float32]:
    """The similarity of each vector with the one at its place, float32 [n]; higher is more alike.

    Raises:
        ConfigError: their dimensions or numbers differ.
    """
    if isinstance(a, SparseVectors) and isinstance(b, SparseVectors):
        if len(a) != len(b):
            raise ConfigError(f"{len(a)} vectors cannot be paired with {len(b)}")
        return compare_pairs(a, b, similarity=similarity)
    return pairwise_similarity(_dense(a), _dense(b), name=similarity)


def find_nearest(
    queries: Vectors, corpus: Iterable[Vectors], *, top_k: int, similarity: SimilarityName
) -> Neighbours:
    """The vectors of a corpus that are most similar to each query, by exact search.

    The corpus is read once; memory holds the queries, one block and what is found.

    Args:
        corpus: blocks of vectors, one after the other.
        top_k: how many are found for each query; fewer where the corpus has fewer.
    """
    if not isinstance(queries, SparseVectors):
        return semantic_search(
            queries, (_dense(block) for block in corpus), top_k=top_k, similarity=similarity
        )
    step = rows_at_once(top_k)
    starts = range(0, len(queries), step)
    found = [TopK(min(step, len(queries) - start), top_k) for start in starts]
    total = 0
    for block in _sparse_blocks(corpus):
        for start, best in zip(starts, found, strict=True):
            rows = _slice(queries, start, start + step)
            best.add(compare_all(rows, block, similarity=similarity), total)
        total += len(block)
    kept = min(top_k, total)
    positions = [np.empty((0, kept), np.int64), *(best.positions[:, :kept] for best in found)]
    scores = [np.empty((0, kept), np.float32), *(best.scores[:, :kept] for best in found)]
    return Neighbours(np.concatenate(positions), np.concatenate(scores))


def to_dense(vectors: Vectors) -> NDArray[np.float32]:
    """The vectors as float32 [n, dimension], sparse ones with all their zeros."""
    if not isinstance(vectors, SparseVectors):
        return vectors
    dense = np.zeros((len(vectors), vectors.size), np.float32)
    dense[np.repeat(np.arange(len(vectors)), np.diff(vectors.indptr)), vectors.indices] = (
        vectors.weights
    )
    return dense


def _sparse_blocks(corpus: Iterable[Vectors]) -> Iterator[SparseVectors]:
    for block in corpus:
        if not isinstance(block, SparseVectors):
            raise ConfigError("sparse queries cannot be compared with dense documents")
        for start in range(0, len(block), COLUMNS):
            yield _slice(block, start, start + COLUMNS)


def _dense(vectors: Vectors) -> NDArray[np.float32]:
    if isinstance(vectors, SparseVectors):
        raise ConfigError("dense vectors cannot be compared with sparse ones")
    return vectors


def _slice(vectors: SparseVectors, start: int, stop: int) -> SparseVectors:
    ends = vectors.indptr[start : stop + 1]
    entries = slice(int(ends[0]), int(ends[-1]))
    return SparseVectors(
        indptr=ends - ends[0],
        indices=vectors.indices[entries],
        weights=vectors.weights[entries],
        size=vectors.size,
    )


def _name(encoder: Any) -> str:
    return str(getattr(encoder, "name", type(encoder).__name__))

"""How alike, or how relevant, an encoder of any kind finds the two texts of each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.embeddings.similarity import SimilarityName
from search_engine.encoders.checkpoints.module_specs import Input
from search_engine.errors import ConfigError, DatasetError
from search_engine.evaluation.evaluators.vectors import (
    Vectors,
    compare_rows,
    encode_texts,
    scores_pairs,
    take_rows,
)


def name_metrics(metrics: Sequence[str], similarities: Sequence[SimilarityName]) -> tuple[str, ...]:
    """What metrics are called: "f1", or "f1_cosine" and so on where similarities are named."""
    endings = [f"_{similarity}" for similarity in similarities] or [""]
    return tuple(f"{metric}{ending}" for ending in endings for metric in metrics)


def check_columns(name: str, columns: Mapping[str, Sequence[object]]) -> None:
    """Make sure that columns have as many values one as the other, and some.

    Raises:
        DatasetError: they do not.
    """
    lengths = {column: len(values) for column, values in columns.items()}
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        told = ", ".join(f"{length} {column}" for column, length in lengths.items())
        raise DatasetError(f"{name}: there are {told}; give as many of each, and at least one")


def score_pairs(
    encoder: Any,
    first: Sequence[str],
    second: Sequence[str],
    *,
    kinds: tuple[Input, Input] = (None, None),
    similarities: Sequence[SimilarityName] = (),
    truncate_dim: int | None = None,
) -> dict[str, NDArray[np.float32]]:
    """The score of each pair, higher is more alike, by the endings that `name_metrics` gives.

    Each different text is encoded once.

    Args:
        encoder: a cross-encoder scores the pairs as they are.
        kinds: of the first and the second texts.
        similarities: of vectors; none is the one of the encoder.
        truncate_dim: as for `encode_texts`.

    Raises:
        ConfigError: similarities or truncate_dim are given to a cross-encoder, or as for
            `encode_texts`.
    """
    if scores_pairs(encoder):
        if similarities or truncate_dim is not None:
            raise ConfigError(
                "a cross-encoder has neither similarities nor dimensions to choose; leave "
                "similarities and truncate_dim out"
            )
        return {"": encoder.predict(list(zip(first, second, strict=True)))}
    a, b = _encode_columns(encoder, first, second, kinds, truncate_dim)
    if not similarities:
        return {"": compare_rows(a, b, encoder.similarity)}
    return {f"_{name}": compare_rows(a, b, name) for name in similarities}


def _encode_columns(
    encoder: Any,
    first: Sequence[str],
    second: Sequence[str],
    kinds: tuple[Input, Input],
    truncate_dim: int | None,
) -> tuple[Vectors, Vectors]:
    if kinds[0] != kinds[1]:
        a = _encode_distinct(encoder, first, kinds[0], truncate_dim)
        return a, _encode_distinct(encoder, second, kinds[1], truncate_dim)
    both = _encode_distinct(encoder, [*first, *second], kinds[0], truncate_dim)
    half = np.arange(len(first))
    return take_rows(both, half), take_rows(both, half + len(first))


def _encode_distinct(
    encoder: Any, texts: Sequence[str], kind: Input, truncate_dim: int | None
) -> Vectors:
    places: dict[str, int] = {}
    rows = np.array([places.setdefault(text, len(places)) for text in texts], np.int64)
    return take_rows(encode_texts(encoder, list(places), kind, truncate_dim=truncate_dim), rows)

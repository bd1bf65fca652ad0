"""What a student learns from: scores of pairs, similarities, vectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from search_engine.embeddings.similarity import pairwise_similarity
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder

# More than any vector has, so that none is cut: a student is trained on whole ones.
_WHOLE = 2**31


class Teacher(Protocol):
    """What gives each row of texts its label.

    Attributes:
        fingerprint: other where the labels would be other.
    """

    fingerprint: str

    def label(self, rows: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """The labels, float32 [rows, width], of rows that all have as many texts."""


class CrossEncoderScores:
    """The scores that a cross-encoder gives a query with each of its documents.

    Args:
        encoder: opened; what its checkpoint says of prompts and activation holds.

    Raises:
        CheckpointError: it gives several labels.
    """

    def __init__(self, encoder: CrossEncoder) -> None:
        encoder.check_single_label()
        self._encoder = encoder
        self.fingerprint = f"scores {encoder.fingerprint} {encoder.dtype}"

    def label(self, rows: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """The scores of rows (query, document...), float32 [rows, documents]."""
        pairs = [(query, text) for query, *texts in rows for text in texts]
        return self._encoder.predict(pairs).reshape(len(rows), -1)


class Similarities:
    """How similar a bi-encoder finds a query and each of its documents.

    Args:
        encoder: opened; what its checkpoint says of prompts and similarity holds.
    """

    def __init__(self, encoder: BiEncoder) -> None:
        self._encoder = encoder
        self.fingerprint = f"similarities {encoder.fingerprint} {encoder.dtype}"

    def label(self, rows: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """The similarities of rows (query, document...), float32 [rows, documents]."""
        # The same text is often that of many rows.
        queries = _number(row[0] for row in rows)
        texts = _number(text for row in rows for text in row[1:])
        query_vectors = self._encoder.encode_query(list(queries))
        text_vectors = self._encoder.encode_document(list(texts))
        similar = [
            pairwise_similarity(
                query_vectors[[queries[row[0]] for row in rows]],
                text_vectors[[texts[row[position]] for row in rows]],
                name=self._encoder.similarity,
            )
            for position in range(1, len(rows[0]))
        ]
        return np.stack(similar, axis=1)


class Vectors:
    """The vector that a bi-encoder makes of the first text of a row (Reimers & Gurevych 2020).

    Args:
        encoder: opened; its vectors are taken whole, also where its checkpoint truncates them.
    """

    def __init__(self, encoder: BiEncoder) -> None:
        self._encoder = encoder
        self.fingerprint = f"vectors {encoder.fingerprint} {encoder.dtype}"

    def label(self, rows: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """The vectors, float32 [rows, dimension]."""
        texts = _number(row[0] for row in rows)
        vectors = self._encoder.encode(list(texts), truncate_dim=_WHOLE)
        return vectors[[texts[row[0]] for row in rows]]


def whole_width(encoder: BiEncoder) -> int:
    """How wide the vectors of an encoder are before any truncation."""
    return len(encoder.encode([""], truncate_dim=_WHOLE)[0])


def _number(texts: Iterable[str]) -> dict[str, int]:
    """Each text once, with its position among them."""
    return {text: position for position, text in enumerate(dict.fromkeys(texts))}

"""Documents with vectors and terms that the test chooses, and BM25 by its formula."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from search_engine.index.segments.encoded import EncodedDocument
from search_engine.index.store.content_hash import content_hash_of
from search_engine.types import Chunk, Document

DIMENSION = 8


def hash_of(text: str) -> str:
    """The content hash of a document of which nothing but its text is known."""
    return content_hash_of(Document("", text))


def encode(doc_id: str, text: str, vector: Sequence[float] | None = None) -> EncodedDocument:
    """A one-chunk document whose terms are its words."""
    if vector is None:
        vector = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(DIMENSION)
    return EncodedDocument(
        Document(doc_id, text),
        content_hash=hash_of(text),
        chunks=[Chunk(text, 0, len(text))],
        vectors=np.asarray([vector], np.float32),
        terms=[Counter(text.split())],
        impacts=None,
    )


def bm25_oracle(
    texts: Mapping[str, str], query: Sequence[str], *, k1: float, b: float
) -> dict[str, float]:
    """BM25 by its formula, in float64, over texts by id."""
    documents = {doc_id: text.split() for doc_id, text in texts.items()}
    average = sum(map(len, documents.values())) / len(documents)
    scores = {}
    for doc_id, words in documents.items():
        total = 0.0
        for term in query:
            df = sum(term in other for other in documents.values())
            idf = np.log(1 + (len(documents) - df + 0.5) / (df + 0.5))
            tf = words.count(term)
            total += idf * tf / (tf + k1 * (1 - b + b * len(words) / average))
        if total > 0:
            scores[doc_id] = float(total)
    return scores

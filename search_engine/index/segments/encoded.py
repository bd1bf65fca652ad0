"""Encoded documents, and the segment that they make."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlite_utils
from numpy.typing import NDArray

from search_engine.errors import IndexStoreError
from search_engine.index.dense.metric import metric_of
from search_engine.index.dense.vector_storage import StoredVectors, encode_vectors
from search_engine.index.generations.generation import Generation
from search_engine.index.segments.columns import build_columns
from search_engine.index.segments.new_segment import SegmentContents
from search_engine.index.segments.postings import Postings, build_postings
from search_engine.types import Chunk, Document, SparseVectors


@dataclass(frozen=True, slots=True)
class EncodedDocument:
    """A document with all that is stored of it.

    Attributes:
        content_hash: of everything that came from outside; the same hash means nothing changed.
        vectors: float32 [chunks, dim], as the metric compares them (see `prepare_vectors`), or
            None without a dense leg.
        terms: how often each chunk has each term, or None without BM25.
        impacts: a row for each chunk, or None without SPLADE.
        text_hashes: of what the encoders saw of each chunk, by which another chunk of the same
            text can take its vector; empty where that is not known.
        signature: by which near-duplicates are found, or None.
    """

    document: Document
    content_hash: str
    chunks: Sequence[Chunk]
    vectors: NDArray[np.float32] | None
    terms: Sequence[Counter[str]] | None
    impacts: SparseVectors | None
    text_hashes: Sequence[bytes] = ()
    signature: bytes | None = None


def check_encoded(encoded: EncodedDocument, dimension: int | None) -> None:
    """Refuse what does not fit its chunks: it would shift every answer after it.

    Raises:
        IndexStoreError: with the document's id.
    """
    chunks = len(encoded.chunks)
    given = {
        "dense vectors": encoded.vectors,
        "term counts": encoded.terms,
        "sparse vectors": encoded.impacts,
        "text hashes": encoded.text_hashes or None,
    }
    place = f"document {encoded.document.doc_id!r} cannot be added"
    for what, rows in given.items():
        if rows is not None and len(rows) != chunks:
            raise IndexStoreError(f"{place}: it has {chunks} chunks and {len(rows)} {what}")
    if encoded.vectors is None:
        return
    if encoded.vectors.shape[1] != dimension:
        raise IndexStoreError(
            f"{place}: its vectors have {encoded.vectors.shape[1]} dimensions, and those of "
            f"the index {dimension}"
        )
    if not np.isfinite(encoded.vectors).all():
        raise IndexStoreError(f"{place}: its vectors hold values that are not numbers")


def segment_contents(
    db: sqlite_utils.Database,
    generation: Generation,
    added: Sequence[EncodedDocument],
    *,
    first_chunk_id: int,
) -> SegmentContents:
    """The segment of encoded documents, whose chunks are numbered from `first_chunk_id` on.

    Terms that the index does not know yet are added to its table.
    """
    config = generation.config
    metadata = [each.document.metadata for each in added for _ in each.chunks]
    chunk_ids = np.arange(first_chunk_id, first_chunk_id + len(metadata), dtype=np.int64)
    vectors = None
    postings: dict[str, Postings] = {}
    lengths = None
    if config.dense is not None:
        vectors = _stored(generation, [each.vectors for each in added if each.vectors is not None])
    if config.bm25 is not None:
        counts = [terms for each in added for terms in each.terms or ()]
        postings["bm25"] = _count_postings(counts, _term_ids(db, counts))
        lengths = np.array([terms.total() for terms in counts], np.int32)
    if config.splade is not None:
        rows = [each.impacts for each in added if each.impacts is not None]
        sizes = np.concatenate([np.diff(each.indptr) for each in rows])
        postings["splade"] = build_postings(
            np.concatenate([each.indices for each in rows]).astype(np.int64),
            np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
            np.concatenate([each.weights for each in rows]),
        )
    return SegmentContents(chunk_ids, vectors, postings, lengths, build_columns(metadata))


def _stored(generation: Generation, vectors: Sequence[NDArray[np.float32]]) -> StoredVectors:
    return encode_vectors(
        np.concatenate(vectors),
        precision=generation.stored_precision,
        metric=metric_of(str(generation.similarity)),
        ranges=generation.ranges,
    )


def _count_postings(counts: Sequence[Counter[str]], ids: Mapping[str, int]) -> Postings:
    entries = np.array([ids[term] for terms in counts for term in terms], np.int64)
    frequencies = np.array([tf for terms in counts for tf in terms.values()], np.int64)
    ordinals = np.repeat(np.arange(len(counts), dtype=np.int32), [len(terms) for terms in counts])
    return build_postings(entries, ordinals, frequencies)


def _term_ids(db: sqlite_utils.Database, counts: Sequence[Counter[str]]) -> dict[str, int]:
    """Ids of terms, new ones added. The table only grows, so no reader minds an early row."""
    wanted = json.dumps(sorted({term for terms in counts for term in terms}))
    with db.atomic():
        db.execute("INSERT OR IGNORE INTO terms (term) SELECT value FROM json_each(?)", [wanted])
    rows = db.execute(
        "SELECT term, term_id FROM terms WHERE term IN (SELECT value FROM json_each(?))", [wanted]
    )
    return dict(rows)

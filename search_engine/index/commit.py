"""The one transaction that is a commit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import sqlite_utils
from numpy.typing import NDArray

from search_engine.index.database import write_transaction
from search_engine.index.generation import Generation
from search_engine.index.schema import read_config, write_config
from search_engine.types import Chunk, Document, SparseVectors


@dataclass(frozen=True, slots=True)
class EncodedDocument:
    """A document with all that is stored of it.

    Attributes:
        content_hash: of everything that came from outside; the same hash means nothing changed.
        vectors: float32 [chunks, dim], or None without a dense leg.
        terms: how often each chunk has each term, or None without BM25.
        impacts: a row for each chunk, or None without SPLADE.
    """

    document: Document
    content_hash: str
    chunks: Sequence[Chunk]
    vectors: NDArray[np.float32] | None
    terms: Sequence[Counter[str]] | None
    impacts: SparseVectors | None


class Numbers(NamedTuple):
    """The number of the coming commit, and the ids of its first chunk and document."""

    commit: int
    chunk_id: int
    document_id: int


def next_numbers(db: sqlite_utils.Database) -> Numbers:
    """Numbers for the coming commit; the caller holds the write lock until it is made."""
    last = db.execute("SELECT max(document_id) FROM documents").fetchone()[0]
    return Numbers(
        commit=int(read_config(db, "commit")) + 1,
        chunk_id=int(read_config(db, "next_chunk_id")),
        document_id=(last or 0) + 1,
    )


def commit_rows(
    db: sqlite_utils.Database,
    numbers: Numbers,
    generation: Generation,
    *,
    added: Sequence[EncodedDocument],
    deleted: Iterable[str],
    segment: tuple[str, str] | None,
) -> None:
    """Insert the documents, their chunks and the segment (id, sha256); end what they replace."""
    chunk_count = sum(len(each.chunks) for each in added)
    gone = json.dumps([*deleted, *(each.document.doc_id for each in added)])
    with write_transaction(db):
        write_config(db, "commit", str(numbers.commit))
        write_config(db, "next_chunk_id", str(numbers.chunk_id + chunk_count))
        db.execute(
            "UPDATE chunks SET died = ? WHERE died IS NULL AND document_id IN (SELECT document_id "
            "FROM documents WHERE died IS NULL AND doc_id IN (SELECT value FROM json_each(?)))",
            [numbers.commit, gone],
        )
        db.execute(
            "UPDATE documents SET died = ? "
            "WHERE died IS NULL AND doc_id IN (SELECT value FROM json_each(?))",
            [numbers.commit, gone],
        )
        db.conn.executemany(
            "INSERT INTO documents (document_id, doc_id, content_hash, title, text, source, "
            "markup, first_line, single_line, pages, metadata, born) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _document_rows(added, numbers),
        )
        db.conn.executemany(
            'INSERT INTO chunks (chunk_id, document_id, generation_id, start, "end", headings, '
            "line, born) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            _chunk_rows(added, numbers, generation),
        )
        if segment is not None:
            db.execute(
                "INSERT INTO segments (segment_id, generation_id, chunk_count, sha256, born) "
                "VALUES (?, ?, ?, ?, ?)",
                [segment[0], generation.generation_id, chunk_count, segment[1], numbers.commit],
            )


def _document_rows(added: Sequence[EncodedDocument], numbers: Numbers) -> Iterator[tuple[Any, ...]]:
    for document_id, each in enumerate(added, start=numbers.document_id):
        document = each.document
        yield (
            document_id,
            document.doc_id,
            each.content_hash,
            document.title,
            document.text,
            document.source,
            document.markup,
            document.first_line,
            int(document.single_line),
            json.dumps(document.pages),
            json.dumps(dict(document.metadata)),
            numbers.commit,
        )


def _chunk_rows(
    added: Sequence[EncodedDocument], numbers: Numbers, generation: Generation
) -> Iterator[tuple[Any, ...]]:
    chunk_id = numbers.chunk_id
    for document_id, each in enumerate(added, start=numbers.document_id):
        lines = _lines(each.document, each.chunks)
        for chunk, line in zip(each.chunks, lines, strict=True):
            yield (
                chunk_id,
                document_id,
                generation.generation_id,
                chunk.start,
                chunk.end,
                json.dumps(chunk.headings),
                line,
                numbers.commit,
            )
            chunk_id += 1


def _lines(document: Document, chunks: Sequence[Chunk]) -> Iterator[int | None]:
    """The line of the source at which each chunk begins."""
    line, counted = document.first_line, 0
    for chunk in chunks:
        if line is not None and not document.single_line:
            line += document.text.count("\n", counted, chunk.start)
            counted = chunk.start
        yield line

"""What SQL keeps of documents and chunks: their texts and where they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlite_utils

from search_engine.types import Document, Metadata


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk with what is stored of its document.

    Attributes:
        pages: offset in the document's text at which each page starts; empty without pages.
        line: 1-based line of the source at which the chunk begins, where lines mean something.
        single_line: the whole document stands on one line of its source.
    """

    chunk_id: int
    doc_id: str
    title: str
    source: str | None
    text: str
    start: int
    end: int
    headings: tuple[str, ...]
    pages: tuple[int, ...]
    line: int | None
    single_line: bool
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A line of the list of documents.

    Attributes:
        chunk_count: chunks in the live generation.
    """

    doc_id: str
    title: str
    source: str | None
    characters: int
    chunk_count: int


def stored_chunks(db: sqlite_utils.Database, chunk_ids: Sequence[int]) -> dict[int, StoredChunk]:
    """The stored chunks by id; those that are gone are left out."""
    rows = db.execute(
        'SELECT c.chunk_id, d.doc_id, d.title, d.source, substr(d.text, c.start + 1, c."end" '
        '- c.start), c.start, c."end", c.headings, d.pages, c.line, d.single_line, d.metadata '
        "FROM chunks c JOIN documents d USING (document_id) "
        "WHERE c.chunk_id IN (SELECT value FROM json_each(?))",
        [json.dumps([int(chunk_id) for chunk_id in chunk_ids])],
    )
    return {row[0]: _stored_chunk(row) for row in rows.fetchall()}


def doc_ids_by_chunk(db: sqlite_utils.Database, chunk_ids: Sequence[int]) -> dict[int, str]:
    """The document of each chunk, by the chunk's id."""
    rows = db.execute(
        "SELECT c.chunk_id, d.doc_id FROM chunks c JOIN documents d USING (document_id) "
        "WHERE c.chunk_id IN (SELECT value FROM json_each(?))",
        [json.dumps(list(chunk_ids))],
    )
    return dict(rows.fetchall())


def stored_documents(
    db: sqlite_utils.Database, generation_id: int, commit: int
) -> Iterator[StoredDocument]:
    """Every document that is alive at a commit, by id; all are read before the first is given."""
    rows = db.execute(
        "SELECT d.doc_id, d.title, d.source, length(d.text), count(c.chunk_id) FROM documents d "
        "LEFT JOIN chunks c ON c.document_id = d.document_id AND c.generation_id = :generation "
        "AND c.born <= :commit AND (c.died IS NULL OR c.died > :commit) "
        "WHERE d.born <= :commit AND (d.died IS NULL OR d.died > :commit) "
        "GROUP BY d.document_id ORDER BY d.doc_id",
        {"generation": generation_id, "commit": commit},
    )
    return (StoredDocument(*row) for row in rows.fetchall())


def document_count(db: sqlite_utils.Database, commit: int) -> int:
    """How many documents are alive at a commit."""
    row = db.execute(
        "SELECT count(*) FROM documents WHERE born <= :commit AND (died IS NULL OR died > :commit)",
        {"commit": commit},
    ).fetchone()
    return int(row[0])


def documents_lacking(db: sqlite_utils.Database, generation_id: int) -> list[int]:
    """The living documents (ids of their rows) without chunks in a generation, oldest first."""
    # `born > 0` always holds; with it SQLite looks at the index of lifetimes alone, where the rows
    # would have to be walked past their texts.
    rows = db.execute(
        "SELECT document_id FROM documents d WHERE born > 0 AND died IS NULL AND NOT EXISTS "
        "(SELECT 1 FROM chunks c WHERE c.document_id = d.document_id AND c.generation_id = ? "
        "AND c.died IS NULL)",
        [generation_id],
    )
    return sorted(document_id for (document_id,) in rows.fetchall())


def documents_of_chunks(db: sqlite_utils.Database, chunk_ids: Sequence[int]) -> list[int]:
    """The documents (ids of their rows) that chunks belong to, oldest first."""
    rows = db.execute(
        "SELECT DISTINCT document_id FROM chunks "
        "WHERE chunk_id IN (SELECT value FROM json_each(?)) ORDER BY document_id",
        [json.dumps(list(chunk_ids))],
    )
    return [document_id for (document_id,) in rows.fetchall()]


def living_document_ids(db: sqlite_utils.Database) -> list[int]:
    """All living documents (ids of their rows), oldest first."""
    rows = db.execute("SELECT document_id FROM documents WHERE born > 0 AND died IS NULL")
    return sorted(document_id for (document_id,) in rows.fetchall())


def document_name(db: sqlite_utils.Database, document_id: int) -> str:
    """The doc_id of a document, whatever else of it can be read."""
    row = db.execute("SELECT doc_id FROM documents WHERE document_id = ?", [document_id]).fetchone()
    return str(row[0])


def whole_document(db: sqlite_utils.Database, document_id: int) -> tuple[Document, str] | None:
    """A document as it was added, and its content hash; None where it is gone."""
    row = db.execute(
        "SELECT doc_id, text, title, source, markup, first_line, single_line, pages, metadata, "
        "content_hash FROM documents WHERE document_id = ?",
        [document_id],
    ).fetchone()
    if row is None:
        return None
    doc_id, text, title, source, markup, first_line, single_line, pages, metadata, digest = row
    document = Document(
        doc_id,
        text,
        title=title,
        source=source,
        markup=markup,
        first_line=first_line,
        single_line=bool(single_line),
        pages=tuple(json.loads(pages)),
        metadata=json.loads(metadata),
    )
    return document, digest


def _stored_chunk(row: Sequence[Any]) -> StoredChunk:
    chunk_id, doc_id, title, source, text, start, end, *rest = row
    headings, pages, line, single_line, metadata = rest
    return StoredChunk(
        chunk_id=chunk_id,
        doc_id=doc_id,
        title=title,
        source=source,
        text=text,
        start=start,
        end=end,
        headings=tuple(json.loads(headings)),
        pages=tuple(json.loads(pages)),
        line=line,
        single_line=bool(single_line),
        metadata=json.loads(metadata),
    )

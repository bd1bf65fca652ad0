"""The transactions that are commits: each is the one place that decides what an index holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import sqlite_utils
from numpy.typing import NDArray

from search_engine.index.generations.generation import Generation
from search_engine.index.segments.encoded import EncodedDocument
from search_engine.index.segments.new_segment import NewSegment
from search_engine.index.store.database import write_transaction
from search_engine.index.store.known_files import KnownFile, write_known_files
from search_engine.index.store.schema import read_config, write_config
from search_engine.index.store.signatures import insert_signatures
from search_engine.types import Chunk, Document


class Numbers(NamedTuple):
    """The number of the coming commit, and the ids of its first chunk and document."""

    commit: int
    chunk_id: int
    document_id: int


def next_numbers(db: sqlite_utils.Database) -> Numbers:
    """Numbers for the coming commit; the caller holds the write lock until it is made."""
    return Numbers(
        commit=int(read_config(db, "commit")) + 1,
        chunk_id=int(read_config(db, "next_chunk_id")),
        document_id=int(read_config(db, "next_document_id")),
    )


def commit_documents(
    db: sqlite_utils.Database,
    numbers: Numbers,
    generation: Generation,
    *,
    added: Sequence[EncodedDocument],
    deleted: Iterable[str],
    files: Mapping[tuple[str, str], KnownFile | None],
    segment: NewSegment | None,
) -> None:
    """Insert the documents, their chunks and the segment; end what they replace.

    The documents' chunks end in every generation.

    Args:
        files: what is known from now on of the files that the documents came from.
    """
    gone = json.dumps([*deleted, *(each.document.doc_id for each in added)])
    with write_transaction(db):
        _number(db, numbers, segment)
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
        write_config(db, "next_document_id", str(numbers.document_id + len(added)))
        insert_signatures(
            db,
            [
                (document_id, each.signature)
                for document_id, each in enumerate(added, numbers.document_id)
                if each.signature is not None
            ],
        )
        write_known_files(db, files)
        _insert_chunks(db, numbers, generation, list(enumerate(added, numbers.document_id)))
        _insert_segment(db, numbers.commit, generation, segment)


def commit_chunks(
    db: sqlite_utils.Database,
    numbers: Numbers,
    generation: Generation,
    *,
    encoded: Sequence[tuple[int, EncodedDocument]],
    segment: NewSegment,
) -> None:
    """Give stored documents (the ids of their rows come first) their chunks in a generation."""
    with write_transaction(db):
        _number(db, numbers, segment)
        db.execute(
            "UPDATE chunks SET died = ? WHERE died IS NULL AND generation_id = ? "
            "AND document_id IN (SELECT value FROM json_each(?))",
            [
                numbers.commit,
                generation.generation_id,
                json.dumps([document_id for document_id, _ in encoded]),
            ],
        )
        _insert_chunks(db, numbers, generation, encoded)
        _insert_segment(db, numbers.commit, generation, segment)


def commit_merge(
    db: sqlite_utils.Database,
    generation: Generation,
    *,
    sources: Sequence[str],
    merged: NewSegment | None,
    ranges: NDArray[np.float32] | None = None,
) -> bool:
    """Put a merged segment in the place of its sources; False where one of them is gone already.

    Args:
        merged: None where no chunk of the sources is alive.
        ranges: float32 [2, dim], those by which the merged vectors were coded, if they are new.
    """
    named = json.dumps(list(sources))
    with write_transaction(db):
        alive = db.execute(
            "SELECT count(*) FROM segments "
            "WHERE died IS NULL AND segment_id IN (SELECT value FROM json_each(?))",
            [named],
        ).fetchone()[0]
        if alive != len(sources):
            return False
        commit = int(read_config(db, "commit")) + 1
        db.execute(
            "UPDATE segments SET died = ? WHERE segment_id IN (SELECT value FROM json_each(?))",
            [commit, named],
        )
        write_config(db, "commit", str(commit))
        _insert_segment(db, commit, generation, merged)
        if ranges is not None:
            db.execute(
                "UPDATE generations SET ranges = ? WHERE generation_id = ?",
                [ranges.astype("<f4").tobytes(), generation.generation_id],
            )
    return True


def _number(db: sqlite_utils.Database, numbers: Numbers, segment: NewSegment | None) -> None:
    write_config(db, "commit", str(numbers.commit))
    chunk_count = 0 if segment is None else segment.chunk_count
    write_config(db, "next_chunk_id", str(numbers.chunk_id + chunk_count))


def _insert_segment(
    db: sqlite_utils.Database, commit: int, generation: Generation, segment: NewSegment | None
) -> None:
    if segment is not None:
        db.execute(
            "INSERT INTO segments (segment_id, generation_id, chunk_count, sha256, born) "
            "VALUES (?, ?, ?, ?, ?)",
            [
                segment.segment_id,
                generation.generation_id,
                segment.chunk_count,
                segment.sha256,
                commit,
            ],
        )


def _insert_chunks(
    db: sqlite_utils.Database,
    numbers: Numbers,
    generation: Generation,
    encoded: Sequence[tuple[int, EncodedDocument]],
) -> None:
    db.conn.executemany(
        'INSERT INTO chunks (chunk_id, document_id, generation_id, start, "end", headings, '
        "line, born, text_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        _chunk_rows(encoded, numbers, generation),
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
    encoded: Sequence[tuple[int, EncodedDocument]], numbers: Numbers, generation: Generation
) -> Iterator[tuple[Any, ...]]:
    chunk_id = numbers.chunk_id
    for document_id, each in encoded:
        lines = _lines(each.document, each.chunks)
        hashes: Sequence[bytes | None] = each.text_hashes or [None] * len(each.chunks)
        for chunk, line, text_hash in zip(each.chunks, lines, hashes, strict=True):
            yield (
                chunk_id,
                document_id,
                generation.generation_id,
                chunk.start,
                chunk.end,
                json.dumps(chunk.headings),
                line,
                numbers.commit,
                text_hash,
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

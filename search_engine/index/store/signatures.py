"""The MinHash signatures of documents: one a document, in the commit that adds it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

import sqlite_utils

# Signatures that are read at once: no statement stays open in between, and memory stays small.
_ROWS = 5_000


def insert_signatures(db: sqlite_utils.Database, rows: Iterable[tuple[int, bytes]]) -> None:
    """Store the signatures of documents (ids of their rows); the caller holds the transaction."""
    db.conn.executemany(
        "INSERT INTO signatures (document_id, signature) VALUES (?, ?) "
        "ON CONFLICT (document_id) DO UPDATE SET signature = excluded.signature",
        rows,
    )


def delete_signatures(db: sqlite_utils.Database, document_ids: Sequence[int]) -> None:
    """Remove the signatures of documents whose rows are about to be removed."""
    db.execute(
        "DELETE FROM signatures WHERE document_id IN (SELECT value FROM json_each(?))",
        [json.dumps(list(document_ids))],
    )


def signatures_of_living(db: sqlite_utils.Database, commit: int) -> Iterator[tuple[int, bytes]]:
    """Every document alive at a commit that has a signature: the id of its row, and that.

    They come in the order of their doc_ids, whenever they were added. The commit must stay pinned
    until the last one was given.
    """
    # `born > 0` always holds; with it SQLite takes the lifetimes from their index.
    living = db.execute(
        "SELECT document_id FROM documents WHERE born > 0 AND born <= :commit "
        "AND (died IS NULL OR died > :commit) ORDER BY doc_id",
        {"commit": commit},
    ).fetchall()
    for start in range(0, len(living), _ROWS):
        batch = [document_id for (document_id,) in living[start : start + _ROWS]]
        rows = db.execute(
            "SELECT document_id, signature FROM signatures "
            "WHERE document_id IN (SELECT value FROM json_each(?))",
            [json.dumps(batch)],
        )
        stored = dict(rows.fetchall())
        yield from ((each, stored[each]) for each in batch if each in stored)


def documents_without_signature(db: sqlite_utils.Database, commit: int) -> int:
    """How many of the documents alive at a commit have none: an earlier version added them."""
    row = db.execute(
        "SELECT count(*) FROM documents d WHERE born > 0 AND born <= :commit "
        "AND (died IS NULL OR died > :commit) AND NOT EXISTS "
        "(SELECT 1 FROM signatures s WHERE s.document_id = d.document_id)",
        {"commit": commit},
    ).fetchone()
    return int(row[0])

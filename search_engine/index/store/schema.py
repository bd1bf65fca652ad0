"""The tables of `index.db`, and the version of the whole on-disk format.

Rows of documents, chunks and segments carry the commit at which they were `born` and the one at
which they `died` (NULL while they live): a reader that pinned commit n sees what was born at n
or before and had not died by n. Nothing else decides what an index holds.
"""

from __future__ import annotations

import sqlite_utils

FORMAT_VERSION = 3

# What each file below a root was when its documents were committed.
FILES_TABLE = """CREATE TABLE files (
    root_id TEXT NOT NULL REFERENCES roots (root_id),
    relative TEXT NOT NULL,
    size INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    content_hash TEXT NOT NULL,
    documents INTEGER NOT NULL,
    problems TEXT NOT NULL,
    read_ns INTEGER NOT NULL,
    PRIMARY KEY (root_id, relative)
) STRICT, WITHOUT ROWID"""
# Where a chunk's vector may be taken from, for a chunk that the encoders see the same text of.
CHUNKS_BY_TEXT = (
    "CREATE INDEX chunks_by_text ON chunks (generation_id, text_hash) "
    "WHERE died IS NULL AND text_hash IS NOT NULL"
)
# MinHash signatures of documents, by which near-duplicates are found.
SIGNATURES_TABLE = """CREATE TABLE signatures (
    document_id INTEGER PRIMARY KEY REFERENCES documents (document_id),
    signature BLOB NOT NULL
) STRICT"""

_TABLES = (
    """CREATE TABLE config (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE generations (
        generation_id INTEGER PRIMARY KEY,
        fingerprint TEXT NOT NULL,
        config TEXT NOT NULL,
        dimension INTEGER,
        similarity TEXT,
        state TEXT NOT NULL CHECK (state IN ('building', 'live', 'previous', 'retired')),
        ranges BLOB
    ) STRICT""",
    "CREATE UNIQUE INDEX generations_live ON generations (state) WHERE state = 'live'",
    """CREATE TABLE roots (
        root_id TEXT PRIMARY KEY,
        path TEXT NOT NULL UNIQUE,
        settings TEXT NOT NULL DEFAULT '{}'
    ) STRICT""",
    FILES_TABLE,
    """CREATE TABLE documents (
        document_id INTEGER PRIMARY KEY,
        doc_id TEXT NOT NULL,
        content_hash TEXT NOT NULL,
        title TEXT NOT NULL,
        text TEXT NOT NULL,
        source TEXT,
        markup TEXT NOT NULL,
        first_line INTEGER,
        single_line INTEGER NOT NULL,
        pages TEXT NOT NULL,
        metadata TEXT NOT NULL,
        born INTEGER NOT NULL,
        died INTEGER
    ) STRICT""",
    "CREATE UNIQUE INDEX documents_live ON documents (doc_id) WHERE died IS NULL",
    # A row's lifetime stands behind its text, which a count should not have to walk over.
    "CREATE INDEX documents_lifetime ON documents (born, died)",
    """CREATE TABLE chunks (
        chunk_id INTEGER PRIMARY KEY,
        document_id INTEGER NOT NULL REFERENCES documents (document_id),
        generation_id INTEGER NOT NULL REFERENCES generations (generation_id),
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        headings TEXT NOT NULL,
        line INTEGER,
        born INTEGER NOT NULL,
        died INTEGER,
        text_hash BLOB
    ) STRICT""",
    CHUNKS_BY_TEXT,
    "CREATE INDEX chunks_of_document ON chunks (document_id, generation_id)",
    "CREATE INDEX chunks_dead ON chunks (generation_id, died) WHERE died IS NOT NULL",
    """CREATE TABLE segments (
        segment_id TEXT PRIMARY KEY,
        generation_id INTEGER NOT NULL REFERENCES generations (generation_id),
        chunk_count INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        born INTEGER NOT NULL,
        died INTEGER
    ) STRICT""",
    """CREATE TABLE terms (
        term_id INTEGER PRIMARY KEY,
        term TEXT NOT NULL UNIQUE
    ) STRICT""",
    """CREATE TABLE readers (
        reader_id INTEGER PRIMARY KEY AUTOINCREMENT,
        host TEXT NOT NULL,
        process_id INTEGER NOT NULL,
        process_started INTEGER NOT NULL,
        pinned INTEGER NOT NULL,
        heartbeat REAL NOT NULL
    ) STRICT""",
    SIGNATURES_TABLE,
)


def create_tables(db: sqlite_utils.Database) -> None:
    """Make every table, at commit 0; the caller holds the transaction."""
    for statement in _TABLES:
        db.execute(statement)
    for key, value in (
        ("format_version", FORMAT_VERSION),
        ("commit", 0),
        ("next_chunk_id", 1),
        ("next_document_id", 1),
        ("next_generation_id", 2),
    ):
        write_config(db, key, str(value))


def read_config(db: sqlite_utils.Database, key: str) -> str:
    """One value of the config table."""
    row = db.execute("SELECT value FROM config WHERE key = ?", [key]).fetchone()
    return str(row[0])


def write_config(db: sqlite_utils.Database, key: str, value: str) -> None:
    """Set one value of the config table."""
    db.execute(
        "INSERT INTO config (key, value) VALUES (?, ?) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [key, value],
    )

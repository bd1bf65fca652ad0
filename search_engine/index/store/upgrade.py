"""Indexes of earlier format versions: changed in place, or read as they are.

Version 2 keeps several generations (`state` instead of `live`) and quantization ranges. Segments of
version 1 have no metadata columns; a filter reads the metadata of their chunks from SQL instead.

Version 3 remembers the files that were read, the settings of roots, the hash of what the encoders
saw of each chunk and a signature of each document. What was written before has none of these.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlite_utils

from search_engine.errors import IndexFormatError
from search_engine.index.store.schema import (
    CHUNKS_BY_TEXT,
    FILES_TABLE,
    FORMAT_VERSION,
    SIGNATURES_TABLE,
    read_config,
    write_config,
)

# What version 2 counts and version 1 did not.
_NUMBERS_2 = (
    "SELECT 'next_document_id' AS key, CAST(coalesce(max(document_id), 0) + 1 AS TEXT) AS value "
    "FROM documents UNION ALL SELECT 'next_generation_id', '2'"
)


def format_version(db: sqlite_utils.Database, place: str) -> int:
    """The format version of a database that this program can read.

    Raises:
        IndexFormatError: a later program wrote it.
    """
    version = int(read_config(db, "format_version"))
    if not 1 <= version <= FORMAT_VERSION:
        raise IndexFormatError(
            f"{place} has index format {version}; this version reads 1 to {FORMAT_VERSION}. "
            "Use the version of search-engine that wrote it, or build the index again."
        )
    return version


def upgrade(db: sqlite_utils.Database, place: str) -> None:
    """Bring a database to the current format; the caller holds the write transaction."""
    for version in range(format_version(db, place), FORMAT_VERSION):
        _UPGRADES[version](db)
        write_config(db, "format_version", str(version + 1))


def present_as_current(db: sqlite_utils.Database, version: int) -> None:
    """Let a connection that may not write see an earlier format as the current one.

    Temporary views stand before the tables of their name and live in this connection alone.
    """
    if version < 2:
        db.execute(
            "CREATE TEMP VIEW generations AS SELECT generation_id, fingerprint, config, dimension, "
            "similarity, 'live' AS state, NULL AS ranges FROM main.generations"
        )
        db.execute(
            "CREATE TEMP VIEW config AS SELECT key, value FROM main.config UNION ALL "  # noqa: S608
            f"{_NUMBERS_2}"
        )
    if version < 3:
        db.execute(
            "CREATE TEMP VIEW roots AS SELECT root_id, path, '{}' AS settings FROM main.roots"
        )
        db.execute(
            "CREATE TEMP VIEW files AS SELECT NULL AS root_id, NULL AS relative, NULL AS size, "
            "NULL AS modified_ns, NULL AS content_hash, NULL AS documents, NULL AS problems, "
            "NULL AS read_ns WHERE 0"
        )
        db.execute(
            "CREATE TEMP VIEW signatures AS SELECT NULL AS document_id, NULL AS signature WHERE 0"
        )


def _to_version_2(db: sqlite_utils.Database) -> None:
    for statement in (
        "ALTER TABLE generations ADD COLUMN state TEXT NOT NULL DEFAULT 'live' "
        "CHECK (state IN ('building', 'live', 'previous', 'retired'))",
        "ALTER TABLE generations ADD COLUMN ranges BLOB",
        "ALTER TABLE generations DROP COLUMN live",
        "CREATE UNIQUE INDEX generations_live ON generations (state) WHERE state = 'live'",
        "CREATE INDEX documents_lifetime ON documents (born, died)",
        "DROP INDEX chunks_of_document",
        "CREATE INDEX chunks_of_document ON chunks (document_id, generation_id)",
        f"INSERT INTO config {_NUMBERS_2}",
    ):
        db.execute(statement)


def _to_version_3(db: sqlite_utils.Database) -> None:
    for statement in (
        "ALTER TABLE roots ADD COLUMN settings TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE chunks ADD COLUMN text_hash BLOB",
        FILES_TABLE,
        CHUNKS_BY_TEXT,
        SIGNATURES_TABLE,
    ):
        db.execute(statement)


_UPGRADES: dict[int, Callable[[sqlite_utils.Database], None]] = {
    1: _to_version_2,
    2: _to_version_3,
}

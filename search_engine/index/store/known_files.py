"""What the index remembers of the files below its roots: what each was when it was last read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlite_utils

# The size and time of modification of a file that is not known to have been read to its end.
UNREAD = -1


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as it was when its documents were committed.

    Attributes:
        root_id, relative: of the root it lies below, and its POSIX path below that.
        size: in bytes.
        modified_ns: its time of modification, in nanoseconds since 1970.
        content_hash: of its bytes.
        documents: how many documents of it the index holds.
        problems: what was wrong with it, and the 1-based line where it has one.
        read_ns: when reading it began, in nanoseconds since 1970.
    """

    root_id: str
    relative: str
    size: int
    modified_ns: int
    content_hash: str
    documents: int
    problems: tuple[tuple[str, int | None], ...]
    read_ns: int

    @classmethod
    def unread(cls, root_id: str, relative: str) -> KnownFile:
        """A file of which documents may be in the index, and which is to be read again."""
        return cls(root_id, relative, UNREAD, UNREAD, "", 0, (), 0)

    @property
    def file_id(self) -> str:
        """The id of its document, or what the ids of its records begin with."""
        return f"{self.root_id}/{self.relative}"


def known_files(db: sqlite_utils.Database, root_id: str) -> dict[str, KnownFile]:
    """The files that were read below a root, by their paths below it."""
    rows = db.execute(
        "SELECT root_id, relative, size, modified_ns, content_hash, documents, problems, read_ns "
        "FROM files WHERE root_id = ?",
        [root_id],
    )
    return {row[1]: _known_file(row) for row in rows.fetchall()}


def write_known_files(
    db: sqlite_utils.Database, files: Mapping[tuple[str, str], KnownFile | None]
) -> None:
    """Remember files by (root id, path below); None forgets one. The caller holds the transaction.

    What is forgotten goes first: its place may be taken anew.
    """
    db.conn.executemany(
        "DELETE FROM files WHERE root_id = ? AND relative = ?",
        [key for key, file in files.items() if file is None],
    )
    db.conn.executemany(
        "INSERT OR REPLACE INTO files (root_id, relative, size, modified_ns, content_hash, "
        "documents, problems, read_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [_row(file) for file in files.values() if file is not None],
    )


def documents_of_file(db: sqlite_utils.Database, root_id: str, relative: str) -> list[str]:
    """The ids of the living documents of a file: its own, or those of its records."""
    # "$" is the character after "#".
    others = db.execute(
        "SELECT root_id || '/' || relative FROM files WHERE root_id = :root "
        "AND relative >= :place || '#' AND relative < :place || '$'",
        {"root": root_id, "place": relative},
    ).fetchall()
    rows = db.execute(
        "SELECT doc_id FROM documents WHERE died IS NULL AND "
        "(doc_id = :id OR (doc_id >= :id || '#' AND doc_id < :id || '$')) ORDER BY doc_id",
        {"id": f"{root_id}/{relative}"},
    ).fetchall()
    # A file `notes#1.md` is no record of a file `notes`.
    return [
        doc_id
        for (doc_id,) in rows
        if not any(doc_id == other or doc_id.startswith(f"{other}#") for (other,) in others)
    ]


def doc_ids_below(db: sqlite_utils.Database, root_id: str) -> list[str]:
    """The ids of the living documents that lie below a root."""
    rows = db.execute(
        "SELECT doc_id FROM documents WHERE died IS NULL "
        "AND doc_id >= :root || '/' AND doc_id < :root || '0' ORDER BY doc_id",
        {"root": root_id},
    )
    return [doc_id for (doc_id,) in rows.fetchall()]


def document_count_below(db: sqlite_utils.Database, root_id: str) -> int:
    """How many living documents lie below a root."""
    row = db.execute(
        "SELECT count(*) FROM documents WHERE died IS NULL "
        # "0" is the character after "/".
        "AND doc_id >= :root || '/' AND doc_id < :root || '0'",
        {"root": root_id},
    ).fetchone()
    return int(row[0])


def _known_file(row: tuple[Any, ...]) -> KnownFile:
    root_id, relative, size, modified_ns, content_hash, documents, problems, read_ns = row
    return KnownFile(
        root_id=root_id,
        relative=relative,
        size=size,
        modified_ns=modified_ns,
        content_hash=content_hash,
        documents=documents,
        problems=tuple((reason, line) for reason, line in json.loads(problems)),
        read_ns=read_ns,
    )


def _row(file: KnownFile) -> tuple[Any, ...]:
    return (
        file.root_id,
        file.relative,
        file.size,
        file.modified_ns,
        file.content_hash,
        file.documents,
        json.dumps(file.problems),
        file.read_ns,
    )

"""The roots of an index: the folders that were indexed, with how the files below them are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import sqlite_utils

from search_engine.index.store.known_files import UNREAD

Settings = Mapping[str, object]
"""How the files below a root are read, as JSON can hold it; the index only keeps it."""


@dataclass(frozen=True, slots=True)
class Root:
    """A folder whose documents have ids that begin with the root's.

    Attributes:
        root_id: the folder's name, numbered where several folders share it.
        path: resolved.
    """

    root_id: str
    path: Path
    settings: Settings


def stored_roots(db: sqlite_utils.Database) -> dict[Path, Root]:
    """All roots, by their paths."""
    rows = db.execute("SELECT root_id, path, settings FROM roots ORDER BY root_id").fetchall()
    return {
        Path(path): Root(root_id, Path(path), MappingProxyType(json.loads(settings)))
        for root_id, path, settings in rows
    }


def store_root(db: sqlite_utils.Database, path: Path, settings: Settings | None) -> Root:
    """The root at a path, new or known; the caller holds the transaction.

    Args:
        settings: remembered from now on; None leaves what is remembered. Where they are others, no
            file of the root counts as read any more.
    """
    known = stored_roots(db)
    text = json.dumps(dict(settings or {}), sort_keys=True)
    if path not in known:
        taken = {root.root_id for root in known.values()}
        root_id = _free_id(path.name or "root", taken)
        db.execute(
            "INSERT INTO roots (root_id, path, settings) VALUES (?, ?, ?)",
            [root_id, str(path), text],
        )
    elif settings is not None and dict(settings) != dict(known[path].settings):
        db.execute("UPDATE roots SET settings = ? WHERE path = ?", [text, str(path)])
        db.execute(
            "UPDATE files SET modified_ns = ? WHERE root_id = ?", [UNREAD, known[path].root_id]
        )
    return stored_roots(db)[path]


def _free_id(name: str, taken: set[str]) -> str:
    number = 1
    while (root_id := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return root_id

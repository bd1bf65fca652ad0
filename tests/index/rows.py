"""Looking at what an index keeps, past its own readers."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of `index.db`."""
    with closing(sqlite3.connect(folder / "index.db")) as connection:
        return connection.execute(sql).fetchall()


def count_rows(folder: Path, table: str) -> int:
    """How many rows a table has."""
    return int(query(folder, f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608


def folders(folder: Path) -> set[str]:
    """The names of the segment folders."""
    return {path.name for path in (folder / "segments").iterdir()}

"""The rows of `segments`: which folders hold what is alive at a commit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlite_utils
from numpy.typing import NDArray

from search_engine.index.generations.generation import Generation
from search_engine.index.segments.segment import Segment
from search_engine.index.store.database import Database
from search_engine.types import Metadata


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment as the database knows it.

    Attributes:
        sha256: of its manifest.
        chunk_count: all of its chunks, dead ones too.
    """

    segment_id: str
    sha256: str
    chunk_count: int


def segments_at(
    db: sqlite_utils.Database, generation_id: int, commit: int | None = None
) -> list[SegmentRow]:
    """The segments of a generation that are alive at a commit, by default the newest; by age."""
    if commit is None:
        rows = db.execute(
            "SELECT segment_id, sha256, chunk_count FROM segments "
            "WHERE generation_id = ? AND died IS NULL ORDER BY born, segment_id",
            [generation_id],
        )
    else:
        rows = db.execute(
            "SELECT segment_id, sha256, chunk_count FROM segments "
            "WHERE generation_id = :generation AND born <= :commit "
            "AND (died IS NULL OR died > :commit) ORDER BY born, segment_id",
            {"generation": generation_id, "commit": commit},
        )
    return [SegmentRow(*row) for row in rows.fetchall()]


def open_segment(
    folder: Path, row: SegmentRow, generation: Generation, database: Database
) -> Segment:
    """Open the segment of a row.

    Args:
        folder: of the index.
        generation: that the segment belongs to.

    Raises:
        IndexCorruptError: see Segment.
    """
    return Segment(
        folder / "segments" / row.segment_id,
        sha256=row.sha256,
        dense=generation.config.dense,
        stored_metadata=lambda chunk_ids: _metadata(database.here, chunk_ids),
    )


def dead_chunks(
    db: sqlite_utils.Database, generation_id: int, commit: int | None = None
) -> NDArray[np.int64]:
    """The ids of the chunks that died at a commit or before, by default the newest; ascending."""
    if commit is None:
        rows = db.execute(
            "SELECT chunk_id FROM chunks WHERE generation_id = ? AND died IS NOT NULL "
            "ORDER BY chunk_id",
            [generation_id],
        )
    else:
        rows = db.execute(
            "SELECT chunk_id FROM chunks WHERE generation_id = ? AND died <= ? ORDER BY chunk_id",
            [generation_id, commit],
        )
    return np.fromiter((chunk_id for (chunk_id,) in rows), np.int64)


def alive_among(chunk_ids: NDArray[np.int64], dead: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """Which chunks of a segment are not among the dead ones (both ascending); None is all."""
    if not len(dead) or not len(chunk_ids):
        return None
    first, last = np.searchsorted(dead, (chunk_ids[0], chunk_ids[-1] + 1))
    if first == last:
        return None
    alive = ~np.isin(chunk_ids, dead[first:last], assume_unique=True)
    return None if alive.all() else alive


def _metadata(db: sqlite_utils.Database, chunk_ids: NDArray[np.int64]) -> Sequence[Metadata]:
    rows = db.execute(
        "SELECT c.chunk_id, d.metadata FROM chunks c JOIN documents d USING (document_id) "
        "WHERE c.chunk_id IN (SELECT value FROM json_each(?))",
        [json.dumps(chunk_ids.tolist())],
    )
    found = {chunk_id: json.loads(metadata) for chunk_id, metadata in rows}
    # The row of a chunk that died long ago may be gone; nobody looks at it.
    return [found.get(chunk_id, {}) for chunk_id in chunk_ids.tolist()]

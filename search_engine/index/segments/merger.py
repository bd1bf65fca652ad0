"""Merging the segments of an index on disk, beside readers and other writers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import IndexLockedError, SnapshotGoneError
from search_engine.index.commit import commit_merge
from search_engine.index.generations.generation import Generation, read_generation
from search_engine.index.segments.merging import SegmentSize, choose_merge, merged_contents
from search_engine.index.segments.new_segment import NewSegment, write_segment
from search_engine.index.segments.removal import remove_unseen
from search_engine.index.segments.segment import Segment
from search_engine.index.segments.segment_table import (
    SegmentRow,
    alive_among,
    dead_chunks,
    open_segment,
    segments_at,
)
from search_engine.index.store.database import Database, sqlite_errors
from search_engine.index.store.lock import merge_lock, write_lock
from search_engine.index.store.schema import read_config
from search_engine.quantization import calibrate

# The ranges of 8-bit codes are those of so many vectors, the first of a generation.
CALIBRATION_VECTORS = 10_000


class SegmentMerger:
    """Keeps the number of segments of an index bounded.

    The new segment is written beside the commits of other writers; only naming it takes the write
    lock. Sources are compared with their checksums first, so that damage is never copied.

    Args:
        folder: of the index.
        database: open for writing.
        lock_timeout: seconds to wait for another writer's commit.
    """

    def __init__(self, folder: Path, database: Database, *, lock_timeout: float) -> None:
        self._folder = folder
        self._database = database
        self._lock_timeout = lock_timeout
        self._open: dict[str, Segment] = {}

    def merge_as_needed(self, generation_id: int) -> None:
        """Merge until every tier is within its bounds; leave it to another process that is at it.

        Raises:
            IndexCorruptError: a segment to merge is damaged.
            OSError: the disk is full or broken. The segments stay as they are.
        """
        with (
            # Another process is at it, or the generation was given up.
            suppress(IndexLockedError, SnapshotGoneError),
            sqlite_errors(self._folder),
        ):
            if not self._is_due(generation_id):
                return
            with merge_lock(self._folder, timeout=0):
                self._merge_all(generation_id)
        remove_unseen(self._folder, self._database, lock_timeout=self._lock_timeout)

    def _merge_all(self, generation_id: int) -> None:
        while chosen := self._choose(generation := self._calibrated(generation_id)):
            self._merge(generation, chosen)

    def compact(self, generation_id: int, *, timeout: float) -> None:
        """Merge all segments of a generation into one, without what died.

        Args:
            timeout: seconds to wait for another process that merges.

        Raises:
            IndexLockedError: it did not end in time.
            IndexCorruptError, OSError: as for `merge_as_needed`.
        """
        with merge_lock(self._folder, timeout=timeout), sqlite_errors(self._folder):
            generation = self._calibrated(generation_id)
            rows = segments_at(self._database.here, generation_id)
            if len(rows) > 1 or any(size.dead_count for size in self._sizes(generation, rows)):
                self._merge(generation, rows)

    def _is_due(self, generation_id: int) -> bool:
        generation = self._generation(generation_id)
        return self._lacks_ranges(generation) or bool(self._choose(generation))

    def _generation(self, generation_id: int) -> Generation:
        return read_generation(self._database.here, generation_id, str(self._folder))

    def _choose(self, generation: Generation) -> list[SegmentRow]:
        rows = segments_at(self._database.here, generation.generation_id)
        chosen = set(choose_merge(self._sizes(generation, rows)))
        return [row for row in rows if row.segment_id in chosen]

    def _sizes(self, generation: Generation, rows: Sequence[SegmentRow]) -> list[SegmentSize]:
        dead = dead_chunks(self._database.here, generation.generation_id)
        there = {row.segment_id for row in rows}
        self._open = {key: segment for key, segment in self._open.items() if key in there}
        return [
            SegmentSize(row.segment_id, row.chunk_count, self._dead_count(generation, row, dead))
            for row in rows
        ]

    def _dead_count(self, generation: Generation, row: SegmentRow, dead: NDArray[np.int64]) -> int:
        if not len(dead):
            return 0
        alive = alive_among(self._segment(generation, row).chunk_ids, dead)
        return 0 if alive is None else row.chunk_count - int(alive.sum())

    def _segment(self, generation: Generation, row: SegmentRow) -> Segment:
        if row.segment_id not in self._open:
            self._open[row.segment_id] = open_segment(self._folder, row, generation, self._database)
        return self._open[row.segment_id]

    def _merge(self, generation: Generation, rows: Sequence[SegmentRow]) -> None:
        merged = self._write(generation, rows)
        with write_lock(self._folder, timeout=self._lock_timeout):
            # Where a source is gone by now, the new folder is left over and removed later.
            commit_merge(self._database.here, generation, sources=_ids(rows), merged=merged)

    def _write(self, generation: Generation, rows: Sequence[SegmentRow]) -> NewSegment | None:
        """Write the segment that the living chunks of others make; None if there are none."""
        segments = [self._segment(generation, row) for row in rows]
        for segment in segments:
            segment.verify()
        db = self._database.here
        dead = dead_chunks(db, generation.generation_id)
        contents = merged_contents(
            segments,
            [alive_among(segment.chunk_ids, dead) for segment in segments],
            precision=generation.stored_precision,
            ranges=generation.ranges,
        )
        for row in rows:
            del self._open[row.segment_id]
        if not len(contents.chunk_ids):
            return None
        return write_segment(
            self._folder / "segments",
            contents,
            commit=int(read_config(db, "commit")),
            dense=generation.config.dense,
        )

    def _lacks_ranges(self, generation: Generation) -> bool:
        """Whether vectors shall become 8-bit codes, and are enough to know their ranges."""
        dense = generation.config.dense
        if dense is None or dense.precision != "int8" or generation.ranges is not None:
            return False
        rows = segments_at(self._database.here, generation.generation_id)
        return sum(row.chunk_count for row in rows) >= CALIBRATION_VECTORS

    def _calibrated(self, generation_id: int) -> Generation:
        """The generation, after its vectors became 8-bit codes if it is time for that.

        All segments become one in the commit that fixes the ranges, under the write lock, so that
        there never are codes beside vectors that were not coded.
        """
        generation = self._generation(generation_id)
        if not self._lacks_ranges(generation):
            return generation
        with write_lock(self._folder, timeout=self._lock_timeout):
            rows = segments_at(self._database.here, generation_id)
            segments = [self._segment(generation, row) for row in rows]
            chunk_ids = np.concatenate([segment.chunk_ids for segment in segments])
            vectors = np.concatenate([segment.dense.vectors.decode() for segment in segments])
            first = np.argsort(chunk_ids, kind="stable")[:CALIBRATION_VECTORS]
            ranges = calibrate(vectors[first])
            commit_merge(
                self._database.here,
                generation,
                sources=_ids(rows),
                merged=self._write(replace(generation, ranges=ranges), rows),
                ranges=ranges,
            )
        return self._generation(generation_id)


def _ids(rows: Sequence[SegmentRow]) -> list[str]:
    return [row.segment_id for row in rows]

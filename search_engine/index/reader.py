"""Reading an index: a pinned commit, its segments, and the stored texts of its chunks."""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import (
    IndexCorruptError,
    IndexReadOnlyError,
    IndexStoreError,
    SnapshotGoneError,
)
from search_engine.index.generations.generation import Generation, read_generation
from search_engine.index.segments.live_segment import LiveSegment
from search_engine.index.segments.segment import Segment
from search_engine.index.segments.segment_table import (
    SegmentRow,
    alive_among,
    dead_chunks,
    open_segment,
    segments_at,
)
from search_engine.index.snapshot import Snapshot
from search_engine.index.store.database import Database, is_writable, sqlite_errors
from search_engine.index.store.pins import State, newest_state, pin, release, writing_if_possible
from search_engine.index.store.schema import read_config
from search_engine.index.store.stored import (
    StoredChunk,
    StoredDocument,
    doc_ids_by_chunk,
    document_count,
    stored_chunks,
    stored_documents,
)

HEARTBEAT_SECONDS = 60.0
# How often an index that changes while it is being opened is looked at anew. Only a reader that
# cannot write down what it sees needs more than one look.
_LOOKS = 5
T = TypeVar("T")


class IndexReader:
    """A view of the live generation that changes only when `refresh` is called.

    Its row in `readers` keeps what it sees from being removed, and so what anybody sees who still
    holds a snapshot that it gave out; a snapshot that nobody holds is let go of at the next refresh
    that writes the row. Threads may share a reader. Where nothing can be written there is no such
    row; everything is then mapped at once, and what is gone nevertheless is a SnapshotGoneError.

    Raises:
        IndexNotFoundError, IndexCorruptError, IndexFormatError, IndexReadOnlyError: see Database.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database = Database(folder, writable=is_writable(folder))
        self._file_state = self._database.state()
        self._pins = self._database.writable
        self._refreshing = threading.Lock()
        self._reader_id: int | None = None
        self._heartbeat = 0.0
        self._segments: dict[str, Segment] = {}
        # Snapshots that somebody may still look at, the current one among them.
        self._given: weakref.WeakSet[Snapshot] = weakref.WeakSet()
        self._workers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="segments")
        try:
            with sqlite_errors(folder):
                self.snapshot: Snapshot = self._newest()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> IndexReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what is pinned; may be called twice."""
        reader_id, self._reader_id = self._reader_id, None
        try:
            if reader_id is not None:
                # On a full disk the row stays until this process ends.
                with sqlite_errors(self.folder), writing_if_possible():
                    release(self._database.here, reader_id)
        finally:
            self._workers.shutdown()
            self._database.close()

    def refresh(self) -> Snapshot:
        """Move on to the newest commit, if there is a newer one, and return what it holds.

        Raises:
            IndexReadOnlyError: the place could not be written to when the index was opened, and
                was written to since.
            IndexStoreError: the database cannot be read any more.
        """
        self._check_frozen()
        with sqlite_errors(self.folder):
            self._database.check_version()
            newest = int(read_config(self._database.here, "commit"))
            silent = time.monotonic() - self._heartbeat > HEARTBEAT_SECONDS
            if newest != self.snapshot.commit or (silent and self._pins):
                with self._refreshing:
                    self.snapshot = self._newest()
        return self.snapshot

    @property
    def generation(self) -> Generation:
        """The generation that the current snapshot is of."""
        return self.snapshot.generation

    def _newest(self) -> Snapshot:
        """Pin the newest commit beside those that are still looked at, and open it."""
        for _ in range(_LOOKS):
            state = self._pin()
            known = next((each for each in self._given if each.commit == state.commit), None)
            if known is not None:
                return known
            try:
                snapshot = self._open(state)
            except (IndexCorruptError, SnapshotGoneError):
                # Without a pin, anything may be removed between reading its row and opening it.
                if self._pins or state == self._state_now():
                    raise
            else:
                self._given.add(snapshot)
                return snapshot
        raise SnapshotGoneError(_changing(self.folder))

    def _pin(self) -> State:
        if not self._database.writable:
            return self._state_now()
        oldest = min((each.commit for each in self._given), default=None)
        state = None
        # A full disk keeps nobody from reading what is there.
        with writing_if_possible():
            self._reader_id, state = pin(
                self._database.here, str(self.folder), reader_id=self._reader_id, oldest=oldest
            )
        self._pins, self._heartbeat = state is not None, time.monotonic()
        return state or self._state_now()

    def _state_now(self) -> State:
        return newest_state(self._database.here, str(self.folder))

    def _open(self, state: State) -> Snapshot:
        """What is alive in a state; segments that were open already stay open."""
        db = self._database.here
        generation = read_generation(db, state.generation_id, str(self.folder))
        rows = segments_at(db, state.generation_id, state.commit)
        if self._given and self.generation.config.dense != generation.config.dense:
            # Segments are opened with these settings.
            self._segments = {}
        new = [row for row in rows if row.segment_id not in self._segments]
        try:
            opening = self._workers.map(lambda row: self._verified(row, generation), new)
        except RuntimeError as error:
            raise IndexStoreError(
                f"the index at {self.folder} was closed; open it again"
            ) from error
        opened = dict(opening)
        self._segments = {
            row.segment_id: opened.get(row.segment_id) or self._segments[row.segment_id]
            for row in rows
        }
        dead = dead_chunks(db, state.generation_id, state.commit)
        if segments_at(db, state.generation_id, state.commit) != rows:
            # What says that a chunk is dead stays as long as the row of a segment that holds it.
            raise SnapshotGoneError(_changing(self.folder))
        return Snapshot(
            state.commit,
            generation,
            [
                LiveSegment(segment, alive_among(segment.chunk_ids, dead))
                for segment in self._segments.values()
            ],
            workers=self._workers,
        )

    def _verified(self, row: SegmentRow, generation: Generation) -> tuple[str, Segment]:
        """Open a segment and compare it with its checksums once: a wrong byte is a wrong answer."""
        segment = open_segment(self.folder, row, generation, self._database)
        segment.verify()
        if not self._pins:
            segment.open_all()
        return row.segment_id, segment

    def _check_frozen(self) -> None:
        if self._database.frozen and self._database.state() != self._file_state:
            raise IndexReadOnlyError(
                f"the index at {self.folder} was changed by somebody who may write to it; "
                "open it again"
            )

    def term_ids(self, terms: Sequence[str]) -> dict[str, int]:
        """The ids of those terms that the index has, by term in ascending order."""
        with sqlite_errors(self.folder):
            rows = self._database.here.execute(
                "SELECT term, term_id FROM terms WHERE term IN (SELECT value FROM json_each(?)) "
                "ORDER BY term",
                [json.dumps(list(terms))],
            ).fetchall()
        self._check_frozen()
        return dict(rows)

    def chunks(self, chunk_ids: Sequence[int]) -> list[StoredChunk]:
        """The stored chunks, in the order of their ids as given.

        Raises:
            SnapshotGoneError: one of them was removed, as it may be once nobody holds the snapshot
                that it came from.
        """
        with sqlite_errors(self.folder):
            found = stored_chunks(self._database.here, chunk_ids)
        return [self._found(found, chunk_id) for chunk_id in chunk_ids]

    def doc_ids(self, chunk_ids: NDArray[np.int64]) -> list[str]:
        """The document of each chunk.

        Raises:
            SnapshotGoneError: as for `chunks`.
        """
        wanted = chunk_ids.tolist()
        with sqlite_errors(self.folder):
            found = doc_ids_by_chunk(self._database.here, wanted)
        return [self._found(found, chunk_id) for chunk_id in wanted]

    def documents(self) -> Iterator[StoredDocument]:
        """Every document of the current snapshot, by id."""
        snapshot = self.snapshot
        with sqlite_errors(self.folder):
            return stored_documents(
                self._database.here, snapshot.generation.generation_id, snapshot.commit
            )

    def document_count(self) -> int:
        """How many documents the current snapshot holds."""
        with sqlite_errors(self.folder):
            return document_count(self._database.here, self.snapshot.commit)

    def _found(self, found: dict[int, T], chunk_id: int) -> T:
        self._check_frozen()
        if chunk_id not in found:
            raise SnapshotGoneError(_changing(self.folder))
        return found[chunk_id]


def _changing(folder: Path) -> str:
    return f"what was read of the index at {folder} was removed meanwhile; ask again"

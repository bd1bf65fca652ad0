"""Reading an index: a pinned commit, its segments, and the stored texts of its chunks."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import IndexReadOnlyError
from search_engine.index.database import Database, is_writable, sqlite_errors
from search_engine.index.generation import Generation, live_generation
from search_engine.index.pins import beat, pin_newest, release
from search_engine.index.schema import read_config
from search_engine.index.segment import Segment
from search_engine.index.snapshot import LiveSegment, Snapshot
from search_engine.types import Metadata

HEARTBEAT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk with what is stored of its document.

    Attributes:
        pages: offset in the document's text at which each page starts; empty without pages.
        line: 1-based line of the source at which the chunk begins, where lines mean something.
        single_line: the whole document stands on one line of its source.
    """

    chunk_id: int
    doc_id: str
    title: str
    source: str | None
    text: str
    start: int
    end: int
    headings: tuple[str, ...]
    pages: tuple[int, ...]
    line: int | None
    single_line: bool
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A line of the list of documents."""

    doc_id: str
    title: str
    source: str | None
    characters: int
    chunk_count: int


class IndexReader:
    """A view of the live generation that changes only when `refresh` is called.

    Its row in `readers` keeps what it sees from being removed. Threads may share a reader.

    Raises:
        IndexNotFoundError, IndexCorruptError, IndexFormatError, IndexReadOnlyError: see Database.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database = Database(folder, writable=is_writable(folder))
        self._state = self._database.state()
        self._refreshing = threading.Lock()
        self._reader_id: int | None = None
        self._heartbeat = 0.0
        self._segments: dict[str, Segment] = {}
        self._workers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="segments")
        try:
            with sqlite_errors(folder):
                self.generation: Generation = live_generation(self._database.here, str(folder))
                self.snapshot: Snapshot = self._take(self._pin())
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
        """Let go of the pinned commit; may be called twice."""
        reader_id, self._reader_id = self._reader_id, None
        try:
            if reader_id is not None:
                with sqlite_errors(self.folder):
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
        if self._database.frozen and self._database.state() != self._state:
            raise IndexReadOnlyError(
                f"the index at {self.folder} was changed by somebody who may write to it; "
                "open it again"
            )
        with sqlite_errors(self.folder):
            newest = int(read_config(self._database.here, "commit"))
            if newest != self.snapshot.commit:
                with self._refreshing:
                    if newest > self.snapshot.commit:
                        self.snapshot = self._take(self._pin())
            elif (
                self._reader_id is not None
                and time.monotonic() - self._heartbeat > HEARTBEAT_SECONDS
            ):
                beat(self._database.here, self._reader_id)
                self._heartbeat = time.monotonic()
        return self.snapshot

    def _pin(self) -> int:
        db = self._database.here
        if not self._database.writable:
            return int(read_config(db, "commit"))
        self._reader_id, commit = pin_newest(db, self._reader_id)
        self._heartbeat = time.monotonic()
        return commit

    def _take(self, commit: int) -> Snapshot:
        """The segments alive at a commit; those that were open already stay open."""
        db = self._database.here
        generation_id = self.generation.generation_id
        rows = db.execute(
            "SELECT segment_id, sha256 FROM segments WHERE generation_id = :generation "
            "AND born <= :commit AND (died IS NULL OR died > :commit) ORDER BY born, segment_id",
            {"generation": generation_id, "commit": commit},
        ).fetchall()
        self._segments = {
            segment_id: self._segments.get(segment_id)
            or Segment(self.folder / "segments" / segment_id, sha256=sha256)
            for segment_id, sha256 in rows
        }
        dead = np.fromiter(
            (
                chunk_id
                for (chunk_id,) in db.execute(
                    "SELECT chunk_id FROM chunks WHERE generation_id = ? AND died <= ? "
                    "ORDER BY chunk_id",
                    [generation_id, commit],
                )
            ),
            np.int64,
        )
        return Snapshot(
            commit,
            [LiveSegment(segment, _alive(segment, dead)) for segment in self._segments.values()],
            similarity=self.generation.similarity,
            workers=self._workers,
        )

    def term_ids(self, terms: Sequence[str]) -> dict[str, int]:
        """The ids of those terms that the index has, by term in ascending order."""
        return dict(
            self._query(
                "SELECT term, term_id FROM terms WHERE term IN (SELECT value FROM json_each(?)) "
                "ORDER BY term",
                [json.dumps(list(terms))],
            )
        )

    def chunks(self, chunk_ids: Sequence[int]) -> list[StoredChunk]:
        """The stored chunks, in the order of their ids as given."""
        rows = self._query(
            'SELECT c.chunk_id, d.doc_id, d.title, d.source, substr(d.text, c.start + 1, c."end" '
            '- c.start), c.start, c."end", c.headings, d.pages, c.line, d.single_line, d.metadata '
            "FROM chunks c JOIN documents d USING (document_id) "
            "WHERE c.chunk_id IN (SELECT value FROM json_each(?))",
            [json.dumps([int(chunk_id) for chunk_id in chunk_ids])],
        )
        found = {row[0]: _stored_chunk(row) for row in rows}
        return [found[chunk_id] for chunk_id in chunk_ids]

    def doc_ids(self, chunk_ids: NDArray[np.int64]) -> list[str]:
        """The document of each chunk."""
        rows = self._query(
            "SELECT c.chunk_id, d.doc_id FROM chunks c JOIN documents d USING (document_id) "
            "WHERE c.chunk_id IN (SELECT value FROM json_each(?))",
            [json.dumps(chunk_ids.tolist())],
        )
        found: Mapping[int, str] = dict(rows)
        return [found[chunk_id] for chunk_id in chunk_ids.tolist()]

    def documents(self) -> Iterator[StoredDocument]:
        """Every document of the pinned commit, by id."""
        rows = self._query(
            "SELECT d.doc_id, d.title, d.source, length(d.text), count(c.chunk_id) "
            "FROM documents d LEFT JOIN chunks c USING (document_id) "
            "WHERE d.born <= :commit AND (d.died IS NULL OR d.died > :commit) "
            "GROUP BY d.document_id ORDER BY d.doc_id",
            {"commit": self.snapshot.commit},
        )
        for row in rows:
            yield StoredDocument(*row)

    def document_count(self) -> int:
        """How many documents the pinned commit holds."""
        ((count,),) = self._query(
            "SELECT count(*) FROM documents "
            "WHERE born <= :commit AND (died IS NULL OR died > :commit)",
            {"commit": self.snapshot.commit},
        )
        return int(count)

    def _query(self, sql: str, parameters: list[Any] | dict[str, Any]) -> Iterator[Any]:
        with sqlite_errors(self.folder):
            yield from self._database.here.execute(sql, parameters)


def _alive(segment: Segment, dead: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """Which chunks of a segment are not among the dead ones (both ascending)."""
    chunk_ids = segment.chunk_ids
    if not len(dead) or not len(chunk_ids):
        return None
    first, last = np.searchsorted(dead, (chunk_ids[0], chunk_ids[-1] + 1))
    if first == last:
        return None
    alive = ~np.isin(chunk_ids, dead[first:last], assume_unique=True)
    return None if alive.all() else alive


def _stored_chunk(row: Sequence[Any]) -> StoredChunk:
    chunk_id, doc_id, title, source, text, start, end, *rest = row
    headings, pages, line, single_line, metadata = rest
    return StoredChunk(
        chunk_id=chunk_id,
        doc_id=doc_id,
        title=title,
        source=source,
        text=text,
        start=start,
        end=end,
        headings=tuple(json.loads(headings)),
        pages=tuple(json.loads(pages)),
        line=line,
        single_line=bool(single_line),
        metadata=json.loads(metadata),
    )

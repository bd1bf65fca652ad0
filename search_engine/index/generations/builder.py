"""Giving stored documents the chunks of a generation, from the texts that the index keeps.

A generation beside the live one is built this way, and catches up with documents that came since;
a damaged segment is made anew this way too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from search_engine.index.commit import commit_chunks, next_numbers
from search_engine.index.generations.generation import Generation, read_generation
from search_engine.index.segments.encoded import EncodedDocument, check_encoded, segment_contents
from search_engine.index.segments.merger import SegmentMerger
from search_engine.index.segments.new_segment import write_segment
from search_engine.index.store.database import Database, check_writable, limit_log, sqlite_errors
from search_engine.index.store.lock import write_lock
from search_engine.index.store.stored import documents_lacking, whole_document
from search_engine.index.writer import COMMIT_CHUNKS, COMMIT_SECONDS, LOCK_TIMEOUT_SECONDS
from search_engine.types import Document


class GenerationBuilder:
    """Adds chunks of stored documents to one generation, in commits as those of IndexWriter.

    A kill loses at most what was not committed; another builder goes on from there.

    Args:
        folder: of the index.
        merging: False leaves the segments as they are, as is needed where some are damaged.
        lock_timeout: seconds to wait for another writer's commit.

    Raises:
        IndexReadOnlyError: the folder cannot be written to.
        SnapshotGoneError: there is no such generation any more.
    """

    def __init__(
        self,
        folder: Path,
        generation_id: int,
        *,
        merging: bool = True,
        lock_timeout: float = LOCK_TIMEOUT_SECONDS,
    ) -> None:
        check_writable(folder)
        self._folder = folder
        self._merging = merging
        self._lock_timeout = lock_timeout
        self._database = Database(folder, writable=True)
        try:
            with sqlite_errors(folder):
                self.generation: Generation = self._read(generation_id)
        except BaseException:
            self._database.close()
            raise
        self._merger = SegmentMerger(folder, self._database, lock_timeout=lock_timeout)
        self._encoded: dict[int, EncodedDocument] = {}
        self._last_commit = time.monotonic()

    def __enter__(self) -> GenerationBuilder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.commit()
        finally:
            self._database.close()

    def lacking(self) -> list[int]:
        """The documents (ids of their rows) that have no chunks in the generation yet."""
        with sqlite_errors(self._folder):
            return documents_lacking(self._database.here, self.generation.generation_id)

    def documents(self, document_ids: list[int]) -> Iterator[tuple[int, Document, str]]:
        """Stored documents with their ids and content hashes; one removed meanwhile is left out."""
        for document_id in document_ids:
            with sqlite_errors(self._folder):
                found = whole_document(self._database.here, document_id)
            if found is not None:
                yield document_id, *found

    def add(self, document_id: int, encoded: EncodedDocument) -> None:
        """Give a document its chunks, in the place of those it has in the generation.

        Raises:
            IndexStoreError: what was encoded does not belong together; nothing of it is added.
        """
        self.add_all([(document_id, encoded)])

    def add_all(self, documents: Iterable[tuple[int, EncodedDocument]]) -> None:
        """Add documents that were encoded together; what is overdue is committed after the last.

        Raises:
            IndexStoreError: as for `add`; those before it are added.
        """
        for document_id, encoded in documents:
            check_encoded(encoded, self.generation.dimension)
            self._encoded[document_id] = encoded
            if sum(len(each.chunks) for each in self._encoded.values()) >= COMMIT_CHUNKS:
                self.commit()
        if time.monotonic() - self._last_commit > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Make durable what was added; documents that died meanwhile are left out.

        Raises:
            IndexLockedError: another writer did not end its commit in time.
            SnapshotGoneError: the generation was given up meanwhile.
        """
        if self._encoded:
            with (
                write_lock(self._folder, timeout=self._lock_timeout),
                sqlite_errors(self._folder),
            ):
                self._commit()
            self._encoded = {}
            with sqlite_errors(self._folder):
                limit_log(self._database)
            if self._merging:
                self._merger.merge_as_needed(self.generation.generation_id)
        self._last_commit = time.monotonic()

    def _commit(self) -> None:
        db = self._database.here
        self.generation = self._read(self.generation.generation_id)
        alive = {
            document_id
            for (document_id,) in db.execute(
                "SELECT document_id FROM documents WHERE died IS NULL "
                "AND document_id IN (SELECT value FROM json_each(?))",
                [json.dumps(list(self._encoded))],
            ).fetchall()
        }
        encoded = [(key, each) for key, each in self._encoded.items() if key in alive]
        if not encoded:
            return
        numbers = next_numbers(db)
        contents = segment_contents(
            db,
            self.generation,
            [each for _, each in encoded],
            first_chunk_id=numbers.chunk_id,
        )
        segment = write_segment(
            self._folder / "segments",
            contents,
            commit=numbers.commit,
            dense=self.generation.config.dense,
        )
        commit_chunks(db, numbers, self.generation, encoded=encoded, segment=segment)

    def _read(self, generation_id: int) -> Generation:
        return read_generation(self._database.here, generation_id, str(self._folder))

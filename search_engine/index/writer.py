"""Writing an index: documents with their vectors, in commits that are whole or not there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from search_engine.errors import GenerationChangedError
from search_engine.index.commit import commit_documents, next_numbers
from search_engine.index.generations.generation import Generation, live_generation
from search_engine.index.segments.encoded import EncodedDocument, check_encoded, segment_contents
from search_engine.index.segments.merger import SegmentMerger
from search_engine.index.segments.new_segment import write_segment
from search_engine.index.segments.removal import remove_unseen
from search_engine.index.segments.reuse import StoredEncoding, StoredEncodings
from search_engine.index.store.database import (
    Database,
    check_writable,
    limit_log,
    sqlite_errors,
    write_transaction,
)
from search_engine.index.store.known_files import (
    KnownFile,
    document_count_below,
    documents_of_file,
)
from search_engine.index.store.lock import write_lock
from search_engine.index.store.roots import Root, Settings, store_root

COMMIT_CHUNKS = 2_000
COMMIT_SECONDS = 15.0
LOCK_TIMEOUT_SECONDS = 60.0


class IndexWriter:
    """Adds, replaces and deletes documents of the live generation.

    Nothing is seen by readers before a commit. A commit happens by itself after 2,000 chunks or
    15 seconds, on `commit`, and at the end of a `with` block that raised nothing. The lock is
    held during commits only, so several writers may take turns.

    Args:
        folder: of the index.
        generation_id: the one that is written for; by default the live one.
        lock_timeout: seconds to wait for another writer's commit.

    Raises:
        IndexReadOnlyError: the folder cannot be written to.
        IndexLockedError: another writer did not end its commit in time.
    """

    def __init__(
        self,
        folder: Path,
        *,
        generation_id: int | None = None,
        lock_timeout: float = LOCK_TIMEOUT_SECONDS,
    ) -> None:
        check_writable(folder)
        self.folder = folder
        self._lock_timeout = lock_timeout
        self._database = Database(folder, writable=True)
        try:
            with sqlite_errors(folder):
                self.generation: Generation = live_generation(self._database.here, str(folder))
            # What was live when the encoders were chosen; `commit` refuses if it is not any more.
            self._generation_id = generation_id or self.generation.generation_id
            remove_unseen(folder, self._database, lock_timeout=lock_timeout)
        except BaseException:
            self._database.close()
            raise
        self._merger = SegmentMerger(folder, self._database, lock_timeout=lock_timeout)
        self._encodings = StoredEncodings(folder, self._database, self._generation_id)
        self._added: dict[str, EncodedDocument] = {}
        self._deleted: set[str] = set()
        self._files: dict[tuple[str, str], KnownFile | None] = {}
        self._pending_chunks = 0
        self._last_commit = time.monotonic()

    def __enter__(self) -> IndexWriter:
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
            self.close()

    def close(self) -> None:
        """Forget what was not committed."""
        self._database.close()

    def root(self, path: Path, *, settings: Settings | None = None) -> Root:
        """The root at a folder, made where it is new.

        Args:
            settings: how its files are read, remembered from now on; None leaves what is
                remembered.
        """
        with self._locked(), write_transaction(self._database.here):
            return store_root(self._database.here, path, settings)

    def stored_encodings(self, hashes: Sequence[bytes]) -> dict[bytes, StoredEncoding]:
        """What the generation stores of texts, by the hashes of what the encoders saw."""
        return self._encodings.find(hashes)

    def documents_of_file(self, root_id: str, relative: str) -> list[str]:
        """The ids of the committed documents of a file."""
        with sqlite_errors(self.folder):
            return documents_of_file(self._database.here, root_id, relative)

    def document_count_below(self, root_id: str) -> int:
        """How many committed documents lie below a root."""
        with sqlite_errors(self.folder):
            return document_count_below(self._database.here, root_id)

    def know_file(self, file: KnownFile) -> None:
        """Remember a file in the next commit."""
        self._files[file.root_id, file.relative] = file

    def forget_file(self, root_id: str, relative: str) -> None:
        """Forget a file in the next commit."""
        self._files[root_id, relative] = None

    def content_hash(self, doc_id: str) -> str | None:
        """The content hash of a document that is there or waits for the commit, else None.

        One that the live generation lacks counts as not there, so that adding it again mends that.
        """
        if doc_id in self._added:
            return self._added[doc_id].content_hash
        if doc_id in self._deleted:
            return None
        with sqlite_errors(self.folder):
            row = self._database.here.execute(
                "SELECT content_hash FROM documents d WHERE doc_id = ? AND died IS NULL AND EXISTS "
                "(SELECT 1 FROM chunks c WHERE c.document_id = d.document_id "
                "AND c.generation_id = ? AND c.died IS NULL)",
                [doc_id, self.generation.generation_id],
            ).fetchone()
        return None if row is None else str(row[0])

    def add(self, encoded: EncodedDocument) -> None:
        """Add a document, or replace the one of its id.

        Raises:
            IndexStoreError: what was encoded does not belong together, or is no number; nothing
                of this document is added.
        """
        self.add_all([encoded])

    def add_all(self, documents: Iterable[EncodedDocument]) -> None:
        """Add documents that were encoded together; what is overdue is committed after the last.

        Raises:
            IndexStoreError: as for `add`; those before it are added.
        """
        for encoded in documents:
            check_encoded(encoded, self.generation.dimension)
            doc_id = encoded.document.doc_id
            replaced = self._added.pop(doc_id, None)
            if replaced is not None:
                self._pending_chunks -= len(replaced.chunks)
            self._added[doc_id] = encoded
            self._pending_chunks += len(encoded.chunks)
            if self._pending_chunks >= COMMIT_CHUNKS:
                self.commit()
        if time.monotonic() - self._last_commit > COMMIT_SECONDS:
            self.commit()

    def delete(self, doc_id: str) -> bool:
        """Delete a document; False where there is none of that id."""
        if not self._has(doc_id):
            return False
        replaced = self._added.pop(doc_id, None)
        if replaced is not None:
            self._pending_chunks -= len(replaced.chunks)
        self._deleted.add(doc_id)
        return True

    def _has(self, doc_id: str) -> bool:
        if doc_id in self._added:
            return True
        if doc_id in self._deleted:
            return False
        with sqlite_errors(self.folder):
            row = self._database.here.execute(
                "SELECT 1 FROM documents WHERE doc_id = ? AND died IS NULL", [doc_id]
            ).fetchone()
        return row is not None

    def commit(self) -> None:
        """Make everything since the last commit durable and visible, in one transaction.

        Segments are merged afterwards where there are too many.

        Raises:
            IndexLockedError: another writer did not end its commit in time.
            GenerationChangedError: another generation went live meanwhile.
            OSError: the disk is full or broken. What was committed before is untouched, and what
                is waiting still waits.
        """
        if self._added or self._deleted or self._files:
            with self._locked():
                self._commit()
            self._added, self._deleted, self._files, self._pending_chunks = {}, set(), {}, 0
            with sqlite_errors(self.folder):
                limit_log(self._database)
            self._merger.merge_as_needed(self.generation.generation_id)
        self._last_commit = time.monotonic()

    def _commit(self) -> None:
        db = self._database.here
        self._check_generation()
        added = list(self._added.values())
        numbers = next_numbers(db)
        segment = None
        if self._pending_chunks:
            contents = segment_contents(db, self.generation, added, first_chunk_id=numbers.chunk_id)
            segment = write_segment(
                self.folder / "segments",
                contents,
                commit=numbers.commit,
                dense=self.generation.config.dense,
            )
        # Where this fails, the segment's folder stays behind: whether the transaction came to be is
        # for the database to say, and `remove_unseen` asks it.
        commit_documents(
            db,
            numbers,
            self.generation,
            added=added,
            deleted=self._deleted,
            files=self._files,
            segment=segment,
        )

    def _check_generation(self) -> None:
        """See that the generation is still the live one, and how it codes vectors now."""
        live = live_generation(self._database.here, str(self.folder))
        if live.generation_id != self._generation_id:
            raise GenerationChangedError(
                f"another generation of {self.folder} went live while documents were being added; "
                "those not committed yet were not added: run the same command again"
            )
        self.generation = live

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (
            write_lock(self.folder, timeout=self._lock_timeout),
            sqlite_errors(self.folder),
        ):
            yield

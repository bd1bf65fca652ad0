"""Writing an index: documents with their vectors, in commits that are whole or not there."""

from __future__ import annotations

import json
import re
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np

from search_engine.errors import IndexStoreError
from search_engine.index.commit import EncodedDocument, commit_rows, next_numbers
from search_engine.index.database import (
    Database,
    check_writable,
    sqlite_errors,
    write_transaction,
)
from search_engine.index.generation import Generation, live_generation
from search_engine.index.lock import write_lock
from search_engine.index.metric import prepare_vectors
from search_engine.index.pins import release_dead
from search_engine.index.postings import Postings, build_postings
from search_engine.index.segment import UNFINISHED, SegmentContents, write_segment

COMMIT_CHUNKS = 2_000
COMMIT_SECONDS = 15.0
LOCK_TIMEOUT_SECONDS = 60.0
_OURS = re.compile(rf"({re.escape(UNFINISHED)})?\d{{8,}}-[0-9a-f]{{8}}")


class IndexWriter:
    """Adds, replaces and deletes documents of the live generation.

    Nothing is seen by readers before a commit. A commit happens by itself after 2,000 chunks or
    15 seconds, on `commit`, and at the end of a `with` block that raised nothing. The lock is
    held during commits only, so several writers may take turns.

    Args:
        folder: of the index.
        lock_timeout: seconds to wait for another writer's commit.

    Raises:
        IndexReadOnlyError: the folder cannot be written to.
        IndexLockedError: another writer did not end its commit in time.
    """

    def __init__(self, folder: Path, *, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> None:
        check_writable(folder)
        self.folder = folder
        self._lock_timeout = lock_timeout
        self._database = Database(folder, writable=True)
        try:
            self.generation: Generation = live_generation(self._database.here, str(folder))
            self._remove_leftovers()
        except BaseException:
            self._database.close()
            raise
        self._added: dict[str, EncodedDocument] = {}
        self._deleted: set[str] = set()
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

    def root_id(self, path: Path) -> str:
        """The id of a root folder, the same on every call: its name, numbered if that is taken."""
        db = self._database.here
        with self._locked(), write_transaction(db):
            known = dict(db.execute("SELECT path, root_id FROM roots").fetchall())
            place = str(path)
            if place not in known:
                name = path.name or "root"
                taken = set(known.values())
                number = 1
                while (root_id := name if number == 1 else f"{name}-{number}") in taken:
                    number += 1
                db.execute("INSERT INTO roots (root_id, path) VALUES (?, ?)", [root_id, place])
                return root_id
            return str(known[place])

    def content_hash(self, doc_id: str) -> str | None:
        """The content hash of a document that is there or waits for the commit, else None."""
        if doc_id in self._added:
            return self._added[doc_id].content_hash
        if doc_id in self._deleted:
            return None
        with sqlite_errors(self.folder):
            row = self._database.here.execute(
                "SELECT content_hash FROM documents WHERE doc_id = ? AND died IS NULL", [doc_id]
            ).fetchone()
        return None if row is None else str(row[0])

    def add(self, encoded: EncodedDocument) -> None:
        """Add a document, or replace the one of its id.

        Raises:
            IndexStoreError: what was encoded does not belong together, or is no number; nothing
                of this document is added.
        """
        self._check(encoded)
        doc_id = encoded.document.doc_id
        replaced = self._added.pop(doc_id, None)
        if replaced is not None:
            self._pending_chunks -= len(replaced.chunks)
        self._added[doc_id] = encoded
        self._pending_chunks += len(encoded.chunks)
        overdue = time.monotonic() - self._last_commit > COMMIT_SECONDS
        if self._pending_chunks >= COMMIT_CHUNKS or overdue:
            self.commit()

    def delete(self, doc_id: str) -> bool:
        """Delete a document; False where there is none of that id."""
        if self.content_hash(doc_id) is None:
            return False
        replaced = self._added.pop(doc_id, None)
        if replaced is not None:
            self._pending_chunks -= len(replaced.chunks)
        self._deleted.add(doc_id)
        return True

    def commit(self) -> None:
        """Make everything since the last commit durable and visible, in one transaction.

        Raises:
            IndexLockedError: another writer did not end its commit in time.
            OSError: the disk is full or broken. What was committed before is untouched, and what
                is waiting still waits.
        """
        if self._added or self._deleted:
            with self._locked():
                self._commit()
            self._added, self._deleted, self._pending_chunks = {}, set(), 0
        self._last_commit = time.monotonic()

    def _commit(self) -> None:
        db = self._database.here
        added = list(self._added.values())
        numbers = next_numbers(db)
        segment = None
        if self._pending_chunks:
            segment_id = f"{numbers.commit:08d}-{uuid.uuid4().hex[:8]}"
            sha256 = write_segment(
                self.folder / "segments",
                segment_id,
                self._contents(added, numbers.chunk_id),
                dense_kind=self.generation.config.dense.kind
                if self.generation.config.dense
                else "",
            )
            segment = (segment_id, sha256)
        # Where this fails, the segment's folder stays behind: whether the transaction came to be is
        # for the database to say, and `_remove_leftovers` asks it.
        commit_rows(
            db, numbers, self.generation, added=added, deleted=self._deleted, segment=segment
        )

    def _contents(self, added: Sequence[EncodedDocument], first_chunk_id: int) -> SegmentContents:
        config = self.generation.config
        chunk_ids = np.arange(first_chunk_id, first_chunk_id + self._pending_chunks, dtype=np.int64)
        vectors = None
        postings: dict[str, Postings] = {}
        lengths = None
        if config.dense is not None:
            vectors = prepare_vectors(
                np.concatenate([each.vectors for each in added if each.vectors is not None]),
                self.generation.similarity,
            )
        if config.bm25 is not None:
            counts = [terms for each in added for terms in each.terms or ()]
            postings["bm25"] = self._count_postings(counts)
            lengths = np.array([terms.total() for terms in counts], np.int32)
        if config.splade is not None:
            rows = [each.impacts for each in added if each.impacts is not None]
            sizes = np.concatenate([np.diff(each.indptr) for each in rows])
            postings["splade"] = build_postings(
                np.concatenate([each.indices for each in rows]).astype(np.int64),
                np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
                np.concatenate([each.weights for each in rows]),
            )
        return SegmentContents(chunk_ids, vectors, postings, lengths)

    def _count_postings(self, counts: Sequence[Counter[str]]) -> Postings:
        ids = self._term_ids({term for terms in counts for term in terms})
        entries = np.array([ids[term] for terms in counts for term in terms], np.int64)
        frequencies = np.array([tf for terms in counts for tf in terms.values()], np.int64)
        ordinals = np.repeat(
            np.arange(len(counts), dtype=np.int32), [len(terms) for terms in counts]
        )
        return build_postings(entries, ordinals, frequencies)

    def _term_ids(self, terms: set[str]) -> dict[str, int]:
        """Ids of terms, new ones added. The table only grows, so no reader minds an early row."""
        db = self._database.here
        wanted = json.dumps(sorted(terms))
        with db.atomic():
            db.execute(
                "INSERT OR IGNORE INTO terms (term) SELECT value FROM json_each(?)", [wanted]
            )
        rows = db.execute(
            "SELECT term, term_id FROM terms WHERE term IN (SELECT value FROM json_each(?))",
            [wanted],
        )
        return dict(rows)

    def _check(self, encoded: EncodedDocument) -> None:
        """Whatever does not fit its chunks would shift every answer after it."""
        chunks, dimension = len(encoded.chunks), self.generation.dimension
        given = {
            "dense vectors": encoded.vectors,
            "term counts": encoded.terms,
            "sparse vectors": encoded.impacts,
        }
        place = f"document {encoded.document.doc_id!r} cannot be added"
        for what, rows in given.items():
            if rows is not None and len(rows) != chunks:
                raise IndexStoreError(f"{place}: it has {chunks} chunks and {len(rows)} {what}")
        if encoded.vectors is None:
            return
        if encoded.vectors.shape[1] != dimension:
            raise IndexStoreError(
                f"{place}: its vectors have {encoded.vectors.shape[1]} dimensions, and those of "
                f"the index {dimension}"
            )
        if not np.isfinite(encoded.vectors).all():
            raise IndexStoreError(f"{place}: its vectors hold values that are not numbers")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (
            write_lock(self.folder, timeout=self._lock_timeout),
            sqlite_errors(self.folder),
        ):
            yield

    def _remove_leftovers(self) -> None:
        """Remove segment folders that no row names, and rows of readers that are gone."""
        with self._locked():
            release_dead(self._database.here)
            named = {
                name for (name,) in self._database.here.execute("SELECT segment_id FROM segments")
            }
            for folder in (self.folder / "segments").iterdir():
                if _OURS.fullmatch(folder.name) and folder.name not in named:
                    shutil.rmtree(folder, ignore_errors=True)

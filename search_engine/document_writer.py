"""Documents in, an index out: chunking, encoding and analysis on the way to the index writer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from search_engine.config import Config
from search_engine.errors import ConfigError
from search_engine.index.analysis import Analyzer
from search_engine.index.commit import EncodedDocument
from search_engine.index.writer import IndexWriter
from search_engine.ingest.chunking import Chunker
from search_engine.ingest.text_format import format_text
from search_engine.types import Chunk, Document, SparseVectors

if TYPE_CHECKING:
    from search_engine.encoders.bi_encoder import BiEncoder
    from search_engine.encoders.sparse_encoder import SparseEncoder

# So many chunks are encoded together: enough to sort by length, few enough to be a few seconds.
ENCODE_CHUNKS = 500
# SQLite ends a text at NUL, and UTF-8 has no lone surrogates.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(slots=True)
class WriterCounts:
    """What a DocumentWriter has done so far.

    Attributes:
        added, replaced, unchanged, deleted: documents.
        chunks: those that the documents were cut into.
        encoded: those of them that are encoded.
        truncated: texts longer than the encoder reads, whose rest its vectors know nothing of.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    deleted: int = 0
    chunks: int = 0
    encoded: int = 0
    truncated: int = 0


class DocumentWriter:
    """Adds, replaces and deletes documents of an index; see IndexWriter for commits.

    Args:
        writer: where the encoded documents go.
        config: of the index.
        chunker, dense, splade, analyzer: as the configuration asks; None where a leg is off.
        on_progress: called after each batch that was encoded.
    """

    def __init__(
        self,
        writer: IndexWriter,
        config: Config,
        *,
        chunker: Chunker,
        dense: BiEncoder | None,
        splade: SparseEncoder | None,
        analyzer: Analyzer | None,
        on_progress: Callable[[WriterCounts], None] | None = None,
    ) -> None:
        self.counts = WriterCounts()
        self._writer = writer
        self._config = config
        self._chunker = chunker
        self._dense = dense
        self._splade = splade
        self._analyzer = analyzer
        self._on_progress = on_progress
        self._truncated_before = dense.truncated_texts if dense else 0
        self._waiting: dict[str, tuple[Document, str, list[Chunk]]] = {}
        self._waiting_chunks = 0

    def __enter__(self) -> DocumentWriter:
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
            self._writer.close()

    def root_id(self, path: Path) -> str:
        """The id of a root folder, with which the ids of its documents begin."""
        return self._writer.root_id(path)

    def add(self, document: Document) -> None:
        """Add a document, or replace the one of its id; one that did not change costs nothing.

        Raises:
            ConfigError: its id cannot be stored.
        """
        if _UNSTORABLE.search(document.doc_id):
            raise ConfigError(
                f"the doc_id {document.doc_id!a} has characters that cannot be stored (NUL, "
                "or half of a surrogate pair); give the document another id"
            )
        document = _storable(document)
        content_hash = _content_hash(document)
        waiting = self._waiting.get(document.doc_id)
        before = waiting[1] if waiting else self._writer.content_hash(document.doc_id)
        if before == content_hash:
            self.counts.unchanged += 1
            return
        if before is None:
            self.counts.added += 1
        else:
            self.counts.replaced += 1
        if waiting:
            self._forget(waiting[2])
        # A document without text can still be found by its title.
        chunks = self._chunker.chunk(document) or [Chunk("", 0, 0)]
        self._waiting[document.doc_id] = (document, content_hash, chunks)
        self._waiting_chunks += len(chunks)
        self.counts.chunks += len(chunks)
        if self._waiting_chunks >= ENCODE_CHUNKS:
            self._encode()

    def delete(self, doc_id: str) -> bool:
        """Delete a document; False where there is none of that id."""
        waiting = self._waiting.pop(doc_id, None)
        if waiting:
            self._forget(waiting[2])
        deleted = self._writer.delete(doc_id) or waiting is not None
        self.counts.deleted += deleted
        return deleted

    def _forget(self, chunks: list[Chunk]) -> None:
        self._waiting_chunks -= len(chunks)
        self.counts.chunks -= len(chunks)

    def commit(self) -> None:
        """Encode what waits, then make everything durable and visible."""
        self._encode()
        self._writer.commit()

    def commit_encoded(self) -> None:
        """Commit what is encoded and forget what is not: the fast way to end early."""
        self._waiting, self._waiting_chunks = {}, 0
        self._writer.commit()

    def _encode(self) -> None:
        waiting = list(self._waiting.values())
        texts = [
            format_text(
                self._config.text_format,
                title=document.title,
                headings=chunk.headings,
                text=chunk.text,
            )
            for document, _, chunks in waiting
            for chunk in chunks
        ]
        dense, splade = self._dense, self._splade
        vectors = dense.encode_document(texts, on_batch=self._advance) if dense else None
        impacts = splade.encode_document(texts) if splade else None
        terms = [self._analyzer.terms(text) for text in texts] if self._analyzer else None
        if dense:
            self.counts.truncated = dense.truncated_texts - self._truncated_before
        else:
            self._advance(len(texts))
        start = 0
        for document, content_hash, chunks in waiting:
            end = start + len(chunks)
            self._writer.add(
                EncodedDocument(
                    document,
                    content_hash,
                    chunks,
                    vectors=None if vectors is None else vectors[start:end],
                    terms=None if terms is None else terms[start:end],
                    impacts=None if impacts is None else _rows(impacts, start, end),
                )
            )
            start = end
        self._waiting, self._waiting_chunks = {}, 0

    def _advance(self, encoded: int) -> None:
        self.counts.encoded += encoded
        if self._on_progress:
            self._on_progress(self.counts)


def _rows(vectors: SparseVectors, start: int, end: int) -> SparseVectors:
    indptr = vectors.indptr[start : end + 1]
    entries = slice(int(indptr[0]), int(indptr[-1]))
    return SparseVectors(
        indptr - indptr[0], vectors.indices[entries], vectors.weights[entries], vectors.size
    )


def _storable(document: Document) -> Document:
    """The document with U+FFFD for the characters that cannot be stored, lengths unchanged."""
    text, title = (_UNSTORABLE.sub("\ufffd", each) for each in (document.text, document.title))
    source = None if document.source is None else _UNSTORABLE.sub("\ufffd", document.source)
    return replace(document, text=text, title=title, source=source)


def _content_hash(document: Document) -> str:
    """Hex digest of all that a reader found, but for the path by which the file was reached."""
    content = (
        document.title,
        document.text,
        document.markup,
        document.first_line,
        document.single_line,
        document.pages,
        dict(document.metadata),
    )
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()

"""Documents in, an index out: chunking, encoding and analysis on the way to the index writer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, TracebackType

from search_engine.config import Config
from search_engine.errors import ConfigError
from search_engine.index.store.content_hash import content_hash_of
from search_engine.index.store.known_files import KnownFile
from search_engine.index.store.roots import Root, Settings
from search_engine.index.writer import IndexWriter
from search_engine.ingest.language import detect_language, normalize_language
from search_engine.legs import ENCODE_CHUNKS, Legs, UnreadableChunks
from search_engine.near_duplicates.signature import signature_of
from search_engine.types import Chunk, Document

# SQLite ends a text at NUL, and UTF-8 has no lone surrogates.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(slots=True)
class WriterCounts:
    """What a DocumentWriter has done so far.

    Attributes:
        added, replaced, unchanged, deleted: documents.
        chunks: those that the documents were cut into.
        encoded: texts that were encoded.
        reused: chunks whose text the index had encoded before.
        truncated: texts longer than the encoder reads, whose rest its vectors know nothing of.
        unreadable: encoded chunks by language, of whose words the dense encoder does not know too
            many; "" stands for a language that is not known.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    deleted: int = 0
    chunks: int = 0
    encoded: int = 0
    reused: int = 0
    truncated: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)


class DocumentWriter:
    """Adds, replaces and deletes documents of an index; see IndexWriter for commits.

    Args:
        writer: where the encoded documents go.
        config: of the index.
        legs: what the configuration names.
        on_progress: called after each batch that was encoded.
    """

    def __init__(
        self,
        writer: IndexWriter,
        config: Config,
        *,
        legs: Legs,
        on_progress: Callable[[WriterCounts], None] | None = None,
    ) -> None:
        self.counts = WriterCounts()
        self._writer = writer
        self._config = config
        self._legs = legs
        self._cut = legs.cutter(config)
        self._on_progress = on_progress
        self._truncated_before = legs.truncated_texts
        self._waiting: dict[str, tuple[Document, str, list[Chunk]]] = {}
        self._waiting_chunks = 0
        # Files of which documents may still wait: they are known once those are.
        self._known_files: list[KnownFile] = []

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

    def root(self, path: Path, *, settings: Settings | None = None) -> Root:
        """See IndexWriter."""
        return self._writer.root(path, settings=settings)

    def documents_of_file(self, root_id: str, relative: str) -> list[str]:
        """The ids of the committed documents of a file."""
        return self._writer.documents_of_file(root_id, relative)

    def document_count_below(self, root_id: str) -> int:
        """How many committed documents lie below a root."""
        return self._writer.document_count_below(root_id)

    def begin_file(self, root_id: str, relative: str) -> None:
        """Remember, no later than the first document of a file, that it is being read.

        Whatever ends the run before `know_file`, its documents are known to be of this file.
        """
        self._writer.know_file(KnownFile.unread(root_id, relative))

    def know_file(self, file: KnownFile) -> None:
        """Remember a file whose documents were all added or deleted, together with the last."""
        self._known_files.append(file)

    def forget_file(self, root_id: str, relative: str) -> None:
        """Forget a file in the next commit."""
        self._writer.forget_file(root_id, relative)

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
        document = _with_language(_storable(document))
        content_hash = content_hash_of(document)
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
        chunks = self._cut(document)
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
        self._waiting, self._waiting_chunks, self._known_files = {}, 0, []
        self._writer.commit()

    def _encode(self) -> None:
        waiting = list(self._waiting.values())
        encoded = self.counts.encoded
        encodings = self._legs.encode(
            self._config,
            waiting,
            stored=self._writer.stored_encodings,
            on_batch=self._advance,
            on_unreadable=self._count_unreadable,
        )
        self._writer.add_all(
            replace(each, signature=signature_of(each.document.text)) for each in encodings
        )
        self.counts.reused += self._waiting_chunks - (self.counts.encoded - encoded)
        self.counts.truncated = self._legs.truncated_texts - self._truncated_before
        for file in self._known_files:
            self._writer.know_file(file)
        self._waiting, self._waiting_chunks, self._known_files = {}, 0, []

    def _count_unreadable(self, chunks: UnreadableChunks) -> None:
        language = chunks.language or ""
        unreadable = self.counts.unreadable
        unreadable[language] = unreadable.get(language, 0) + chunks.count

    def _advance(self, encoded: int) -> None:
        self.counts.encoded += encoded
        if self._on_progress:
            self._on_progress(self.counts)


def _storable(document: Document) -> Document:
    """The document with U+FFFD for the characters that cannot be stored, lengths unchanged."""
    text, title = (_UNSTORABLE.sub("\ufffd", each) for each in (document.text, document.title))
    source = None if document.source is None else _UNSTORABLE.sub("\ufffd", document.source)
    return replace(document, text=text, title=title, source=source)


def _with_language(document: Document) -> Document:
    """The document with the code of its language in its metadata, where that can be told."""
    given = document.metadata.get("language")
    language = detect_language(document.text) if given is None else normalize_language(given)
    if language is None or language == given:
        return document
    return replace(document, metadata=MappingProxyType({**document.metadata, "language": language}))

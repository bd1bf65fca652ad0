"""The encoders and the analyzer that an index names, loaded once, and what they make of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search_engine.config import Compute, Config
from search_engine.index.analysis import AUTO, Analyzer
from search_engine.index.dense.metric import prepare_vectors
from search_engine.index.segments.encoded import EncodedDocument
from search_engine.index.segments.reuse import StoredEncoding
from search_engine.ingest.language import normalize_language
from search_engine.ingest.text_format import format_text
from search_engine.types import Chunk, Document, SparseVectors

if TYPE_CHECKING:
    from search_engine.encoders.bi_encoder import BiEncoder
    from search_engine.encoders.cross_encoder import CrossEncoder
    from search_engine.encoders.sparse_encoder import SparseEncoder
    from search_engine.ingest.chunking import Chunker

# So many chunks are encoded together: enough to sort by length, few enough to be a few seconds.
ENCODE_CHUNKS = 500
# Of what an encoder reads; the rest is for title and headings. 200 of the default's 256 tokens.
CHUNK_SHARE = 200 / 256


@dataclass(frozen=True, slots=True)
class UnreadableChunks:
    """How many chunks of a document have too many words that the dense encoder does not know.

    Attributes:
        language: of the document, an ISO 639-1 code; None where it is not known.
        count: of the chunks, one at least.
    """

    doc_id: str
    language: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Legs:
    """What the settings of an index name, loaded; None where a leg or a stage is off.

    Attributes:
        lexical: the analyzer of BM25 and of the highlight; there even where BM25 is off.
    """

    dense: BiEncoder | None
    splade: SparseEncoder | None
    reranker: CrossEncoder | None
    lexical: Analyzer

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """The fingerprints of the encoders whose vectors are stored."""
        encoders = {"dense": self.dense, "splade": self.splade}
        return {name: each.fingerprint for name, each in encoders.items() if each is not None}

    @property
    def truncated_texts(self) -> int:
        """How many texts so far were longer than the dense encoder reads."""
        return self.dense.truncated_texts if self.dense is not None else 0

    def chunker(self, config: Config) -> Chunker:
        """The chunker, counting in tokens of the encoder that reads the chunks.

        An encoder that reads less than chunk, title and headings come to gets shorter chunks.
        """
        from search_engine.ingest.chunking import Chunker

        encoder = self.dense or self.splade
        if encoder is None:
            return Chunker(config.chunking)
        most = max(1, int(encoder.max_tokens * CHUNK_SHARE))
        chunking = config.chunking
        if chunking.max_tokens > most:
            chunking = chunking.model_copy(update={"max_tokens": most})
        return Chunker(chunking, encoder.tokenizer)

    def cutter(self, config: Config) -> Callable[[Document], list[Chunk]]:
        """What cuts documents into chunks, of which every document has one at least."""
        chunker = self.chunker(config)
        # A document without text can still be found by its title.
        return lambda document: chunker.chunk(document) or [Chunk("", 0, 0)]

    def encode(
        self,
        config: Config,
        documents: Sequence[tuple[Document, str, Sequence[Chunk]]],
        *,
        stored: Callable[[Sequence[bytes]], Mapping[bytes, StoredEncoding]] | None = None,
        on_batch: Callable[[int], None] | None = None,
        on_unreadable: Callable[[UnreadableChunks], None] | None = None,
    ) -> Iterator[EncodedDocument]:
        """Documents with what every leg stores of their chunks, encoded together.

        A text that occurs several times is encoded once, and one that is stored already not at all.

        Args:
            documents: each with its content hash and its chunks.
            stored: gives what is stored of texts, by the hashes of what the encoders see.
            on_batch: called with the number of texts of each batch that was encoded.
            on_unreadable: called before each document with chunks that were encoded now and that
                the dense encoder cannot read.
        """
        texts = [
            format_text(
                config.text_format, title=document.title, headings=chunk.headings, text=chunk.text
            )
            for document, _, chunks in documents
            for chunk in chunks
        ]
        hashes = [blake2b(text.encode(), digest_size=16).digest() for text in texts]
        known = stored(hashes) if stored is not None else {}
        fresh: dict[bytes, str] = {
            text_hash: text
            for text_hash, text in zip(hashes, texts, strict=True)
            if text_hash not in known
        }
        unreadable: set[bytes] = set()
        fresh_hashes = list(fresh)
        encoded = {
            **known,
            **self._encode_texts(fresh, on_batch, lambda row: unreadable.add(fresh_hashes[row])),
        }
        terms = None
        if config.bm25 is not None:
            languages = [language_of(document) for document, _, chunks in documents for _ in chunks]
            terms = [
                self.lexical.terms(text, language=language)
                for text, language in zip(texts, languages, strict=True)
            ]
        start = 0
        for document, content_hash, chunks in documents:
            end = start + len(chunks)
            encodings = [encoded[text_hash] for text_hash in hashes[start:end]]
            count = sum(text_hash in unreadable for text_hash in hashes[start:end])
            if count and on_unreadable is not None:
                on_unreadable(UnreadableChunks(document.doc_id, language_of(document), count))
            yield EncodedDocument(
                document,
                content_hash,
                chunks,
                vectors=_stack_vectors(encodings) if self.dense is not None else None,
                terms=None if terms is None else terms[start:end],
                impacts=_stack_impacts(encodings, self.splade) if self.splade is not None else None,
                text_hashes=hashes[start:end],
            )
            start = end

    def _encode_texts(
        self,
        texts: Mapping[bytes, str],
        on_batch: Callable[[int], None] | None,
        on_unknown: Callable[[int], None],
    ) -> dict[bytes, StoredEncoding]:
        """What is to be stored of texts, by their hashes."""
        vectors = impacts = None
        if self.dense is not None:
            vectors = prepare_vectors(
                self.dense.encode_document(
                    list(texts.values()), on_batch=on_batch, on_unknown=on_unknown
                ),
                self.dense.similarity,
            )
        elif on_batch is not None:
            on_batch(len(texts))
        if self.splade is not None:
            impacts = self.splade.encode_document(list(texts.values()))
        return {
            text_hash: StoredEncoding(
                None if vectors is None else vectors[row],
                None if impacts is None else impacts.row(row),
            )
            for row, text_hash in enumerate(texts)
        }


def language_of(document: Document) -> str | None:
    """The ISO 639-1 code of the language that a document's metadata names, if any."""
    return normalize_language(document.metadata.get("language"))


def _stack_vectors(encodings: Sequence[StoredEncoding]) -> NDArray[np.float32]:
    return np.stack([each.vector for each in encodings if each.vector is not None])


def _stack_impacts(encodings: Sequence[StoredEncoding], encoder: SparseEncoder) -> SparseVectors:
    rows = [each.impacts for each in encodings if each.impacts is not None]
    indptr = np.cumsum([0, *(len(indices) for indices, _ in rows)], dtype=np.int64)
    return SparseVectors(
        indptr,
        np.concatenate([indices for indices, _ in rows]),
        np.concatenate([weights for _, weights in rows]),
        encoder.size,
    )


def load_legs(config: Config, compute: Compute) -> Legs:
    """Load every model that the settings name.

    Raises:
        ModelNotFoundError, CheckpointError: from the encoders.
        ConfigError: BM25's language is unknown.
    """
    # Imported here, since each brings its own libraries and most indexes need one of them.
    dense = splade = reranker = None
    options = compute.model_dump()
    if config.dense is not None:
        from search_engine.encoders.bi_encoder import BiEncoder

        dense = BiEncoder(config.dense.model, **options)
    if config.splade is not None:
        from search_engine.encoders.sparse_encoder import SparseEncoder

        splade = SparseEncoder(config.splade.model, **options)
    if config.rerank is not None:
        from search_engine.encoders.cross_encoder import CrossEncoder

        reranker = CrossEncoder(config.rerank.model, **options)
        reranker.check_single_label()
    language = config.bm25.language if config.bm25 is not None else AUTO
    return Legs(dense, splade, reranker, Analyzer(language))

"""The encoders and the analyzer that an index names, loaded once, and what they make of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_engine.config import Compute, Config
from search_engine.index.analysis import Analyzer
from search_engine.index.segments.encoded import EncodedDocument
from search_engine.ingest.chunking import Chunker
from search_engine.ingest.text_format import format_text
from search_engine.types import Chunk, Document, SparseVectors

if TYPE_CHECKING:
    from search_engine.encoders.bi_encoder import BiEncoder
    from search_engine.encoders.cross_encoder import CrossEncoder
    from search_engine.encoders.sparse_encoder import SparseEncoder

# So many chunks are encoded together: enough to sort by length, few enough to be a few seconds.
ENCODE_CHUNKS = 500
DEFAULT_LANGUAGE = "english"
# Of what an encoder reads; the rest is for title and headings. 200 of the default's 256 tokens.
CHUNK_SHARE = 200 / 256


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
        on_batch: Callable[[int], None] | None = None,
    ) -> Iterator[EncodedDocument]:
        """Documents with what every leg stores of their chunks, encoded together.

        Args:
            documents: each with its content hash and its chunks.
            on_batch: called with the number of chunks of each batch that was encoded.
        """
        texts = [
            format_text(
                config.text_format, title=document.title, headings=chunk.headings, text=chunk.text
            )
            for document, _, chunks in documents
            for chunk in chunks
        ]
        vectors = impacts = terms = None
        if self.dense is not None:
            vectors = self.dense.encode_document(texts, on_batch=on_batch)
        elif on_batch is not None:
            on_batch(len(texts))
        if self.splade is not None:
            impacts = self.splade.encode_document(texts)
        if config.bm25 is not None:
            terms = [self.lexical.terms(text) for text in texts]
        start = 0
        for document, content_hash, chunks in documents:
            end = start + len(chunks)
            yield EncodedDocument(
                document,
                content_hash,
                chunks,
                vectors=None if vectors is None else vectors[start:end],
                terms=None if terms is None else terms[start:end],
                impacts=None if impacts is None else _rows(impacts, start, end),
            )
            start = end


def _rows(vectors: SparseVectors, start: int, end: int) -> SparseVectors:
    indptr = vectors.indptr[start : end + 1]
    entries = slice(int(indptr[0]), int(indptr[-1]))
    return SparseVectors(
        indptr - indptr[0], vectors.indices[entries], vectors.weights[entries], vectors.size
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
    language = config.bm25.language if config.bm25 is not None else DEFAULT_LANGUAGE
    return Legs(dense, splade, reranker, Analyzer(language))

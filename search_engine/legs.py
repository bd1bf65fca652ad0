"""The encoders and the analyzer that an index names, loaded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_engine.config import Compute, Config
from search_engine.index.analysis import Analyzer
from search_engine.ingest.chunking import Chunker

if TYPE_CHECKING:
    from search_engine.encoders.bi_encoder import BiEncoder
    from search_engine.encoders.cross_encoder import CrossEncoder
    from search_engine.encoders.sparse_encoder import SparseEncoder

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

"""A generation: one way of making vectors (chunking, encoders, text format, kind) of an index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import sqlite_utils
from pydantic import ValidationError

from search_engine.config import Config
from search_engine.errors import EncoderMismatchError, IndexCorruptError, IndexFormatError


@dataclass(frozen=True, slots=True)
class Generation:
    """One row of `generations`.

    Attributes:
        fingerprint: hex digest over the encoders' weights and every setting that changes what is
            stored.
        config: all settings.
        dimension, similarity: of the dense vectors; None without a dense leg.
    """

    generation_id: int
    fingerprint: str
    config: Config
    dimension: int | None
    similarity: str | None

    @property
    def name(self) -> str:
        """A short name for people: the first 12 digits of the fingerprint."""
        return self.fingerprint[:12]


def fingerprint_of(config: Config, encoders: Mapping[str, str]) -> str:
    """The fingerprint of a generation, in hex.

    Args:
        config: the settings; those of the query path (fusion, reranking, BM25's k1 and b) change
            nothing that is stored and are left out.
        encoders: the encoders' own fingerprints, by leg.
    """
    stored = {
        "chunking": config.chunking.model_dump(),
        "text_format": config.text_format,
        "dense_kind": config.dense.kind if config.dense else None,
        "bm25_language": config.bm25.language if config.bm25 else None,
        "encoders": dict(encoders),
    }
    return hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()


def check_encoders(generation: Generation, encoders: Mapping[str, str], place: str) -> None:
    """Refuse encoders that would not make the vectors that are stored.

    Raises:
        EncoderMismatchError: with the model's name and what to do.
    """
    if fingerprint_of(generation.config, encoders) == generation.fingerprint:
        return
    config = generation.config
    models = [leg.model for leg in (config.dense, config.splade) if leg is not None]
    raise EncoderMismatchError(
        f"the index at {place} was built with {' and '.join(models)}, and what is found under "
        "that name now is not the same model (its weights or its settings changed); put the "
        "earlier model back, or build a new index from the documents"
    )


def insert_generation(db: sqlite_utils.Database, generation: Generation, *, live: bool) -> None:
    """Add the row; the caller holds the transaction."""
    db.execute(
        "INSERT INTO generations (generation_id, fingerprint, config, dimension, similarity, live)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            generation.generation_id,
            generation.fingerprint,
            generation.config.model_dump_json(),
            generation.dimension,
            generation.similarity,
            int(live),
        ],
    )


def live_generation(db: sqlite_utils.Database, place: str) -> Generation:
    """The generation that answers queries.

    Raises:
        IndexCorruptError: there is none.
        IndexFormatError: its settings are none that this version knows.
    """
    row = db.execute(
        "SELECT generation_id, fingerprint, config, dimension, similarity FROM generations "
        "WHERE live = 1"
    ).fetchone()
    if row is None:
        raise IndexCorruptError(
            f"{place} has no live generation; restore it from a copy, or remove the folder and "
            "index the documents again"
        )
    generation_id, fingerprint, config, dimension, similarity = row
    try:
        settings = Config.model_validate_json(config)
    except ValidationError as error:
        raise IndexFormatError(
            f"the settings saved in {place} are not known to this version ({error}); use the "
            "version of search-engine that wrote them, or build the index again"
        ) from error
    return Generation(generation_id, fingerprint, settings, dimension, similarity)

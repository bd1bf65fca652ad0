"""A generation: one way of making vectors (chunking, encoders, text format, kind) of an index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import sqlite_utils
from numpy.typing import NDArray
from pydantic import ValidationError

from search_engine.config import Config, Precision
from search_engine.errors import (
    EncoderMismatchError,
    IndexCorruptError,
    IndexFormatError,
    SnapshotGoneError,
)
from search_engine.index.dense.dense_kinds import dense_kinds

GenerationState: TypeAlias = Literal["building", "live", "previous", "retired"]


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """One row of `generations`.

    Attributes:
        fingerprint: hex digest over the encoders' weights and every setting that changes what is
            stored.
        config: all settings.
        dimension, similarity: of the dense vectors; None without a dense leg.
        ranges: float32 [2, dim], minimum and maximum of each dimension, by which vectors become
            8-bit codes; None for other precisions, and until there are enough vectors.
    """

    generation_id: int
    fingerprint: str
    config: Config
    dimension: int | None
    similarity: str | None
    ranges: NDArray[np.float32] | None = None

    @property
    def name(self) -> str:
        """A short name for people: the first 12 digits of the fingerprint."""
        return self.fingerprint[:12]

    @property
    def stored_precision(self) -> Precision:
        """How vectors are stored now: as float32 until the ranges of 8-bit codes are known."""
        dense = self.config.dense
        if dense is None or (dense.precision == "int8" and self.ranges is None):
            return "float32"
        return dense.precision


def fingerprint_of(config: Config, encoders: Mapping[str, str]) -> str:
    """The fingerprint of a generation, in hex.

    Args:
        config: the settings; those of the query path (fusion, reranking, BM25's k1 and b) change
            nothing that is stored and are left out.
        encoders: the encoders' own fingerprints, by leg.
    """
    stored: dict[str, object] = {
        "chunking": config.chunking.model_dump(),
        "text_format": config.text_format,
        "dense_kind": config.dense.kind if config.dense else None,
        "bm25_language": config.bm25.language if config.bm25 else None,
        "encoders": dict(encoders),
    }
    # Settings that came later stand here only where they are not what was before them.
    if config.dense is not None and config.dense.precision != "float32":
        stored["precision"] = config.dense.precision
    if config.dense is not None and config.dense.kind != "flat":
        stored["graph"] = [config.dense.m, config.dense.ef_construction]
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


def check_dense_kind(generation: Generation) -> None:
    """Refuse a dense kind that cannot serve the model's similarity or the precision.

    Raises:
        ConfigError: with the reason.
    """
    dense = generation.config.dense
    if dense is not None and generation.similarity is not None:
        dense_kinds.get(dense.kind).check(dense, generation.similarity)


def insert_generation(
    db: sqlite_utils.Database, generation: Generation, *, state: GenerationState
) -> None:
    """Add the row; the caller holds the transaction."""
    db.execute(
        "INSERT INTO generations (generation_id, fingerprint, config, dimension, similarity, state)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            generation.generation_id,
            generation.fingerprint,
            generation.config.model_dump_json(),
            generation.dimension,
            generation.similarity,
            state,
        ],
    )


def change_settings(db: sqlite_utils.Database, generation_id: int, config: Config) -> None:
    """Save other settings that leave the fingerprint as it is; the caller holds the transaction."""
    db.execute(
        "UPDATE generations SET config = ? WHERE generation_id = ?",
        [config.model_dump_json(), generation_id],
    )


def live_generation(db: sqlite_utils.Database, place: str) -> Generation:
    """The generation that answers queries.

    Raises:
        IndexCorruptError: there is none.
        IndexFormatError: its settings are none that this version knows.
    """
    found = generation_in_state(db, "live", place)
    if found is None:
        raise IndexCorruptError(
            f"{place} has no live generation; restore it from a copy, or remove the folder and "
            "index the documents again"
        )
    return found


def generation_in_state(
    db: sqlite_utils.Database, state: GenerationState, place: str
) -> Generation | None:
    """The newest generation in a state, None where there is none."""
    row = db.execute(
        "SELECT generation_id, fingerprint, config, dimension, similarity, ranges "
        "FROM generations WHERE state = ? ORDER BY generation_id DESC",
        [state],
    ).fetchone()
    return None if row is None else _generation(row, place)


def read_generation(db: sqlite_utils.Database, generation_id: int, place: str) -> Generation:
    """One generation by its id.

    Raises:
        SnapshotGoneError: it was given up.
    """
    row = db.execute(
        "SELECT generation_id, fingerprint, config, dimension, similarity, ranges "
        "FROM generations WHERE generation_id = ? AND state <> 'retired'",
        [generation_id],
    ).fetchone()
    if row is None:
        raise SnapshotGoneError(f"generation {generation_id} of {place} was given up meanwhile")
    return _generation(row, place)


def stored_generations(
    db: sqlite_utils.Database, place: str
) -> list[tuple[Generation, GenerationState]]:
    """Every generation that is kept, with its state, oldest first."""
    rows = db.execute(
        "SELECT generation_id, fingerprint, config, dimension, similarity, ranges, state "
        "FROM generations WHERE state <> 'retired' ORDER BY generation_id"
    ).fetchall()
    return [(_generation(row[:-1], place), row[-1]) for row in rows]


def _generation(row: Sequence[Any], place: str) -> Generation:
    generation_id, fingerprint, config, dimension, similarity, ranges = row
    try:
        settings = Config.model_validate_json(config)
    except ValidationError as error:
        raise IndexFormatError(
            f"the settings saved in {place} are not known to this version ({error}); use the "
            "version of search-engine that wrote them, or build the index again"
        ) from error
    return Generation(
        generation_id,
        fingerprint,
        settings,
        dimension,
        similarity,
        None if ranges is None else np.frombuffer(ranges, "<f4").reshape(2, -1),
    )

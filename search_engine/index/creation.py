"""Making an empty index."""

from __future__ import annotations

from pathlib import Path

from search_engine.index.database import create_database
from search_engine.index.dense_kinds import dense_kinds
from search_engine.index.generation import Generation, insert_generation


def create_index(folder: Path, generation: Generation) -> None:
    """Make an empty index with one generation, which is live.

    Raises:
        IndexExistsError, IndexReadOnlyError: see create_database.
        ConfigError: the dense kind cannot serve the model's similarity.
    """
    dense = generation.config.dense
    if dense is not None and generation.similarity is not None:
        dense_kinds.get(dense.kind).check_similarity(generation.similarity)
    create_database(folder, fill=lambda db: insert_generation(db, generation, live=True))

"""Making an empty index."""

from __future__ import annotations

from pathlib import Path

from search_engine.index.generations.generation import (
    Generation,
    check_dense_kind,
    insert_generation,
)
from search_engine.index.store.database import create_database


def create_index(folder: Path, generation: Generation) -> None:
    """Make an empty index with one generation, which is live.

    Raises:
        IndexExistsError, IndexReadOnlyError: see create_database.
        ConfigError: the dense kind cannot serve the model's similarity.
    """
    check_dense_kind(generation)
    create_database(folder, fill=lambda db: insert_generation(db, generation, state="live"))

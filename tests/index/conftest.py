"""Small indexes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from search_engine.config import Config
from search_engine.index.creation import create_index
from search_engine.index.generation import Generation
from tests.index.documents import DIMENSION


@pytest.fixture
def make_index(tmp_path: Path) -> Callable[[str], Path]:
    """Makes an empty index of 8-dimensional vectors and BM25."""

    def make(name: str = "index") -> Path:
        folder = tmp_path / name
        create_index(folder, Generation(1, "f" * 64, Config(), DIMENSION, "dot"))
        return folder

    return make

"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from search_engine.config import Config
from search_engine.index.creation import create_index
from search_engine.index.generations.generation import Generation
from tests.index.documents import DIMENSION

_REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def bfloat16_as_asked() -> Iterator[None]:
    """Where the environment variable says so, "auto" finds no bfloat16 in the processor."""
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("SEARCH_ENGINE_TEST_WITHOUT_BFLOAT16"):
            from search_engine.encoders.backends import selection

            patch.setattr(selection, "_cpu_has_bfloat16", lambda: False)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data beside the repository; tests that need it skip without it.

    The environment variable SEARCH_ENGINE_SHARED_DATA names another place.
    """
    override = os.environ.get("SEARCH_ENGINE_SHARED_DATA")
    folder = Path(override) if override else _REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not here")
    return folder


@pytest.fixture
def make_index(tmp_path: Path) -> Callable[[str], Path]:
    """Makes an empty index of 8-dimensional vectors and BM25."""

    def make(name: str = "index") -> Path:
        folder = tmp_path / name
        create_index(folder, Generation(1, "f" * 64, Config(), DIMENSION, "dot"))
        return folder

    return make

"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[1]


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

"""The same tiny checkpoints as the encoders' own tests."""

from __future__ import annotations

import pytest

from tests.encoders.conftest import bert, classifier, masked_lm, private_cache

__all__ = ["bert", "classifier", "masked_lm", "private_cache"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The reference library reads deprecated attributes of its own dependencies.
    for item in items:
        if "parity" in item.path.parts:
            for category in ("FutureWarning", "DeprecationWarning"):
                for origin in ("sentence_transformers", "transformers", "torch"):
                    item.add_marker(pytest.mark.filterwarnings(rf"ignore::{category}:{origin}.*"))

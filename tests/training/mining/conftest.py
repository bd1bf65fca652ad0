"""The same tiny checkpoints as the encoders' own tests, and a bi-encoder made of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder
from tests.encoders.checkpoints import write_sentence_transformer
from tests.encoders.conftest import bert, classifier, masked_lm, private_cache

__all__ = ["bert", "classifier", "masked_lm", "private_cache"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The reference library reads deprecated attributes of its own dependencies.
    for item in items:
        if "mining" in item.path.parts:
            for category in ("FutureWarning", "DeprecationWarning"):
                for origin in ("sentence_transformers", "transformers", "torch"):
                    item.add_marker(pytest.mark.filterwarnings(rf"ignore::{category}:{origin}.*"))


@pytest.fixture(scope="session")
def bi_encoder_folder(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Prompts, so that queries and documents that were taken for each other would show.
    return write_sentence_transformer(
        tmp_path_factory.mktemp("bi") / "model",
        bert,
        prompts={"query": "query of ", "document": "document: "},
    )


@pytest.fixture(scope="session")
def encoder(bi_encoder_folder: Path) -> BiEncoder:
    return BiEncoder(str(bi_encoder_folder), backend="torch", dtype="float32", offline=True)


@pytest.fixture(scope="session")
def cross_encoder(classifier: Path) -> CrossEncoder:
    return CrossEncoder(str(classifier), backend="torch", dtype="float32", offline=True)

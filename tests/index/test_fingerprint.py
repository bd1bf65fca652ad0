"""What changes the fingerprint of a generation."""

from __future__ import annotations

import pytest

from search_engine.config import BM25Config, ChunkingConfig, Config, FusionConfig
from search_engine.index.generations.generation import fingerprint_of


@pytest.mark.parametrize(
    "change",
    [
        {"chunking": ChunkingConfig(max_tokens=100)},
        {"chunking": ChunkingConfig(strategy="none")},
        {"text_format": "other/1"},
        {"bm25": None},
        {"bm25": BM25Config(language="german")},
    ],
)
def test_what_changes_what_is_stored_changes_the_fingerprint(change) -> None:
    encoders = {"dense": "1234"}
    base = fingerprint_of(Config(), encoders)
    assert fingerprint_of(Config().model_copy(update=change), encoders) != base
    assert fingerprint_of(Config(), {"dense": "4321"}) != base
    asked_otherwise = Config(bm25=BM25Config(k1=2), fusion=FusionConfig(method="rrf"))
    assert fingerprint_of(asked_otherwise, encoders) == base

"""Tiny random teachers and students, and texts of the words that their tokenizer knows."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.encoders.checkpoints import WORDS, write_sentence_transformer, write_trunk
from tests.encoders.conftest import bert, classifier, masked_lm, private_cache

__all__ = ["bert", "classifier", "masked_lm", "private_cache"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The reference library reads deprecated attributes of its own dependencies.
    for item in items:
        if "distillation" in item.path.parts:
            for category in ("FutureWarning", "DeprecationWarning"):
                for origin in ("sentence_transformers", "transformers", "torch"):
                    item.add_marker(pytest.mark.filterwarnings(rf"ignore::{category}:{origin}.*"))


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bi-encoder of four layers and 16 dimensions, with prompts, whose vectors have length 1."""
    folder = tmp_path_factory.mktemp("teacher")
    return write_sentence_transformer(
        folder / "model",
        write_trunk(folder / "trunk", layers=4, seed=3),
        normalize=True,
        prompts={"query": "query ", "document": "document "},
    )


@pytest.fixture(scope="session")
def texts() -> list[str]:
    draw = random.Random(5)
    return [" ".join(draw.choices(WORDS, k=draw.randint(2, 9))) for _ in range(240)]


@pytest.fixture
def rows(tmp_path: Path, texts: list[str]) -> Path:
    """Forty queries with a positive and two negatives each."""
    path = tmp_path / "rows.jsonl"
    names = ("query", "positive", "negative_1", "negative_2")
    lines = [
        json.dumps(dict(zip(names, texts[start : start + 4], strict=True)))
        for start in range(0, 160, 4)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path

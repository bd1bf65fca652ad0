"""The same tiny checkpoints as the encoders' own tests."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.encoders.checkpoints import write_sentence_transformer
from tests.encoders.conftest import bert, classifier, masked_lm, private_cache

__all__ = ["bert", "classifier", "masked_lm", "private_cache"]


@pytest.fixture(scope="session")
def dense_encoder(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bi-encoder with modules after its transformer that have weights."""
    folder = tmp_path_factory.mktemp("dense") / "model"
    return write_sentence_transformer(folder, bert, dense=True)


@pytest.fixture(scope="session", autouse=True)
def few_objects_to_collect() -> Iterator[None]:
    """Each training collects garbage, which takes a second with all that was imported before."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def handler_of_dead_children() -> Iterator[None]:
    """What torch does when a process dies is taken back with the loader whose processes it watches.

    It stays in place otherwise, and the death of any later child of the tests ends them.
    """
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)

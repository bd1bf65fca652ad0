"""The same tiny checkpoints as the encoders' own tests."""

from __future__ import annotations

from tests.encoders.conftest import bert, classifier, masked_lm, private_cache

__all__ = ["bert", "classifier", "masked_lm", "private_cache"]

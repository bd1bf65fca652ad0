"""Vectors to unit length."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn import functional

from search_engine.encoders.modules.module import Features


class Normalize(nn.Module):
    """Vectors to unit length."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    @classmethod
    def load(cls, _folder: Path, _config: Mapping[str, Any], *, width: int) -> Normalize:
        """There is nothing to read."""
        return cls(width)

    def config(self) -> dict[str, Any]:
        """Nothing to say."""
        return {}

    def forward(self, features: Features) -> Features:
        vector = features["sentence_embedding"]
        features["sentence_embedding"] = functional.normalize(vector, dim=-1)
        return features

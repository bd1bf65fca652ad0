"""Layer normalization after the pooling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from search_engine.encoders.checkpoints.weights import load_weights
from search_engine.encoders.modules.module import Features


class LayerNorm(nn.Module):
    """Vectors normalized over their numbers, with a learned scale and shift (Ba et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.norm = nn.LayerNorm(width)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> LayerNorm:
        """Read the weights."""
        module = cls(int(config.get("dimension", width)))
        load_weights(module, folder)
        return module

    def config(self) -> dict[str, Any]:
        """The width."""
        return {"dimension": self.width}

    def forward(self, features: Features) -> Features:
        features["sentence_embedding"] = self.norm(features["sentence_embedding"])
        return features

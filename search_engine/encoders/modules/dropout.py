"""Dropout after the pooling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from search_engine.encoders.modules.module import Features


class Dropout(nn.Module):
    """Numbers set to zero at random while training; vectors as they are otherwise."""

    def __init__(self, width: int, *, probability: float) -> None:
        super().__init__()
        self.width = width
        self.dropout_layer = nn.Dropout(probability)

    @classmethod
    def load(cls, _folder: Path, config: Mapping[str, Any], *, width: int) -> Dropout:
        """Read the probability; not given, it is 0.2."""
        return cls(width, probability=float(config.get("dropout", 0.2)))

    def config(self) -> dict[str, Any]:
        """The probability."""
        return {"dropout": self.dropout_layer.p}

    def forward(self, features: Features) -> Features:
        features["sentence_embedding"] = self.dropout_layer(features["sentence_embedding"])
        return features

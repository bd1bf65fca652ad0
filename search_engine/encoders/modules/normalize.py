"""Vectors to unit length."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn import functional

from search_engine.encoders.modules.module import Features


class Normalize(nn.Module):
    """Vectors to unit length: those of texts, or those of tokens.

    Args:
        width: numbers in a vector.
        reads, writes: the features that are its input and its output.
    """

    def __init__(
        self,
        width: int,
        *,
        reads: str = "sentence_embedding",
        writes: str = "sentence_embedding",
    ) -> None:
        super().__init__()
        self.width = width
        self._reads = reads
        self._writes = writes

    @classmethod
    def load(cls, _folder: Path, config: Mapping[str, Any], *, width: int) -> Normalize:
        """Read which vectors are meant; most checkpoints have no config, and mean the texts'."""
        reads = str(config.get("module_input_name") or "sentence_embedding")
        return cls(width, reads=reads, writes=str(config.get("module_output_name") or reads))

    def config(self) -> dict[str, Any]:
        """Which vectors are meant, where it is not the texts'."""
        if (self._reads, self._writes) == ("sentence_embedding", "sentence_embedding"):
            return {}
        return {"module_input_name": self._reads, "module_output_name": self._writes}

    def forward(self, features: Features) -> Features:
        if self._reads in features:
            features[self._writes] = functional.normalize(features[self._reads], dim=-1)
        return features

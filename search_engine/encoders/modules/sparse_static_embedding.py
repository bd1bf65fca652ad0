"""Tokens to the weights that they have by themselves."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from search_engine.encoders.checkpoints.token_weights import read_token_weights
from search_engine.encoders.modules.module import Features

_TOKENIZER_FILES = ("*token*.json", "vocab.*", "merges.txt", "*.model")


class SparseStaticEmbedding(nn.Module):
    """The weight of each token that occurs, however often (Geng et al. 2025; mostly its IDF).

    Args:
        weight: of each token, float32 [vocabulary].
        tokenizer_folder: where the files of the tokenizer are.
        frozen: whether training leaves the weights as they are.
    """

    def __init__(self, weight: Tensor, *, tokenizer_folder: Path, frozen: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=not frozen)
        self.width = len(weight)
        self._tokenizer_folder = tokenizer_folder
        self._frozen = frozen

    @classmethod
    def load(
        cls,
        folder: Path,
        config: Mapping[str, Any],
        *,
        width: int,  # noqa: ARG003
    ) -> SparseStaticEmbedding:
        """Read the weights, of a tensor or of an idf.json."""
        return cls(
            torch.from_numpy(read_token_weights(folder, config)),
            tokenizer_folder=folder,
            frozen=bool(config.get("frozen", False)),
        )

    def config(self) -> dict[str, Any]:
        """Whether the weights are frozen; they themselves are a tensor, whatever they were."""
        return {"frozen": self._frozen}

    def save_files(self, folder: Path) -> None:
        """Copy the tokenizer's files."""
        for pattern in _TOKENIZER_FILES:
            for path in self._tokenizer_folder.glob(pattern):
                shutil.copyfile(path, folder / path.name)

    def forward(self, features: Features) -> Features:
        ids, mask = features["input_ids"], features["attention_mask"]
        counts = torch.zeros((ids.shape[0], self.width), dtype=mask.dtype, device=mask.device)
        # A text without any word is a token below 0.
        counts = counts.scatter_add(1, ids.clamp(min=0), mask * (ids >= 0))
        weights = counts.clamp(max=1) * self.weight
        if "sentence_embedding" in features:
            weights = weights * features["sentence_embedding"]
        features["sentence_embedding"] = weights
        return features

"""Token vectors to one vector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_engine.encoders.modules.module import Features
from search_engine.errors import CheckpointError, ConfigError

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
# How older checkpoints write the modes, in the order in which several are concatenated.
LEGACY_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class Pooling(nn.Module):
    """Token vectors to one vector: one or several of six ways, concatenated.

    A text without any token becomes zeros; Sentence Transformers gives it minus infinity by "max".
    """

    def __init__(self, width: int, modes: tuple[str, ...], *, include_prompt: bool = True) -> None:
        super().__init__()
        if unknown := [mode for mode in modes if mode not in POOLING_MODES]:
            raise ConfigError(
                f"unknown pooling mode {unknown[0]!r}; known are {', '.join(POOLING_MODES)}."
            )
        self.width = width * len(modes)
        self._token_width = width
        self.modes = modes
        self.include_prompt = include_prompt

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> Pooling:
        """Read the old or the new spelling of the config; no mode given means the mean."""
        stated = config.get("pooling_mode")
        if stated is None:
            stated = [mode for key, mode in LEGACY_POOLING_KEYS.items() if config.get(key)]
        modes = (stated,) if isinstance(stated, str) else tuple(stated) or ("mean",)
        if unknown := [mode for mode in modes if mode not in POOLING_MODES]:
            raise CheckpointError(
                f"{folder / 'config.json'}: unknown pooling mode {unknown[0]!r}; known are "
                f"{', '.join(POOLING_MODES)}."
            )
        expected = config.get("embedding_dimension", config.get("word_embedding_dimension"))
        if expected is not None and expected != width:
            raise CheckpointError(
                f"{folder / 'config.json'}: the pooling is for vectors of {expected} numbers, and "
                f"those of the tokens have {width}; they are not of one model."
            )
        return cls(width, modes, include_prompt=bool(config.get("include_prompt", True)))

    def config(self) -> dict[str, Any]:
        """In the old spelling where it can say it, since every version reads that."""
        ordered = tuple(mode for mode in LEGACY_POOLING_KEYS.values() if mode in self.modes)
        if ordered != self.modes:
            return {
                "embedding_dimension": self._token_width,
                "pooling_mode": list(self.modes),
                "include_prompt": self.include_prompt,
            }
        return {
            "word_embedding_dimension": self._token_width,
            **{key: mode in self.modes for key, mode in LEGACY_POOLING_KEYS.items()},
            "include_prompt": self.include_prompt,
        }

    def forward(self, features: Features) -> Features:
        mask = features["attention_mask" if self.include_prompt else "pooling_mask"]
        pooled = [self._pool(mode, features, mask) for mode in self.modes]
        features["sentence_embedding"] = torch.cat(pooled, dim=-1)
        return features

    @staticmethod
    def _pool(mode: str, features: Features, mask: Tensor) -> Tensor:
        tokens = features["token_embeddings"]
        weights = mask.unsqueeze(-1).to(tokens.dtype)
        if mode == "cls" and "cls_token_embeddings" in features:
            return features["cls_token_embeddings"]
        if mode == "max":
            largest = tokens.masked_fill(weights == 0, float("-inf")).amax(dim=1)
            return largest.masked_fill(weights.sum(dim=1) == 0, 0)
        if mode in ("cls", "lasttoken"):
            positions = torch.arange(1, tokens.shape[1] + 1, device=mask.device, dtype=mask.dtype)
            # The first or the last kept position has the largest of these.
            ranked = mask * (positions if mode == "lasttoken" else positions.flip(0))
            chosen = functional.one_hot(ranked.argmax(dim=1), tokens.shape[1]).to(tokens.dtype)
            # Where nothing is kept, "cls" is the first token all the same.
            kept = weights if mode == "lasttoken" else 1
            return (tokens * chosen.unsqueeze(-1) * kept).sum(dim=1)
        if mode == "weightedmean":
            positions = torch.arange(1, tokens.shape[1] + 1, device=mask.device)
            weights = weights * positions.view(1, -1, 1).to(tokens.dtype)
        total = weights.sum(dim=1)
        # The token vectors come multiplied by their weights.
        if "token_weights_sum" in features:
            total = features["token_weights_sum"].unsqueeze(-1)
        total = total.clamp(min=1e-9)
        return (tokens * weights).sum(dim=1) / (
            total.sqrt() if mode == "mean_sqrt_len_tokens" else total
        )

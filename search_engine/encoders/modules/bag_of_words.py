"""Texts to one number per word of a vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from search_engine.encoders.modules.module import Features
from search_engine.encoders.modules.word_weights import weigh_words


class BagOfWords(nn.Module):
    """Texts to the weight of each word that occurs, times how often it does if that counts.

    Args:
        words: one for each number; repeated ones count once.
        weights: by word, such as inverse document frequencies.
        unknown: weight of the others.
        cumulative: whether it counts how often a word occurs.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        weights: Mapping[str, float],
        unknown: float,
        cumulative: bool,
    ) -> None:
        super().__init__()
        self._words = list(dict.fromkeys(words))
        self._weights = dict(weights)
        self._unknown = unknown
        self._cumulative = cumulative
        self.width = len(self._words)
        # Not among the weights that are saved, since they follow from the config.
        row = torch.tensor(weigh_words(self._words, weights, unknown=unknown))
        self.register_buffer("_row", row, persistent=False)

    @classmethod
    def load(cls, _folder: Path, config: Mapping[str, Any], *, width: int) -> BagOfWords:
        """Read the config, which is all there is; nothing reaches it."""
        del width
        return cls(
            config["vocab"],
            weights=config.get("word_weights") or {},
            unknown=float(config.get("unknown_word_weight", 1)),
            cumulative=bool(config.get("cumulative_term_frequency", True)),
        )

    def config(self) -> dict[str, Any]:
        """Words, weights, and whether it counts how often a word occurs."""
        return {
            "vocab": self._words,
            "word_weights": self._weights,
            "unknown_word_weight": self._unknown,
            "cumulative_term_frequency": self._cumulative,
        }

    def forward(self, features: Features) -> Features:
        ids = features["input_ids"]
        kept = (features["attention_mask"] * (ids >= 0)).to(torch.float32)
        row = self.get_buffer("_row").float()
        zeros = torch.zeros_like(row).unsqueeze(0).expand(ids.shape[0], -1)
        counts = zeros.scatter_add(1, ids.clamp(min=0), kept)
        occurs = counts if self._cumulative else (counts > 0).to(torch.float32)
        features["sentence_embedding"] = occurs * row
        return features

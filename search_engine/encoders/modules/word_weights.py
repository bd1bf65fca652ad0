"""A weight for each word, such as its inverse document frequency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from search_engine.encoders.modules.module import Features


def weigh_words(
    words: Sequence[str], weights: Mapping[str, float], *, unknown: float
) -> list[float]:
    """The weight of each word, in order: as it is written, else in lower case, else `unknown`."""
    return [float(weights.get(word, weights.get(word.lower(), unknown))) for word in words]


class WordWeights(nn.Module):
    """Token vectors times the weights of their words; a mean is then divided by the weights' sum.

    Args:
        width: of the token vectors.
        words: the tokenizer's vocabulary, in the order of the ids.
        weights: by word, which may be more or fewer words.
        unknown: weight of the others.
    """

    def __init__(
        self, width: int, *, words: Sequence[str], weights: Mapping[str, float], unknown: float
    ) -> None:
        super().__init__()
        self.width = width
        self._settings = {
            "vocab": list(words),
            "word_weights": dict(weights),
            "unknown_word_weight": unknown,
        }
        column = torch.tensor(weigh_words(words, weights, unknown=unknown)).unsqueeze(1)
        self.emb_layer = nn.Embedding(*column.shape)
        self.emb_layer.load_state_dict({"weight": column})

    @classmethod
    def load(cls, _folder: Path, config: Mapping[str, Any], *, width: int) -> WordWeights:
        """Read the config; as Sentence Transformers does, the weights in it, not those beside."""
        return cls(
            width,
            words=config["vocab"],
            weights=config["word_weights"],
            unknown=float(config.get("unknown_word_weight", 1)),
        )

    def config(self) -> dict[str, Any]:
        """Words and weights."""
        return dict(self._settings)

    def forward(self, features: Features) -> Features:
        weights = self.emb_layer(features["input_ids"]).squeeze(-1) * features["attention_mask"]
        features["token_embeddings"] = features["token_embeddings"] * weights.unsqueeze(-1)
        features["token_weights_sum"] = weights.sum(dim=1)
        return features

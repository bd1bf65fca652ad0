"""Vocabulary logits to one weight per term."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_engine.encoders.modules.module import Features
from search_engine.errors import CheckpointError

# Terms whose logits are there at a time: for 2,048 tokens, 32 MB of float32.
_CHUNK = 4096


class SpladePooling(nn.Module):
    """Vocabulary logits of each token to one weight per term (SPLADE; Formal et al. 2021).

    weight(term) = max over tokens of log(1 + relu(logit)); older checkpoints sum, and some take
    the logarithm twice. Logits that the trunk has left to be computed are computed here, for a
    few terms at a time.

    Args:
        width: terms in the vocabulary.
        strategy: "max" or "sum".
        logarithms: how often the logarithm is taken, once or twice.
    """

    def __init__(self, width: int, *, strategy: str, logarithms: int) -> None:
        super().__init__()
        self.width = width
        self._strategy = strategy
        self._logarithms = logarithms

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> SpladePooling:
        """Read the pooling strategy ("max" or "sum") and the activation."""
        strategy = config.get("pooling_strategy", "max")
        activation = config.get("activation_function", "relu")
        if strategy not in ("max", "sum") or activation not in ("relu", "log1p_relu"):
            raise CheckpointError(
                f"{folder / 'config.json'}: SPLADE pooling by {strategy!r} of {activation!r} is "
                "not supported; it is max or sum, of relu or log1p_relu."
            )
        return cls(width, strategy=strategy, logarithms=1 if activation == "relu" else 2)

    def config(self) -> dict[str, Any]:
        """Strategy, activation and size of the vocabulary."""
        activation = "relu" if self._logarithms == 1 else "log1p_relu"
        return {
            "pooling_strategy": self._strategy,
            "activation_function": activation,
            "word_embedding_dimension": self.width,
        }

    def forward(self, features: Features) -> Features:
        mask = features["attention_mask"].unsqueeze(-1).float()
        pooled = [self._pool(logits.float() * mask) for logits in _chunks(features)]
        features["sentence_embedding"] = torch.cat(pooled, dim=-1)
        return features

    def _pool(self, logits: Tensor) -> Tensor:
        if self._strategy == "max":
            # What follows is monotonic, so the maximum can come first, on far fewer numbers.
            if self.training:
                # Its gradient needs the places alone, so that the logits can be let go of.
                return self._saturate(logits.max(dim=1).values)
            return self._saturate(logits.amax(dim=1))
        return self._saturate(logits).sum(dim=1)

    def _saturate(self, logits: Tensor) -> Tensor:
        saturated = logits.relu()
        for _ in range(self._logarithms):
            saturated = saturated.log1p()
        return saturated


def _chunks(features: Features) -> Iterator[Tensor]:
    """Logits of some terms at a time, [b, tokens, terms]; of all where they are there already."""
    tokens = features["token_embeddings"]
    if "decoder_weight" not in features:
        yield tokens
        return
    weights = torch.split(features["decoder_weight"], _CHUNK)
    bias = features.get("decoder_bias")
    biases = [None] * len(weights) if bias is None else torch.split(bias, _CHUNK)
    for weight, addend in zip(weights, biases, strict=True):
        yield functional.linear(tokens, weight, addend)

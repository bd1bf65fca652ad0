"""Vocabulary logits to one weight per term."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from search_engine.encoders.modules.module import Features
from search_engine.errors import CheckpointError


class SpladePooling(nn.Module):
    """Vocabulary logits of each token to one weight per term (SPLADE; Formal et al. 2021).

    weight(term) = max over tokens of log(1 + relu(logit)); older checkpoints sum, and some take
    the logarithm twice.
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
        """Strategy and activation."""
        activation = "relu" if self._logarithms == 1 else "log1p_relu"
        return {"pooling_strategy": self._strategy, "activation_function": activation}

    def forward(self, features: Features) -> Features:
        logits = features["token_embeddings"] * features["attention_mask"].unsqueeze(-1)
        if self._strategy == "max":
            # Everything below is monotonic, so the maximum can come first, on far fewer numbers.
            pooled = self._saturate(logits.amax(dim=1))
        else:
            pooled = self._saturate(logits).sum(dim=1)
        features["sentence_embedding"] = pooled
        return features

    def _saturate(self, logits: Tensor) -> Tensor:
        saturated = logits.relu()
        for _ in range(self._logarithms):
            saturated = saturated.log1p()
        return saturated

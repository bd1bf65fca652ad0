"""Dense vectors to sparse latents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_engine.encoders.checkpoints.weights import load_weights
from search_engine.encoders.modules.module import Features

# How files name the encoder's weight where it was saved as that of the decoder, which is tied.
_TIED = "decoder.linear.weight"


class SparseAutoEncoder(nn.Module):
    """Dense vectors to latents of which only the largest count (CSR; Wen et al. 2025).

    latents = relu(encoder (x - pre_bias) + latent_bias); all of them, since how many are kept is
    for whoever asks. The decoder serves training alone.

    Args:
        width: numbers in the dense vector.
        latents: numbers in the sparse one.
        kept: how many of a vector's latents are kept where nobody asks for another number.
        normalize: whether the dense vector is brought to mean 0 and deviation 1 first.
        training: settings that serve training alone, by name.
    """

    def __init__(
        self, width: int, latents: int, *, kept: int, normalize: bool, training: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.width = latents
        self.pre_bias = nn.Parameter(torch.zeros(width))
        self.encoder = nn.Linear(width, latents, bias=False)
        self.latent_bias = nn.Parameter(torch.zeros(latents))
        self.stats_last_nonzero: Tensor
        self.register_buffer("stats_last_nonzero", torch.zeros(latents, dtype=torch.int64))
        self._kept = kept
        self._normalizes = normalize
        self._training = dict(training)
        self.register_load_state_dict_pre_hook(_rename_tied)  # type: ignore[no-untyped-call]

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> SparseAutoEncoder:
        """Read config and weights."""
        encoder = cls(
            int(config.get("input_dim", width)),
            int(config.get("hidden_dim", 512)),
            kept=int(config.get("k", 8)),
            normalize=bool(config.get("normalize", False)),
            training={
                "k_aux": int(config.get("k_aux", 512)),
                "dead_threshold": int(config.get("dead_threshold", 30)),
            },
        )
        load_weights(encoder, folder)
        return encoder

    def config(self) -> dict[str, Any]:
        """Sizes, the number of latents that are kept, and what training needs."""
        return {
            "input_dim": self.encoder.in_features,
            "hidden_dim": self.encoder.out_features,
            "k": self._kept,
            "normalize": self._normalizes,
            **self._training,
        }

    def forward(self, features: Features) -> Features:
        vector = features["sentence_embedding"]
        if self._normalizes:
            vector = vector - vector.mean(dim=-1, keepdim=True)
            vector = vector / (vector.std(dim=-1, keepdim=True) + 1e-5)
        latents = functional.linear(vector - self.pre_bias, self.encoder.weight, self.latent_bias)
        features["sentence_embedding"] = latents.relu()
        return features


def _rename_tied(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: object) -> None:
    tied = state.pop(f"{prefix}{_TIED}", None)
    if tied is not None:
        state.setdefault(f"{prefix}encoder.weight", tied)

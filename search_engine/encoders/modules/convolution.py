"""Convolutions over token vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_engine.encoders.checkpoints.weights import load_weights
from search_engine.encoders.modules.module import Features


class Convolution(nn.Module):
    """Token vectors to convolutions over windows of several sizes, side by side.

    Beyond the end of a text there are zeros, whatever the other texts of a batch are, so that a
    text has the same vector as alone.

    Args:
        in_width: of the token vectors.
        out_channels: numbers that each window size gives.
        kernel_sizes: windows, in tokens; all odd or all even.
        strides: how far each window moves; the same for all.

    Raises:
        ValueError: the windows do not give one vector at the same places.
    """

    config_file: ClassVar[str] = "cnn_config.json"

    def __init__(
        self,
        in_width: int,
        out_channels: int,
        *,
        kernel_sizes: Sequence[int],
        strides: Sequence[int],
    ) -> None:
        super().__init__()
        if len({size % 2 for size in kernel_sizes}) != 1 or len(set(strides)) != 1:
            raise ValueError("kernel_sizes must be all odd or all even, stride_sizes all the same")
        self.width = out_channels * len(kernel_sizes)
        self._stride = strides[0]
        # How much shorter than the text the output is, before the stride.
        self._shortening = 1 - kernel_sizes[0] % 2
        self.convs = nn.ModuleList(
            nn.Conv1d(in_width, out_channels, size, stride=stride, padding=(size - 1) // 2)
            for size, stride in zip(kernel_sizes, strides, strict=True)
        )
        self._settings = {
            "in_word_embedding_dimension": in_width,
            "out_channels": out_channels,
            "kernel_sizes": list(kernel_sizes),
            "stride_sizes": list(strides),
        }

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> Convolution:
        """Read config and weights; windows that are not given are of 1, 3 and 5 tokens."""
        sizes = config.get("kernel_sizes", [1, 3, 5])
        module = cls(
            width,
            int(config.get("out_channels", 256)),
            kernel_sizes=sizes,
            strides=config.get("stride_sizes") or [1] * len(sizes),
        )
        load_weights(module, folder)
        return module

    def config(self) -> dict[str, Any]:
        """Sizes, in the old spelling, which every version reads."""
        return dict(self._settings)

    def forward(self, features: Features) -> Features:
        mask = features["attention_mask"]
        tokens = features["token_embeddings"] * mask.unsqueeze(-1)
        # A window of even size must fit into a text of one token too.
        tokens = functional.pad(tokens.transpose(1, 2), (0, self._shortening))
        outputs = torch.cat([conv(tokens) for conv in self.convs], dim=1)
        features["token_embeddings"] = outputs.transpose(1, 2)
        if self._stride > 1 or self._shortening:
            self._shorten(features, mask)
        return features

    def _shorten(self, features: Features, mask: Tensor) -> None:
        """Let the masks cover the places where a window begins inside the text."""
        places = torch.ones_like(features["token_embeddings"][:, :, 0]).cumsum(dim=1).long() - 1
        lengths = mask.sum(dim=1, keepdim=True)
        inside = places * self._stride < lengths - self._shortening
        if "pooling_mask" in features:
            skipped = lengths - features["pooling_mask"].sum(dim=1, keepdim=True)
            features["pooling_mask"] = (inside & (places >= skipped)).long()
        features["attention_mask"] = inside.long()

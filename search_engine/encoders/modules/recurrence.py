"""A recurrent network over token vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import nn
from torch.nn.utils import rnn

from search_engine.encoders.checkpoints.weights import load_weights
from search_engine.encoders.modules.module import Features


class Recurrence(nn.Module):
    """Token vectors to the states of an LSTM, read in one direction or in both.

    Args:
        in_width: of the token vectors.
        hidden_width: numbers in a state of one direction.
    """

    config_file: ClassVar[str] = "lstm_config.json"

    def __init__(
        self,
        in_width: int,
        hidden_width: int,
        *,
        num_layers: int,
        dropout: float,
        bidirectional: bool,
    ) -> None:
        super().__init__()
        self.width = hidden_width * (2 if bidirectional else 1)
        self.encoder = nn.LSTM(
            in_width,
            hidden_width,
            num_layers=num_layers,
            dropout=dropout,
            bidirectional=bidirectional,
            batch_first=True,
        )

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> Recurrence:
        """Read config and weights; not given, there is one layer that reads in both directions."""
        module = cls(
            width,
            int(config["hidden_dim"]),
            num_layers=int(config.get("num_layers", 1)),
            dropout=float(config.get("dropout", 0)),
            bidirectional=bool(config.get("bidirectional", True)),
        )
        load_weights(module, folder)
        return module

    def config(self) -> dict[str, Any]:
        """Sizes, in the old spelling, which every version reads."""
        return {
            "word_embedding_dimension": self.encoder.input_size,
            "hidden_dim": self.encoder.hidden_size,
            "num_layers": self.encoder.num_layers,
            "dropout": self.encoder.dropout,
            "bidirectional": self.encoder.bidirectional,
        }

    def forward(self, features: Features) -> Features:
        tokens = features["token_embeddings"]
        # A text without any word still takes a step.
        lengths = features["attention_mask"].sum(dim=1).clamp(min=1).cpu()
        packed = rnn.pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
        states, _ = self.encoder(packed)
        features["token_embeddings"], _ = rnn.pad_packed_sequence(
            states, batch_first=True, total_length=tokens.shape[1]
        )
        return features

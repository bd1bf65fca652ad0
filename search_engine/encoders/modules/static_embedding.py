"""The mean of the vectors of a text's tokens, each looked up alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.compiler import is_exporting
from torch.jit._trace import is_tracing
from torch.nn import functional

from search_engine.encoders.checkpoints.weights import load_weights
from search_engine.encoders.modules.embedding_table import EmbeddingTable
from search_engine.encoders.modules.module import Features
from search_engine.encoders.tokenizers.static_tokenizer import read_tokenizer
from search_engine.errors import CheckpointError


class StaticEmbedding(nn.Module):
    """Texts to the mean of their tokens' vectors; zeros for a text without tokens.

    Reads what Sentence Transformers writes and what model2vec does: there a token may share its
    vector with others ("mapping") and have a weight of its own ("weights").

    Args:
        weight: float [tokens, width], one vector per token.
        tokenizer: whose ids these are.
    """

    def __init__(self, weight: Tensor, *, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.embedding = EmbeddingTable(weight)
        self._tokenizer = tokenizer
        self.register_load_state_dict_pre_hook(_fold_model2vec)  # type: ignore[no-untyped-call]

    @property
    def width(self) -> int:
        """Numbers in one vector."""
        return self.embedding.embedding_dim

    @classmethod
    def load(cls, folder: Path, _config: Mapping[str, Any], *, width: int) -> StaticEmbedding:
        """Read vectors and tokenizer; there is no config, and nothing reaches it."""
        module = cls(torch.empty(0, width), tokenizer=read_tokenizer(folder))
        load_weights(module, folder)
        rows, tokens = module.embedding.num_embeddings, module._tokenizer.get_vocab_size()
        if rows < tokens:
            raise CheckpointError(
                f"{folder}: there are vectors for {rows} tokens, and tokenizer.json has {tokens}. "
                "Download or save the model again."
            )
        return module

    def config(self) -> dict[str, Any]:
        """Nothing to say."""
        return {}

    def save_files(self, folder: Path) -> None:
        """Write the tokenizer."""
        self._tokenizer.save(str(folder / "tokenizer.json"))

    def forward(self, features: Features) -> Features:
        ids = features["input_ids"]
        kept = features["attention_mask"] * (ids >= 0)
        total = self._sum(ids.clamp(min=0), kept.to(self.embedding.weight.dtype)).float()
        features["sentence_embedding"] = total / kept.sum(dim=1, keepdim=True).clamp(min=1)
        return features

    def _sum(self, ids: Tensor, kept: Tensor) -> Tensor:
        # OpenVINO has no embedding bags of dynamic shape.
        if is_exporting() or is_tracing():  # type: ignore[no-untyped-call]
            return torch.bmm(kept.unsqueeze(1), self.embedding(ids)).squeeze(1)
        # Of a long text, the vectors of all tokens are never in memory at once.
        return functional.embedding_bag(
            ids, self.embedding.weight, per_sample_weights=kept, mode="sum"
        )


def _fold_model2vec(
    _module: StaticEmbedding, state: dict[str, Any], prefix: str, *_others: Any
) -> None:
    vectors = state.pop(f"{prefix}embeddings", None)
    if vectors is None:
        return
    mapping = state.pop(f"{prefix}mapping", None)
    weights = state.pop(f"{prefix}weights", None)
    vectors = vectors if mapping is None else vectors[mapping.long()]
    vectors = vectors.float()
    state[f"{prefix}embedding.weight"] = (
        vectors if weights is None else vectors * weights.float().unsqueeze(1)
    )

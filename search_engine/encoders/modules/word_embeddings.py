"""Words to vectors, each looked up alone: word2vec, GloVe."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from search_engine.encoders.checkpoints.weights import load_weights
from search_engine.encoders.modules.embedding_table import EmbeddingTable
from search_engine.encoders.modules.module import Features
from search_engine.encoders.tokenizers.word_tokenizer import WordTokenizer, read_word_tokenizer
from search_engine.errors import CheckpointError

# Files of a transformers tokenizer, which can stand in for a list of words.
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)


class WordEmbeddings(nn.Module):
    """Words to their vectors.

    Args:
        weight: float [words, width], one vector per word.
        tokenizer: whose ids these are; a folder is that of a transformers tokenizer.
        tokenizer_class: what the checkpoint calls it, a dotted path.
        update_embeddings: whether training changes the vectors.
        max_tokens: longest text in words; the rest is cut.
    """

    config_file: ClassVar[str] = "wordembedding_config.json"

    def __init__(
        self,
        weight: Tensor,
        *,
        tokenizer: WordTokenizer | Path,
        tokenizer_class: str,
        update_embeddings: bool,
        max_tokens: int,
    ) -> None:
        super().__init__()
        self.emb_layer = EmbeddingTable(weight)
        self._tokenizer = tokenizer
        self._settings = {
            "tokenizer_class": tokenizer_class,
            "update_embeddings": update_embeddings,
            "max_seq_length": max_tokens,
        }

    @property
    def width(self) -> int:
        """Numbers in one vector."""
        return self.emb_layer.embedding_dim

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> WordEmbeddings:
        """Read vectors and tokenizer; nothing reaches it."""
        tokenizer = read_word_tokenizer(folder, config)
        module = cls(
            torch.empty(0, width),
            tokenizer=folder if tokenizer is None else tokenizer,
            tokenizer_class=str(config["tokenizer_class"]),
            update_embeddings=bool(config.get("update_embeddings", False)),
            max_tokens=int(config.get("max_seq_length", 1_000_000)),
        )
        load_weights(module, folder)
        module.emb_layer.weight.requires_grad = bool(module._settings["update_embeddings"])
        rows = module.emb_layer.num_embeddings
        if tokenizer is not None and rows < len(tokenizer.words):
            raise CheckpointError(
                f"{folder}: there are vectors for {rows} words, and the tokenizer has "
                f"{len(tokenizer.words)}. Download or save the model again."
            )
        return module

    def config(self) -> dict[str, Any]:
        """The tokenizer's class, and the longest text."""
        return dict(self._settings)

    def save_files(self, folder: Path) -> None:
        """Write the tokenizer."""
        if isinstance(self._tokenizer, WordTokenizer):
            self._tokenizer.save(folder)
            return
        for name in _TOKENIZER_FILES:
            if (self._tokenizer / name).is_file():
                shutil.copyfile(self._tokenizer / name, folder / name)

    def forward(self, features: Features) -> Features:
        ids = features["input_ids"]
        for name in ("attention_mask", "pooling_mask"):
            if name in features:
                features[name] = features[name] * (ids >= 0)
        features["input_ids"] = ids.clamp(min=0)
        features["token_embeddings"] = self.emb_layer(features["input_ids"]).float()
        return features

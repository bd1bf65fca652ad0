"""The tokenizer that the first module of a checkpoint reads texts with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tokenizers import Tokenizer

from search_engine.encoders.batching import TokenizedText
from search_engine.encoders.checkpoints.json_files import read_setting
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.checkpoints.module_specs import ModuleSpec
from search_engine.encoders.tokenizers.static_tokenizer import (
    NO_LIMIT,
    StaticTokenizer,
    open_static_tokenizer,
)
from search_engine.encoders.tokenizers.text_tokenizer import TextTokenizer
from search_engine.encoders.tokenizers.tokenizer_files import (
    load_tokenizer,
    read_tokenizer_settings,
)
from search_engine.encoders.tokenizers.unmarked_tokenizer import open_unmarked_tokenizer
from search_engine.encoders.tokenizers.word_tokenizer import WordTokenizer, read_word_tokenizer


class InputTokenizer(Protocol):
    """Texts to token ids.

    Attributes:
        whole: without truncation and padding.
        max_tokens: longest sequence that the model takes, special tokens included.
        pad_id: the token that fills a batch.
        truncated: how many texts were cut so far.
        truncated_tokens: how many tokens of them were left out.
        unknown: how many texts so far had too many words that it does not know.
    """

    whole: Tokenizer
    max_tokens: int
    pad_id: int
    truncated: int
    truncated_tokens: int
    unknown: int

    def tokenize(
        self, texts: Sequence[str | tuple[str, str]], *, skipped: int = 0
    ) -> list[TokenizedText]:
        """Token ids of each text; a text without any token becomes one padding token."""

    def count_prompt(self, prompt: str) -> int:
        """How many tokens a prompt takes at the start of a text."""


def open_tokenizer(layout: Layout) -> InputTokenizer:
    """The tokenizer that belongs to the first of a layout's modules.

    Raises:
        CheckpointError: its files are missing or cannot be read.
    """
    trunk = layout.trunk
    if trunk.type == "StaticEmbedding":
        return open_static_tokenizer(trunk.folder)
    if trunk.type == "SparseStaticEmbedding":
        return open_unmarked_tokenizer(layout)
    if trunk.type == "BoW":
        return WordTokenizer(_words(trunk))
    if trunk.type == "WordEmbeddings":
        words = read_word_tokenizer(trunk.folder, trunk.config)
        return words or StaticTokenizer(
            load_tokenizer(layout, read_tokenizer_settings(layout)),
            max_tokens=int(trunk.config.get("max_seq_length") or NO_LIMIT),
            special_tokens=True,
        )
    return TextTokenizer(layout)


def _words(bag: ModuleSpec) -> list[str]:
    words = read_setting(bag.config, "vocab", path=bag.folder / "config.json", kind=list) or []
    return [str(word) for word in dict.fromkeys(words)]

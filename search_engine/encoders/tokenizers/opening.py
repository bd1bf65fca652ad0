"""The tokenizer that the first module of a checkpoint reads texts with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tokenizers import Tokenizer

from search_engine.encoders.batching import TokenizedText
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.tokenizers.text_tokenizer import TextTokenizer


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
        self, texts: Sequence[str] | Sequence[tuple[str, str]], *, skipped: int = 0
    ) -> list[TokenizedText]:
        """Token ids of each text; a text without any token becomes one padding token."""

    def count_prompt(self, prompt: str) -> int:
        """How many tokens a prompt takes at the start of a text."""


def open_tokenizer(layout: Layout) -> InputTokenizer:
    """The tokenizer that belongs to the first of a layout's modules.

    Raises:
        CheckpointError: its files are missing or cannot be read.
    """
    return TextTokenizer(layout)

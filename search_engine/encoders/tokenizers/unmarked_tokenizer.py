"""The tokenizer of tables of token weights: the words alone, without marks around them."""

from __future__ import annotations

from search_engine.encoders.checkpoints.json_files import read_setting
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.tokenizers.static_tokenizer import NO_LIMIT, StaticTokenizer
from search_engine.encoders.tokenizers.tokenizer_files import (
    load_tokenizer,
    read_tokenizer_settings,
)


def open_unmarked_tokenizer(layout: Layout) -> StaticTokenizer:
    """The tokenizer of a SparseStaticEmbedding: no special tokens, cut at its own length.

    Raises:
        CheckpointError: its files are missing or cannot be read.
    """
    settings = read_tokenizer_settings(layout)
    path = layout.trunk.folder / "tokenizer_config.json"
    # Written as a huge number, whole or not, where no text is cut.
    stated = settings.get("model_max_length")
    length = (
        None
        if isinstance(stated, float)
        else read_setting(settings, "model_max_length", path=path, kind=int)
    )
    return StaticTokenizer(
        load_tokenizer(layout, settings),
        max_tokens=min(length or NO_LIMIT, NO_LIMIT),
        special_tokens=False,
        direction=read_setting(settings, "truncation_side", path=path, kind=str) or "right",
    )

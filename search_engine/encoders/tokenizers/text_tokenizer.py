"""The tokenizer of a checkpoint, read with `tokenizers` alone where that is possible.

`transformers.AutoTokenizer` takes seconds to import, so it is used only for checkpoints without
a tokenizer.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import regex
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.normalizers import BertNormalizer, Lowercase
from tokenizers.normalizers import Sequence as NormalizerSequence

from search_engine.encoders.batching import TokenizedText
from search_engine.encoders.checkpoints.json_files import read_json
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.errors import CheckpointError
from search_engine.scripts import UNSPACED_CHARACTER

# A tokenizer_config.json writes "no limit" as a huge number.
_NO_LIMIT = 1_000_000
# Two letters of some script, or one where one may be a word. Mathematics has letters of its own,
# and single ones of other scripts.
_LETTER = r"[\p{L}--\p{Script=Common}]"
_WORD = regex.compile(rf"{UNSPACED_CHARACTER}|{_LETTER}\p{{M}}*{_LETTER}", regex.V1)
# Of a text's tokens, as unknown words. On XQuAD's paragraphs in pieces of 200 tokens, the default
# model's tokenizer has more for all of Thai and Chinese and 83 % of Hindi, and for none or one
# piece of a language whose letters it knows.
_UNKNOWN_SHARE = 0.02
# Architectures whose learned positions begin after the padding id, which costs that many places.
_OFFSET_POSITIONS = frozenset(
    {
        "roberta",
        "xlm-roberta",
        "camembert",
        "mpnet",
        "longformer",
        "xlm-roberta-xl",
        "data2vec-text",
    }
)


class TextTokenizer:
    """Texts, or pairs of texts, to token ids, cut at the model's maximum length.

    Attributes:
        whole: the tokenizer without truncation and padding.
        max_tokens: longest sequence that the model takes, special tokens included.
        pad_id: the token that fills a batch.
        truncated: how many texts or pairs were cut so far.
        truncated_tokens: how many tokens of them were left out.
        unknown: how many texts so far had words that the vocabulary has no tokens for as more
            than a fiftieth of their tokens; pairs are not looked at.
    """

    def __init__(self, layout: Layout) -> None:
        settings = _read_settings(layout)
        path = layout.trunk.folder / "tokenizer.json"
        serialized = path.read_text(encoding="utf-8") if path.is_file() else _convert_slow(layout)
        self.whole = _load(serialized, layout, settings)
        self.max_tokens = _max_tokens(layout, settings)
        self.pad_id = _pad_id(self.whole, layout, settings)
        self.truncated = 0
        self.truncated_tokens = 0
        self.unknown = 0
        self._unknown_id = _unknown_id(self.whole, settings)
        self._cutting = _load(serialized, layout, settings)
        self._cutting.enable_truncation(
            self.max_tokens, direction=settings.get("truncation_side") or "right"
        )
        self._special = {
            id_ for id_, token in self.whole.get_added_tokens_decoder().items() if token.special
        }

    def tokenize(
        self, texts: Sequence[str] | Sequence[tuple[str, str]], *, skipped: int = 0
    ) -> list[TokenizedText]:
        """Token ids of each text or pair; a text without any token becomes one padding token.

        Args:
            skipped: how many tokens at the start are a prompt that the pooling leaves out.
        """
        try:
            encodings = self._cutting.encode_batch_fast(list(texts))
        except TypeError:
            # Half a surrogate pair, as cut JSON escapes leave behind, is no Unicode text.
            encodings = self._cutting.encode_batch_fast([_without_surrogates(t) for t in texts])
        given: Sequence[str | tuple[str, str]] = texts
        tokenized = []
        for text, encoding in zip(given, encodings, strict=True):
            ids = encoding.ids
            if len(ids) == self.max_tokens and encoding.overflowing:
                self.truncated += 1
                # Each piece that overflows repeats the special tokens.
                self.truncated_tokens += sum(
                    len(piece.special_tokens_mask) - sum(piece.special_tokens_mask)
                    for piece in encoding.overflowing
                )
            type_ids = encoding.type_ids
            unknown = self._is_unknown(text, ids)
            self.unknown += unknown
            tokenized.append(TokenizedText(ids or [self.pad_id], type_ids or [0], skipped, unknown))
        return tokenized

    def _is_unknown(self, text: str | tuple[str, str], ids: Sequence[int]) -> bool:
        """Whether too many tokens of a text stand for words that the vocabulary has none for.

        What is unknown and no word, such as an emoji or a sign of mathematics, does not count.
        """
        if self._unknown_id is None:
            return False
        most = _UNKNOWN_SHARE * len(ids)
        if ids.count(self._unknown_id) <= most or not isinstance(text, str):
            return False
        text = _without_surrogates(text)
        # Encoded again, since the places of tokens are not kept where they are not asked for.
        encoding = self._cutting.encode(text)
        words = sum(
            token_id == self._unknown_id and _WORD.search(text, start, end) is not None
            for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        )
        return words > most

    def count_prompt(self, prompt: str) -> int:
        """How many tokens a prompt takes at the start of a text.

        Counted as Sentence Transformers does: the prompt alone, less a special token at its end.
        """
        ids = self._cutting.encode(prompt).ids
        return len(ids) - 1 if ids and ids[-1] in self._special else len(ids)


def _without_surrogates(text: str | tuple[str, str]) -> str | tuple[str, str]:
    if isinstance(text, str):
        return text.encode("utf-8", "replace").decode("utf-8")
    query, passage = text
    return (
        query.encode("utf-8", "replace").decode("utf-8"),
        passage.encode("utf-8", "replace").decode("utf-8"),
    )


def _read_settings(layout: Layout) -> Mapping[str, Any]:
    return read_json(layout.trunk.folder / "tokenizer_config.json", kind=dict) or {}


def _convert_slow(layout: Layout) -> str:
    from transformers import AutoTokenizer

    folder = layout.trunk.folder
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        return str(tokenizer.backend_tokenizer.to_str())
    except Exception as error:
        raise CheckpointError(
            f"{folder} has no tokenizer.json, and its tokenizer cannot be converted to one: {error}"
        ) from error


def _load(serialized: str, layout: Layout, settings: Mapping[str, Any]) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(serialized)
    except Exception as error:  # tokenizers raises bare Exception
        raise CheckpointError(
            f"{layout.trunk.folder / 'tokenizer.json'} cannot be read: {error}."
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    normalizer = tokenizer.normalizer
    # For BERT's normalizer, transformers lets tokenizer_config.json overrule tokenizer.json.
    if isinstance(normalizer, BertNormalizer):
        if "do_lower_case" in settings:
            normalizer.lowercase = settings["do_lower_case"]
        if "strip_accents" in settings:
            normalizer.strip_accents = settings["strip_accents"]
        if "tokenize_chinese_chars" in settings:
            normalizer.handle_chinese_chars = settings["tokenize_chinese_chars"]
        tokenizer.normalizer = normalizer
    if layout.trunk.config.get("do_lower_case"):
        steps = [Lowercase()] if normalizer is None else [Lowercase(), normalizer]
        tokenizer.normalizer = NormalizerSequence(steps)
    return tokenizer


def _max_tokens(layout: Layout, settings: Mapping[str, Any]) -> int:
    stated = layout.trunk.config.get("max_seq_length")
    if stated is not None and stated < _NO_LIMIT:
        return int(stated)
    folder = layout.trunk.folder
    positions = _limit(layout.trunk_config, "max_position_embeddings", folder / "config.json")
    if layout.trunk_config.get("model_type") in _OFFSET_POSITIONS:
        positions -= int(layout.trunk_config.get("pad_token_id") or 0) + 1
    length = _limit(settings, "model_max_length", folder / "tokenizer_config.json")
    return min((int(n) for n in (length, positions) if 0 < n < _NO_LIMIT), default=512)


def _limit(settings: Mapping[str, Any], key: str, path: Path) -> float:
    limit = settings.get(key) or 0
    if not isinstance(limit, int | float):
        raise CheckpointError(f"{path}: {key} must be a number, not {limit!r}; correct it.")
    return limit


def _unknown_id(tokenizer: Tokenizer, settings: Mapping[str, Any]) -> int | None:
    """The token for words that the vocabulary has none for; None where there is none such."""
    model = tokenizer.model
    # Byte-level models have settings that name one, which they never use.
    token = settings.get("unk_token") if isinstance(model, Unigram) else model.unk_token
    token = token.get("content") if isinstance(token, dict) else token
    return tokenizer.token_to_id(token) if token else None


def _pad_id(tokenizer: Tokenizer, layout: Layout, settings: Mapping[str, Any]) -> int:
    token = settings.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    found = tokenizer.token_to_id(token) if token else None
    return int(found if found is not None else layout.trunk_config.get("pad_token_id") or 0)

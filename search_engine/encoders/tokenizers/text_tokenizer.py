"""Texts and pairs of texts to token ids, as the transformer of a checkpoint reads them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from tokenizers import Encoding, Tokenizer

from search_engine.encoders.batching import TokenizedText
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.tokenizers.chat_template import open_chat_template
from search_engine.encoders.tokenizers.input_checks import check_texts
from search_engine.encoders.tokenizers.pairs import PromptedPair, Tokens, cut_encoding
from search_engine.encoders.tokenizers.tokenizer_files import (
    check_token_ids,
    find_max_tokens,
    find_pad_id,
    find_unknown_id,
    load_tokenizer,
    read_tokenizer_settings,
)
from search_engine.encoders.tokenizers.unknown_words import UNKNOWN_SHARE, WORD


class TextTokenizer:
    """Texts, or pairs of texts, to token ids, cut at the model's maximum length.

    A pair that is too long loses tokens of its second text alone, the document; only where the
    first leaves no room for any of them does the longer one give way, as in transformers.

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
        settings = read_tokenizer_settings(layout)
        self.whole = load_tokenizer(layout, settings)
        self.max_tokens = find_max_tokens(layout, settings)
        self.pad_id = find_pad_id(self.whole, layout, settings)
        check_token_ids(self.whole, layout, pad_id=self.pad_id)
        self.truncated = 0
        self.truncated_tokens = 0
        self.unknown = 0
        self._unknown_id = find_unknown_id(self.whole, settings)
        self._side = "left" if settings.get("truncation_side") == "left" else "right"
        self._special = {
            id_ for id_, token in self.whole.get_added_tokens_decoder().items() if token.special
        }
        self._chat = open_chat_template(layout, self.whole, settings)

    @cached_property
    def _cutting(self) -> Tokenizer:
        """The tokenizer with truncation, made when a text is looked at twice."""
        cutting = Tokenizer.from_str(self.whole.to_str())
        cutting.enable_truncation(self.max_tokens, direction=self._side)
        return cutting

    def tokenize(
        self, texts: Sequence[str | tuple[str, str]], *, skipped: int = 0
    ) -> list[TokenizedText]:
        """Token ids of each text or pair; a text without any token becomes one padding token.

        Args:
            skipped: how many tokens at the start are a prompt that the pooling leaves out.

        Raises:
            ConfigError: what was given are not texts.
        """
        check_texts(texts)
        given: list[str | tuple[str, str]] = [_with_prompt(text) for text in texts]
        if self._chat is not None:
            given = [_without_surrogates(text) for text in texts]
            rendered = [self._chat.render(text) for text in given]
            encodings = self.whole.encode_batch_fast(rendered, add_special_tokens=False)
        else:
            try:
                encodings = self.whole.encode_batch_fast(given)
            except TypeError:
                # Half a surrogate pair, as cut JSON escapes leave behind, is no Unicode text.
                given = [_without_surrogates(text) for text in given]
                encodings = self.whole.encode_batch_fast(given)
        tokenized = []
        for text, encoding in zip(given, encodings, strict=True):
            ids, type_ids = self._cut(text, encoding)
            left_out = len(encoding.ids) - len(ids)
            self.truncated += left_out > 0
            self.truncated_tokens += left_out
            unknown = self._is_unknown(text, ids)
            self.unknown += unknown
            tokenized.append(TokenizedText(ids or [self.pad_id], type_ids or [0], skipped, unknown))
        return tokenized

    def _cut(self, text: str | tuple[str, str], encoding: Encoding) -> Tokens:
        limit = self.max_tokens
        if len(encoding.ids) <= limit:
            return encoding.ids, encoding.type_ids
        if self._chat is not None:
            ids = self._chat.truncate(encoding.ids, text, max_tokens=limit, side=self._side)
            return ids, encoding.type_ids[:limit]
        return cut_encoding(encoding, limit, side=self._side)

    def _is_unknown(self, text: str | tuple[str, str], ids: Sequence[int]) -> bool:
        """Whether too many tokens of a text stand for words that the vocabulary has none for.

        What is unknown and no word, such as an emoji or a sign of mathematics, does not count.
        """
        if self._unknown_id is None:
            return False
        most = UNKNOWN_SHARE * len(ids)
        if ids.count(self._unknown_id) <= most or not isinstance(text, str):
            return False
        # Encoded again, since the places of tokens are not kept where they are not asked for.
        encoding = self._cutting.encode(text)
        words = sum(
            token_id == self._unknown_id and WORD.search(text, start, end) is not None
            for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        )
        return words > most

    def count_prompt(self, prompt: str) -> int:
        """How many tokens a prompt takes at the start of a text.

        Counted as Sentence Transformers does: the prompt alone, less a special token at its end.
        """
        ids = self._cutting.encode(prompt).ids
        return len(ids) - 1 if ids and ids[-1] in self._special else len(ids)


def _with_prompt(text: str | tuple[str, str]) -> str | tuple[str, str]:
    return (text.prompt + text[0], text[1]) if isinstance(text, PromptedPair) else text


def _without_surrogates(text: str | tuple[str, str]) -> str | tuple[str, str]:
    if isinstance(text, str):
        return text.encode("utf-8", "replace").decode("utf-8")
    query, passage = (each.encode("utf-8", "replace").decode("utf-8") for each in text)
    if isinstance(text, PromptedPair):
        return PromptedPair(query, passage, prompt=text.prompt)
    return query, passage

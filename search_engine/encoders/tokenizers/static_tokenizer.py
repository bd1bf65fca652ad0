"""The tokenizer of embeddings that look at each token alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from search_engine.encoders.batching import TokenizedText
from search_engine.encoders.tokenizers.unknown_words import UNKNOWN_SHARE, WORD
from search_engine.errors import CheckpointError

# Of a tokenizer that sets no limit.
NO_LIMIT = 1_000_000
# Stands where a text has no token at all, and in the padding; modules leave it out.
NO_TOKEN = -1


class StaticTokenizer:
    """Texts to token ids without padding, cut at a number of tokens.

    Args:
        whole: without truncation and padding.
        max_tokens: longest text; the rest is cut.
        special_tokens: whether those that the tokenizer puts around a text are wanted.
        direction: the side that is cut, "right" or "left".

    Attributes:
        whole, max_tokens: as given.
        pad_id: no token.
        truncated: how many texts were cut so far.
        truncated_tokens: how many tokens of them were left out.
        unknown: how many texts so far had words that the vocabulary has no tokens for as more
            than a fiftieth of their tokens.
    """

    def __init__(
        self,
        whole: Tokenizer,
        *,
        max_tokens: int,
        special_tokens: bool,
        direction: str = "right",
    ) -> None:
        self.whole = whole
        self.max_tokens = max_tokens
        self.pad_id = NO_TOKEN
        self.truncated = 0
        self.truncated_tokens = 0
        self.unknown = 0
        self._special_tokens = special_tokens
        self._from_left = direction == "left"
        unknown_token = getattr(whole.model, "unk_token", None)
        self._unknown_id = None if unknown_token is None else whole.token_to_id(unknown_token)

    def tokenize(
        self, texts: Sequence[str | tuple[str, str]], *, skipped: int = 0
    ) -> list[TokenizedText]:
        """Token ids of each text; a text without any token becomes one that stands for none.

        Args:
            skipped: how many tokens at the start are a prompt that the pooling leaves out.

        Raises:
            CheckpointError: pairs of texts were given, which no model of this kind reads.
        """
        # Half a surrogate pair, as cut JSON escapes leave behind, is no Unicode text.
        singles = [single_text(text).encode("utf-8", "replace").decode() for text in texts]
        tokenized = []
        encodings = self.whole.encode_batch_fast(singles, add_special_tokens=self._special_tokens)
        for text, encoding in zip(singles, encodings, strict=True):
            ids = encoding.ids
            unknown = self._is_unknown(text, ids)
            self.unknown += unknown
            if len(ids) > self.max_tokens:
                self.truncated += 1
                self.truncated_tokens += len(ids) - self.max_tokens
                ids = ids[-self.max_tokens :] if self._from_left else ids[: self.max_tokens]
            ids = ids or [NO_TOKEN]
            tokenized.append(TokenizedText(ids, [0] * len(ids), skipped, unknown))
        return tokenized

    def count_prompt(self, _prompt: str) -> int:
        """None: Sentence Transformers leaves no prompt of such a model out of the pooling."""
        return 0

    def _is_unknown(self, text: str, ids: Sequence[int]) -> bool:
        if self._unknown_id is None or ids.count(self._unknown_id) <= UNKNOWN_SHARE * len(ids):
            return False
        # Encoded again, since the places of tokens are not kept where they are not asked for.
        encoding: Encoding = self.whole.encode(text, add_special_tokens=self._special_tokens)
        words = sum(
            token_id == self._unknown_id and WORD.search(text, start, end) is not None
            for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        )
        return words > UNKNOWN_SHARE * len(ids)


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer.json of a folder, with the truncation that it states, without padding.

    Raises:
        CheckpointError: it is missing or cannot be read.
    """
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise CheckpointError(
            f"{path} cannot be read: {error}. Download or save the model again."
        ) from error
    tokenizer.no_padding()
    return tokenizer


def open_static_tokenizer(folder: Path) -> StaticTokenizer:
    """The tokenizer of a static embedding: no special tokens, no limit but one that it states.

    Raises:
        CheckpointError: its file is missing or cannot be read.
    """
    whole = read_tokenizer(folder)
    stated = whole.truncation or {}
    whole.no_truncation()
    return StaticTokenizer(
        whole,
        max_tokens=int(stated.get("max_length") or NO_LIMIT),
        special_tokens=False,
        direction=str(stated.get("direction") or "right"),
    )


def single_text(text: str | tuple[str, str]) -> str:
    """A text that is no pair.

    Raises:
        CheckpointError: it is a pair.
    """
    if isinstance(text, str):
        return text
    raise CheckpointError(
        "this checkpoint reads single texts, not pairs of them; pairs need a cross-encoder."
    )

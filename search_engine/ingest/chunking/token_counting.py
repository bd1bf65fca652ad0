"""How many tokens a text has."""

from __future__ import annotations

import re
from functools import lru_cache

from tokenizers import Tokenizer

# What a token of English prose takes, for when there is no tokenizer to ask.
CHARS_PER_TOKEN = 4

# Scripts that do not put spaces between words: South-East Asian, kana, Chinese characters.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_PIECE = re.compile(f"[{_UNSPACED}\U00020000-\U0003ffff]{{1,8}}|[^{_UNSPACED}]{{1,100}}")
# Words up to this long are counted once and remembered; hardly any word is longer.
_COMMON_WORD = 16


class TokenCounter:
    """How many tokens a text has.

    The splitter asks for some ten overlapping stretches per chunk, so encoding each anew costs
    several times as much as encoding the text once. Where white space only separates (WordPiece,
    and SentencePiece models that collapse it) a text has the tokens of its words, and a word is
    encoded once and remembered. Other tokenizers encode each stretch.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._max_tokens = max_tokens
        self._count_piece = lru_cache(maxsize=65_536)(self._encode)
        words = ("one", "\n\n  ", "two", "\t\n", "one")
        self._adds_up = self._encode("".join(words)) == sum(map(self._encode, words[::2]))

    def count(self, text: str) -> int:
        """Tokens of a text; of one with more than `max_tokens` only that it has more."""
        words = text.split(None, self._max_tokens)
        if len(words) > self._max_tokens:
            return len(words)
        if self._adds_up:
            count = self._count_piece
            counts = [count(w) if len(w) <= _COMMON_WORD else self._count_long(w) for w in words]
            return sum(counts)
        least = max(map(_count_least, words), default=0)
        return least if least > self._max_tokens else max(least, self._encode(text))

    def _count_long(self, word: str) -> int:
        least = _count_least(word)
        if least > self._max_tokens:
            return least
        return max(least, sum(map(self._count_piece, _PIECE.findall(word))))

    def _encode(self, piece: str) -> int:
        return len(self._tokenizer.encode(piece, add_special_tokens=False).ids)


def _count_least(word: str) -> int:
    """What the length of a word suggests, if it is no word of a language.

    WordPiece makes one [UNK] of more than 100 characters; a screenful of base64 must not pass for
    one token.
    """
    return len(word) // CHARS_PER_TOKEN if len(word) > 100 else 1

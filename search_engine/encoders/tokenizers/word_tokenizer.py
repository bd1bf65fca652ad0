"""The tokenizers of word embeddings: the words of a list, and of a list with phrases in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import punctuation
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from search_engine.encoders.batching import TokenizedText
from search_engine.encoders.checkpoints.json_files import read_json, read_setting
from search_engine.encoders.tokenizers.static_tokenizer import NO_LIMIT, NO_TOKEN, single_text
from search_engine.encoders.tokenizers.treebank import split_words
from search_engine.encoders.tokenizers.unknown_words import UNKNOWN_SHARE, WORD
from search_engine.errors import CheckpointError

_UNKNOWN = "[UNK]"


class WordTokenizer:
    """Texts split at white space, to the ids of those words that are in a list.

    A word is looked for as it is written, without punctuation around it, and then in lower case.
    The first of these that is in the list or is a stop word decides. What is in neither is left
    out, and so are stop words.

    Args:
        words: the list, in the order of the ids.
        stop_words: left out.
        lowercase: whether texts are put in lower case first.
        max_tokens: longest text in words that are kept; the rest is cut.

    Attributes:
        words, max_tokens: as given.
        whole: a tokenizer that counts all words, also those that are left out.
        pad_id: no word.
        truncated: how many texts were cut so far.
        truncated_tokens: how many words of them were left out.
        unknown: how many texts so far had unknown words as more than a fiftieth of those that
            are no stop words.
    """

    config_name = "whitespacetokenizer_config.json"

    def __init__(
        self,
        words: Sequence[str],
        *,
        stop_words: Sequence[str] = (),
        lowercase: bool = False,
        max_tokens: int = NO_LIMIT,
    ) -> None:
        self.words = list(words)
        self.max_tokens = max_tokens
        self.pad_id = NO_TOKEN
        self.truncated = 0
        self.truncated_tokens = 0
        self.unknown = 0
        self._stop_words = frozenset(stop_words)
        self._lowercase = lowercase
        self._ids = {word: position for position, word in enumerate(self.words)}
        self.whole = self._counting_tokenizer()

    def tokenize(
        self, texts: Sequence[str | tuple[str, str]], *, skipped: int = 0
    ) -> list[TokenizedText]:
        """Ids of each text's words; a text without any becomes one that stands for no word.

        Args:
            skipped: how many tokens at the start are a prompt that the pooling leaves out.

        Raises:
            CheckpointError: pairs of texts were given, which no model of this kind reads.
        """
        tokenized = []
        for text in texts:
            ids, missing = self._find_ids(single_text(text))
            unknown = missing > UNKNOWN_SHARE * (len(ids) + missing)
            self.unknown += unknown
            if len(ids) > self.max_tokens:
                self.truncated += 1
                self.truncated_tokens += len(ids) - self.max_tokens
                ids = ids[: self.max_tokens]
            ids = ids or [NO_TOKEN]
            tokenized.append(TokenizedText(ids, [0] * len(ids), skipped, unknown))
        return tokenized

    def count_prompt(self, _prompt: str) -> int:
        """None: Sentence Transformers leaves no prompt of such a model out of the pooling."""
        return 0

    def save(self, folder: Path) -> None:
        """Write the list and the settings, as Sentence Transformers does."""
        (folder / self.config_name).write_text(json.dumps(self._settings()), encoding="utf-8")

    def _settings(self) -> dict[str, Any]:
        return {
            "vocab": self.words,
            "stop_words": sorted(self._stop_words),
            "do_lower_case": self._lowercase,
        }

    def _find_ids(self, text: str) -> tuple[list[int], int]:
        """The ids of a text's words, and how many are in no list."""
        ids = []
        missing = 0
        for word in self._split(text):
            for form in self._forms(word):
                if form in self._stop_words:
                    break
                if form in self._ids:
                    ids.append(self._ids[form])
                    break
            else:
                missing += WORD.search(word) is not None
        return ids, missing

    def _split(self, text: str) -> list[str]:
        return (text.lower() if self._lowercase else text).split()

    def _forms(self, word: str) -> Iterator[str]:
        yield word
        stripped = word.strip(punctuation)
        yield stripped
        yield stripped.lower()

    def _counting_tokenizer(self) -> Tokenizer:
        ids = {**self._ids}
        ids.setdefault(_UNKNOWN, len(self.words))
        tokenizer = Tokenizer(models.WordLevel(ids, unk_token=_UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        if self._lowercase:
            tokenizer.normalizer = normalizers.Lowercase()
        return tokenizer


class PhraseTokenizer(WordTokenizer):
    """Texts split as the Penn Treebank does, where several words may be one of the list.

    The list writes such phrases with a separator: New_York. Longer phrases are looked for first.
    A word is looked for as it is written, in lower case, and then without punctuation around it.

    Args:
        separator: between the words of a phrase.
        max_phrase: longest phrase, in words.
    """

    config_name = "phrasetokenizer_config.json"

    def __init__(
        self,
        words: Sequence[str],
        *,
        stop_words: Sequence[str] = (),
        lowercase: bool = False,
        max_tokens: int = NO_LIMIT,
        separator: str | None = "_",
        max_phrase: int = 5,
    ) -> None:
        super().__init__(words, stop_words=stop_words, lowercase=lowercase, max_tokens=max_tokens)
        # What is nothing but punctuation is no word, even if the list has an empty one.
        self._ids.pop("", None)
        self._separator = separator
        self._max_phrase = max_phrase
        lengths = (
            {}
            if not separator
            else {
                word: word.count(separator) + 1
                for word in self.words
                if separator in word and separator * 2 not in word
            }
        )
        self._phrases = {word for word, length in lengths.items() if length <= max_phrase}
        self._lengths = sorted({lengths[phrase] for phrase in self._phrases}, reverse=True)

    def _settings(self) -> dict[str, Any]:
        return {
            **super()._settings(),
            "ngram_separator": self._separator,
            "max_ngram_length": self._max_phrase,
        }

    def _split(self, text: str) -> list[str]:
        # That texts are to be put in lower case is stated and, in Sentence Transformers, ignored.
        words = split_words(text)
        for length in self._lengths:
            words = list(self._join_phrases(words, length))
        return words

    def _join_phrases(self, words: Sequence[str], length: int) -> Iterator[str]:
        start = 0
        while start < len(words):
            phrase = str(self._separator).join(words[start : start + length])
            forms = (phrase, phrase.lower()) if start + length <= len(words) else ()
            found = next((form for form in forms if form in self._phrases), None)
            if found is not None:
                yield found
                start += length
            else:
                yield words[start]
                start += 1

    def _forms(self, word: str) -> Iterator[str]:
        yield word
        yield word.lower()
        yield word.lower().strip(punctuation)

    def _counting_tokenizer(self) -> Tokenizer:
        tokenizer = super()._counting_tokenizer()
        tokenizer.normalizer = None
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
        )
        return tokenizer


def read_word_tokenizer(folder: Path, config: Mapping[str, Any]) -> WordTokenizer | None:
    """The tokenizer of word embeddings by the class that their config names.

    Args:
        folder: where the files of both are.
        config: of the embeddings.

    Returns:
        None for the tokenizer of a transformers checkpoint.

    Raises:
        CheckpointError: its class is another one, or its file is missing or malformed.
    """
    path = folder / "wordembedding_config.json"
    stated = read_setting(config, "tokenizer_class", path=path, kind=str) or ""
    max_tokens = read_setting(config, "max_seq_length", path=path, kind=int) or NO_LIMIT
    name = stated.rpartition(".")[2]
    if name == "TransformersTokenizerWrapper":
        return None
    if name not in ("WhitespaceTokenizer", "PhraseTokenizer"):
        raise CheckpointError(
            f"{path}: tokenizer class {stated!r} is not supported, and no code of a checkpoint is "
            "run; known are WhitespaceTokenizer, PhraseTokenizer and TransformersTokenizerWrapper."
        )
    kind = WordTokenizer if name == "WhitespaceTokenizer" else PhraseTokenizer
    file = folder / kind.config_name
    settings = read_json(file, kind=dict)
    if settings is None:
        raise CheckpointError(f"{file} is missing. Download or save the model again.")
    words = read_setting(settings, "vocab", path=file, kind=list) or []
    stop_words = read_setting(settings, "stop_words", path=file, kind=list) or []
    if not all(isinstance(word, str) for word in (*words, *stop_words)):
        raise CheckpointError(f"{file}: 'vocab' and 'stop_words' must be lists of texts.")
    lowercase = bool(settings.get("do_lower_case"))
    if kind is WordTokenizer:
        return WordTokenizer(
            words, stop_words=stop_words, lowercase=lowercase, max_tokens=max_tokens
        )
    longest = read_setting(settings, "max_ngram_length", path=file, kind=int)
    return PhraseTokenizer(
        words,
        stop_words=stop_words,
        lowercase=lowercase,
        max_tokens=max_tokens,
        separator=read_setting(
            {"ngram_separator": "_", **settings}, "ngram_separator", path=file, kind=str
        ),
        max_phrase=5 if longest is None else longest,
    )

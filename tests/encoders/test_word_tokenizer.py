"""The tokenizers of word embeddings split and look up as Sentence Transformers' do."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sentence_transformers.sentence_transformer.modules.tokenizer import (
    PhraseTokenizer as TheirPhraseTokenizer,
)
from sentence_transformers.sentence_transformer.modules.tokenizer import (
    WhitespaceTokenizer as TheirWhitespaceTokenizer,
)
from sentence_transformers.sentence_transformer.modules.tokenizer import phrase

from search_engine.encoders.tokenizers.static_tokenizer import NO_TOKEN
from search_engine.encoders.tokenizers.treebank import split_words
from search_engine.encoders.tokenizers.word_tokenizer import (
    PhraseTokenizer,
    WordTokenizer,
    read_word_tokenizer,
)
from search_engine.errors import CheckpointError
from tests.encoders.checkpoints import write_json

WORDS = ["PAD", "Cell", "cell", "it's", "its", "New_York", "new_york_city", "york", "city", "",
         "'s", "the", "a_b_c_d_e_f", "a__b", "_", "(cell)"]  # fmt: skip
STOP_WORDS = ["the", "of", "Of", "."]
PIECES = ("Cell", "cell", "CELL", "(cell)", "cell.", "it's", "its", "New", "York", "new york city",
          "york", "the", "The", "of", "Of,", "a b c d e f", "a  b", "_", "...", "!", "a_b", "İ",
          "New York", "\u2003", "cell\u2019s")  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=8).map(" ".join)


def ids_of(tokenizer: WordTokenizer, text: str) -> list[int]:
    (tokenized,) = tokenizer.tokenize([text])
    return [] if tokenized.ids == [NO_TOKEN] else list(tokenized.ids)


@given(text=TEXT, lowercase=st.booleans())
def test_words_at_white_space(text: str, lowercase: bool) -> None:
    theirs = TheirWhitespaceTokenizer(WORDS, STOP_WORDS, lowercase)
    ours = WordTokenizer(WORDS, stop_words=STOP_WORDS, lowercase=lowercase)
    assert ids_of(ours, text) == theirs.tokenize(text)


@given(text=TEXT, longest=st.integers(1, 6))
@example(text="cell new york city", longest=3)
@example(text="New York city", longest=2)
def test_phrases(text: str, longest: int) -> None:
    # The reference asks NLTK for the words; that is not installed, and what it would answer is
    # tested below.
    nltk = ModuleType("nltk")
    nltk.word_tokenize = lambda text, preserve_line: split_words(text)  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrase, "is_nltk_available", lambda: True)
        patch.setitem(sys.modules, "nltk", nltk)
        theirs = TheirPhraseTokenizer(WORDS, STOP_WORDS, max_ngram_length=longest)
        expected = theirs.tokenize(text)
    ours = PhraseTokenizer(WORDS, stop_words=STOP_WORDS, max_phrase=longest)
    assert ids_of(ours, text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # The first two are the examples in NLTK's documentation.
        (
            "Good muffins cost $3.88 (roughly 3,36 euros)\nin New York.  Please buy me\ntwo of "
            "them.\nThanks.",
            ["Good", "muffins", "cost", "$", "3.88", "(", "roughly", "3,36", "euros", ")", "in",
             "New", "York.", "Please", "buy", "me", "two", "of", "them.", "Thanks", "."],
        ),
        (
            "They'll save and invest more.",
            ["They", "'ll", "save", "and", "invest", "more", "."],
        ),
        ("hi, my name can't hello,", ["hi", ",", "my", "name", "ca", "n't", "hello", ","]),
        ('"Gimme the dogs\' food!" she said...', ["``", "Gim", "me", "the", "dogs", "'", "food",
                                                  "!", "''", "she", "said", "..."]),
        ("'Tis what I cannot--won't--do: 10:30", ["'", "Tis", "what", "I", "can", "not", "--", "wo",
                                                  "n't", "--", "do", ":", "10:30"]),
        ("\u201cIt\u2019s 5\u20136 %\u201d *", ["\u201c", "It", "\u2019", "s", "5", "\u2013", "6",
                                                 "%", "\u201d", "*"]),
        ("I wanna go (now).", ["I", "wan", "na", "go", "(", "now", ")", "."]),
        ("more'n 'twas; d'ye see", ["more", "'n", "'", "twas", ";", "d", "'ye", "see"]),
        ("'hello' 's", ["'", "hello", "'", "'s"]),
        ("d'ye'tis gonna'twas", ["d", "'ye", "'t", "is", "gon", "na", "'t", "was"]),
        ("", []),
    ],
)  # fmt: skip
def test_words_of_the_penn_treebank(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_what_is_cut_and_what_is_unknown() -> None:
    words = [word or "unused" for word in WORDS]
    tokenizer = WordTokenizer(words, stop_words=STOP_WORDS, max_tokens=2)
    texts = ["cell york the city its", "the cell 🙂 --- 5", "membrane cell", "of", ""]
    tokenized = tokenizer.tokenize(texts)
    assert [list(each.ids) for each in tokenized] == [[2, 7], [2], [2], [NO_TOKEN], [NO_TOKEN]]
    assert (tokenizer.truncated, tokenizer.truncated_tokens) == (1, 2)
    assert [each.unknown for each in tokenized] == [False, False, True, False, False]
    assert tokenizer.unknown == 1
    assert tokenizer.count_prompt("the cell") == 0
    with pytest.raises(CheckpointError, match="single texts, not pairs"):
        tokenizer.tokenize([("cell", "york")])


@pytest.mark.parametrize("kind", [WordTokenizer, PhraseTokenizer])
def test_the_whole_tokenizer_counts_all_words(kind: type[WordTokenizer]) -> None:
    tokenizer = kind(WORDS, stop_words=STOP_WORDS, lowercase=True)
    encoding = tokenizer.whole.encode("CELL of membranes york (city)")
    lowered = kind is WordTokenizer
    assert len(encoding.ids) == (5 if lowered else 7)
    assert encoding.ids[0] == (2 if lowered else len(WORDS))
    assert encoding.offsets[:2] == [(0, 4), (5, 7)]
    assert tokenizer.whole.id_to_token(len(WORDS)) == "[UNK]"


@pytest.mark.parametrize("kind", ["WhitespaceTokenizer", "PhraseTokenizer"])
def test_files_are_written_and_read(tmp_path: Path, kind: str) -> None:
    config = {"tokenizer_class": f"sentence_transformers.models.tokenizer.{kind}.{kind}",
              "max_seq_length": 3}  # fmt: skip
    with pytest.raises(CheckpointError, match=f"{kind.lower()}_config.json is missing"):
        read_word_tokenizer(tmp_path, config)
    if kind == "WhitespaceTokenizer":
        written = WordTokenizer(WORDS, stop_words=STOP_WORDS, lowercase=True)
    else:
        written = PhraseTokenizer(WORDS, stop_words=STOP_WORDS, separator=" ", max_phrase=2)
    written.save(tmp_path)
    read = read_word_tokenizer(tmp_path, config)
    assert type(read) is type(written)
    assert read.max_tokens == 3
    read.save(tmp_path / "..")
    name = written.config_name
    assert (tmp_path / ".." / name).read_text() == (tmp_path / name).read_text()
    if kind == "WhitespaceTokenizer":
        theirs = TheirWhitespaceTokenizer.load(str(tmp_path))
        assert (list(theirs.get_vocab()), theirs.stop_words) == (WORDS, set(STOP_WORDS))
        assert theirs.do_lower_case
    write_json(tmp_path / name, {"vocab": ["cell", 5]})
    with pytest.raises(CheckpointError, match="must be lists of texts"):
        read_word_tokenizer(tmp_path, config)


def test_other_classes_are_not_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'os\.system' is not supported"):
        read_word_tokenizer(tmp_path, {"tokenizer_class": "os.system"})

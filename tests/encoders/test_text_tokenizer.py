"""Texts and pairs to token ids: what is cut and counted, chat templates, and bad input."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.encoders.tokenizers import chat_template
from search_engine.encoders.tokenizers.input_checks import check_pairs, check_texts
from search_engine.encoders.tokenizers.pairs import PromptedPair
from search_engine.encoders.tokenizers.text_tokenizer import TextTokenizer
from search_engine.errors import CheckpointError, ConfigError
from tests.encoders.causal_checkpoints import TEMPLATE, write_byte_tokenizer
from tests.encoders.checkpoints import edit_json, write_json, write_roberta_tokenizer

LIMIT = 12
WORDS = ("the", "a", "of", "cell", "lipids", "zebra", "[SEP]", "日本", "")


def shortened(source: Path, folder: Path, **changes: object) -> Path:
    shutil.copytree(source, folder)
    edit_json(folder / "tokenizer_config.json", {"model_max_length": LIMIT, **changes})
    return folder


@pytest.fixture(scope="module")
def short(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("short")
    return {
        "right": shortened(bert, folder / "right"),
        "left": shortened(bert, folder / "left", truncation_side="left"),
    }


@pytest.fixture(scope="module")
def open_short(short: dict[str, Path]) -> Callable[[str], TextTokenizer]:
    opened = {side: TextTokenizer(read_layout(path, task="score")) for side, path in short.items()}
    return opened.__getitem__


def pieces(tokenizer: TextTokenizer, text: str) -> list[int]:
    return tokenizer.whole.encode(text, add_special_tokens=False).ids


words = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)


@pytest.mark.parametrize("side", ["right", "left"])
@settings(max_examples=60, deadline=None)
@given(query=words, text=words)
def test_only_the_second_text_of_a_pair_is_cut(
    open_short: Callable[[str], TextTokenizer], side: str, query: str, text: str
) -> None:
    tokenizer = open_short(side)
    cls, sep = 2, 3
    first, second = pieces(tokenizer, query), pieces(tokenizer, text)
    room = LIMIT - 3 - len(first)
    before = tokenizer.truncated, tokenizer.truncated_tokens
    (found,) = tokenizer.tokenize([(query, text)])
    if len(second) <= room:
        kept = second
    elif room >= 1:
        kept = second[:room] if side == "right" else second[-room:]
    else:
        assert len(found.ids) == LIMIT
        assert tokenizer.truncated_tokens - before[1] == len(first) + len(second) + 3 - LIMIT
        return
    assert found.ids == [cls, *first, sep, *kept, sep]
    assert found.type_ids == [0] * (len(first) + 2) + [1] * (len(kept) + 1)
    assert tokenizer.truncated - before[0] == (len(kept) < len(second))
    assert tokenizer.truncated_tokens - before[1] == len(second) - len(kept)


@pytest.mark.parametrize("side", ["right", "left"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=words, query=words)
def test_as_transformers_where_that_would_cut_the_same(
    open_short: Callable[[str], TextTokenizer],
    short: dict[str, Path],
    side: str,
    text: str,
    query: str,
) -> None:
    tokenizer = open_short(side)
    reference = _reference(short[side])
    before = tokenizer.truncated_tokens
    (found,) = tokenizer.tokenize([text])
    assert found.ids == reference(text, truncation=True).input_ids
    whole = reference(text).input_ids
    assert tokenizer.truncated_tokens - before == len(whole) - len(found.ids)
    (expected,) = reference([[query, text]], truncation="longest_first").input_ids
    (found,) = tokenizer.tokenize([(query, text)])
    first, second = len(pieces(tokenizer, query)), len(pieces(tokenizer, text))
    room = LIMIT - 3
    if first + second > room and first > room // 2 and room - first >= 1:
        # There the reference cuts the query, or both.
        assert found.ids != expected
    else:
        assert found.ids == expected


def _reference(folder: Path) -> AutoTokenizer:
    if folder not in _REFERENCES:
        _REFERENCES[folder] = AutoTokenizer.from_pretrained(folder)
    return _REFERENCES[folder]


_REFERENCES: dict[Path, AutoTokenizer] = {}


def test_a_limit_that_leaves_no_room(bert: Path, tmp_path: Path) -> None:
    for limit in (1, 2, 3):
        folder = shortened(bert, tmp_path / str(limit), model_max_length=limit)
        tokenizer = TextTokenizer(read_layout(folder, task="score"))
        texts = ["the cell", ("the cell", "the cell"), ("", "")]
        for each in tokenizer.tokenize(texts):
            assert len(each.ids) == len(each.type_ids) == limit
        assert tokenizer.truncated_tokens == 4 + 7 + 3 - 3 * limit


def test_prompts_are_put_before_the_query(bert: Path) -> None:
    tokenizer = TextTokenizer(read_layout(bert, task="score"))
    prompted, plain = tokenizer.tokenize(
        [PromptedPair("cell", "lipids", prompt="the "), ("the cell", "lipids")]
    )
    assert prompted == plain


@pytest.fixture(scope="module")
def chat(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TextTokenizer]:
    """Opens a tokenizer of bytes with a template and a limit."""

    def open_chat(
        template: str = TEMPLATE, *, limit: int = 60, task: str = "score", **options: object
    ) -> TextTokenizer:
        folder = tmp_path_factory.mktemp("chat")
        write_json(folder / "config.json", {"model_type": "qwen3"})
        write_byte_tokenizer(folder, template=template, **options)
        edit_json(folder / "tokenizer_config.json", {"model_max_length": limit})
        return TextTokenizer(read_layout(folder, task=task))

    return open_chat


def spelled(tokenizer: TextTokenizer, text: str | tuple[str, str]) -> str:
    """What is read of a text, a character or a special token for each token."""
    (tokenized,) = tokenizer.tokenize([text])  # type: ignore[list-item]
    tokens = [tokenizer.whole.id_to_token(token_id) for token_id in tokenized.ids]
    return "".join(tokens).replace("Ġ", " ").replace("Ċ", "\n")


DOCUMENT = "abcdefghijklm"
TAIL = "<|end|>\nanswer:"


def test_only_the_document_within_a_template_is_cut(chat: Callable[..., TextTokenizer]) -> None:
    # 20 tokens before the document, 9 after it.
    right, left = chat(limit=36), chat(limit=36, truncation_side="left")
    head = "<|start|>query: q\ndocument: "
    assert spelled(right, ("q", DOCUMENT)) == f"{head}abcdefg{TAIL}"
    assert spelled(left, ("q", DOCUMENT)) == f"{head}ghijklm{TAIL}"
    assert (right.truncated, right.truncated_tokens) == (left.truncated, 6) == (1, 6)
    assert spelled(right, ("q", "abcdefg")) == f"{head}abcdefg{TAIL}"
    # The system's message takes 5 tokens more.
    prompted = PromptedPair("q", DOCUMENT, prompt="why")
    assert spelled(right, prompted) == f"<|start|>why\n{head}ab{TAIL}"
    assert spelled(left, prompted) == f"<|start|>why\n{head}lm{TAIL}"
    assert right.truncated == 2
    # A query that leaves no room: the end of the template stays all the same.
    assert spelled(right, ("u" * 40, DOCUMENT)) == f"<|start|>query: {'u' * 19}{TAIL}"


def test_a_query_behind_the_document_is_not_cut(chat: Callable[..., TextTokenizer]) -> None:
    template = "{{ messages[1]['content'] }} for {{ messages[0]['content'] }}?"
    tokenizer = chat(template, limit=16)
    assert spelled(tokenizer, ("query", DOCUMENT)) == "abcde for query?"
    assert tokenizer.truncated_tokens == 8
    # One that leaves no room is cut, and the end of the template stays.
    assert spelled(tokenizer, ("u" * 40, DOCUMENT)) == "abcdefghijklm f?"


def test_a_text_alone_is_what_the_user_says(chat: Callable[..., TextTokenizer]) -> None:
    template = "{{ messages[0]['role'] }}: {{ messages[0]['content'] }}<|end|>"
    tokenizer = chat(template, limit=12, task="embedding")
    assert spelled(tokenizer, "abc") == "user: abc<|end|>"
    assert spelled(tokenizer, DOCUMENT) == "user: abcde<|end|>"
    assert spelled(tokenizer, "\ud800") == "user: ?<|end|>"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
        ("{{ cycler.__init__.__globals__.os.system('touch hacked') }}", "SecurityError"),
        ("{% include 'tokenizer.json' %}", "TypeError: no loader"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{{ raise_exception('only users') }}", "TemplateError: only users"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "ended"),
        ("{{ messages[0]['content'] }}", "leaves out what the role 'document' says"),
        ("{{ messages[1]['content'] }}", "leaves out what the role 'query' says"),
        ("{% if %}", "TemplateSyntaxError"),
    ],
)
def test_a_hostile_or_broken_template_is_an_error(
    chat: Callable[..., TextTokenizer],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    template: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(chat_template, "RENDERING_LIMIT", 0.3)
    before = sys.gettrace()
    with pytest.raises(CheckpointError, match=message) as raised:
        chat(template)
    assert "chat template" in str(raised.value)
    assert not list(tmp_path.iterdir())
    assert sys.gettrace() is before


def test_a_template_that_is_promised_and_missing(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "model"))
    kind = "sentence_transformers.models.Transformer"
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": kind}])
    edit_json(folder / "sentence_bert_config.json", {"modality_config": {"message": {}}})
    with pytest.raises(CheckpointError, match=r"it has none.*chat_template\.jinja"):
        TextTokenizer(read_layout(folder, task="score"))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("text", "one text was given, 'text', whose letters"),
        (b"text", "not bytes b'text'"),
        (None, "not NoneType None"),
        (7, "not int 7"),
        ({"a": "b"}, "not dict"),
        ({"a"}, "not set"),
        (["a", None], "text 1 is None; leave it out"),
        (["a", 1.5], r"text 1 is float 1\.5; make a str of it"),
        ([b"a"], "text 0 is bytes, b'a'; decode"),
        (["a", ["b", "c"]], "text 1 is a list"),
        ([("a", "b", "c")], "pair 0 is not two texts"),
        ([("a", None)], "the second text of pair 0 is None"),
        ([(b"a", "b")], "the first text of pair 0 is bytes"),
        (["x" * 99, 10**99], r"int 10{59}\.\.\."),
    ],
)
def test_what_is_no_text_is_refused(bert: Path, texts: object, message: str) -> None:
    tokenizer = TextTokenizer(read_layout(bert, task="embedding"))
    for check in (check_texts, tokenizer.tokenize):
        with pytest.raises(ConfigError, match=message):
            check(texts)  # type: ignore[arg-type]
    assert tokenizer.truncated == 0


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (("query", "text"), "pair 0 is not two texts but str 'query'"),
        (["ab", "cd"], "pair 0 is not two texts but str 'ab'"),
        ("ab", "pairs must be in a list"),
        ([["q", "t"], ["q"]], "pair 1 is not two texts"),
        ([["q", 3]], "the second text of pair 0 is int 3"),
    ],
)
def test_what_is_no_pair_is_refused(pairs: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_pairs(pairs)


def test_odd_texts_and_what_holds_texts(bert: Path) -> None:
    tokenizer = TextTokenizer(read_layout(bert, task="embedding"))
    cls, unknown, sep = 2, 1, 3
    odd = [each.ids for each in tokenizer.tokenize(["", "\x00", "the\x00 cell", "\ud800", "日"])]
    question = pieces(tokenizer, "?")
    assert odd == [
        [cls, sep],
        [cls, sep],
        [cls, *pieces(tokenizer, "the cell"), sep],
        [cls, *question, sep],
        [cls, unknown, sep],
    ]
    (pair,) = tokenizer.tokenize([("\ud800", "the")])
    assert pair.ids == [cls, *question, sep, *pieces(tokenizer, "the"), sep]
    assert tokenizer.tokenize([]) == []
    listed = tokenizer.tokenize(["the", "cell"])
    assert tokenizer.tokenize(("the", "cell")) == listed
    assert tokenizer.tokenize(np.array(["the", "cell"])) == listed  # type: ignore[arg-type]


def test_a_million_characters_without_a_space(bert: Path, tmp_path: Path) -> None:
    write_roberta_tokenizer(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "roberta", "pad_token_id": 1})
    tokenizer = TextTokenizer(read_layout(tmp_path, task="embedding"))
    for text in ("ab" * 500_000, "日" * 333_333):
        before = tokenizer.truncated_tokens
        (found,) = tokenizer.tokenize([text])
        whole = tokenizer.whole.encode_batch_fast([text])[0].ids
        assert found.ids == [*whole[: tokenizer.max_tokens - 1], whole[-1]]
        assert tokenizer.truncated_tokens - before == len(whole) - tokenizer.max_tokens
    # WordPiece takes a word of more than a hundred characters for one that it does not know.
    (word,) = TextTokenizer(read_layout(bert, task="embedding")).tokenize(["a" * 1_000_000])
    assert word.ids == [2, 1, 3]

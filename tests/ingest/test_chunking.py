"""Chunks: exact offsets, sizes that hold, headings, and the splitter's own cuts as the oracle."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from semantic_text_splitter import MarkdownSplitter, TextSplitter
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel
from tokenizers.trainers import BpeTrainer, WordPieceTrainer

from search_engine.config import ChunkingConfig
from search_engine.errors import ReadError
from search_engine.ingest.chunking import Chunker
from search_engine.ingest.files import find_files
from search_engine.ingest.formats.markdown import outline_markdown
from search_engine.ingest.reading import read_files
from search_engine.types import Chunk, Document, Markup

PROSE = json.__doc__ or ""


def make_tokenizer() -> Tokenizer:
    """A small WordPiece."""
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    trainer = WordPieceTrainer(vocab_size=400, special_tokens=["[UNK]"], show_progress=False)
    tokenizer.train_from_iterator([PROSE, "äöü 漢字かな 😀", "the quick brown fox " * 3], trainer)
    return tokenizer


def limit(tokenizer: Tokenizer) -> Tokenizer:
    """The same with truncation and padding, as published tokenizers have; neither may count."""
    limited = Tokenizer.from_str(tokenizer.to_str())
    limited.enable_truncation(8)
    limited.enable_padding(length=8)
    return limited


def make_byte_level_tokenizer() -> Tokenizer:
    """One in which white space belongs to tokens, so that words do not add up."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(vocab_size=500, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator([PROSE], trainer)
    return tokenizer


PLAIN_TOKENIZER = make_tokenizer()
BYTE_LEVEL_TOKENIZER = make_byte_level_tokenizer()
SMALL = Chunker(ChunkingConfig(max_tokens=16), limit(PLAIN_TOKENIZER))
BYTE_LEVEL = Chunker(ChunkingConfig(max_tokens=16), BYTE_LEVEL_TOKENIZER)
BY_CHARACTERS = Chunker(ChunkingConfig(max_tokens=16))


def count(text: str) -> int:
    return len(PLAIN_TOKENIZER.encode(text, add_special_tokens=False).ids)


def document(text: str, markup: Markup = "plain") -> Document:
    return Document("d", text, markup=markup)


def check(text: str, chunks: list[Chunk]) -> None:
    """Offsets are exact and ascending, and nothing but white space is in no chunk."""
    end = 0
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert not chunk.text.isspace() and chunk.text
        assert text[end : chunk.start].strip() == ""
        end = chunk.end
    assert text[end:].strip() == ""


words = st.text(st.sampled_from("abcdeäöü😀👩‍👩‍👧é.,-_0漢字か\u0301\x00\x1c\u200b"), max_size=30)
plain = st.lists(st.one_of(words, st.sampled_from([" ", "\n", "\n\n", "\r\n", "\t"])), max_size=60)
pieces = st.sampled_from(
    ["# H 😀\n", "## I { #i }\n", "---\n", "```\n", "* a\n", "> q\n", "| a | b |\n|---|---|\n",
     "    code\n", "\n", "\r\n", "title: x\n", "Setext\n===\n", "![i](u) *e*\n", "<div>\n"]
)  # fmt: skip


@given(plain.map("".join))
@settings(max_examples=150, deadline=None)
def test_plain_offsets(text: str) -> None:
    for chunker in (SMALL, BY_CHARACTERS):
        check(text, chunker.chunk(document(text)))


@given(st.lists(st.one_of(pieces, words), max_size=40).map("".join))
@settings(max_examples=200, deadline=None)
def test_markdown_offsets(text: str) -> None:
    body = text
    chunks = SMALL.chunk(document(text, "markdown"))
    if chunks and text.startswith("---\n") and text[: chunks[0].start].strip():
        # Front matter: what comes before the first chunk ends with its closing rule.
        head = text[: chunks[0].start].rstrip()
        assert head.endswith(("---", "..."))
        body = " " * len(head) + text[len(head) :]
    check(body, chunks)


@given(st.text(st.sampled_from("abctheqik äöü😀.,-'\n\t"), max_size=300))
@settings(max_examples=150, deadline=None)
def test_sizes_hold_and_cuts_are_the_splitters_own(text: str) -> None:
    chunks = SMALL.chunk(document(text))
    oracle = TextSplitter.from_huggingface_tokenizer(PLAIN_TOKENIZER, 16)
    expected = [(start, piece) for start, piece in oracle.chunk_indices(text) if piece]
    if all(re.search(r"[^\W_]", piece) for _, piece in expected):
        assert all(count(chunk.text) <= 16 for chunk in chunks)
        assert [(c.start, c.text) for c in chunks] == expected
    else:
        # Pieces without a word are joined to their neighbours: fewer cuts, none that is new.
        assert all(count(chunk.text) <= 16 + 54 for chunk in chunks)
        assert {c.start for c in chunks} <= {start for start, _ in expected}
        assert {c.end for c in chunks} <= {start + len(piece) for start, piece in expected}


def test_markdown_cuts_are_the_splitters_own() -> None:
    text = f"# One\n\n{PROSE}\n\n## Two\n\n* a\n* b\n\n```\n{PROSE}\n```\n"
    oracle = MarkdownSplitter.from_huggingface_tokenizer(PLAIN_TOKENIZER, 64)
    chunks = Chunker(ChunkingConfig(max_tokens=64), PLAIN_TOKENIZER).chunk(
        document(text, "markdown")
    )
    expected = oracle.chunk_indices(text)
    # The first piece is a heading by itself and belongs to the text below it.
    assert expected[0] == (0, "# One")
    assert (chunks[0].start, chunks[0].text.endswith(expected[1][1])) == (0, True)
    # The opening fence has no word and belongs to the code below it.
    fence = [text for _, text in expected].index("```")
    joined = [*expected[2:fence], (expected[fence][0], f"```\n{expected[fence + 1][1]}")]
    assert [(c.start, c.text) for c in chunks[1:fence]] == joined
    assert len(chunks) > 10


@given(st.text(st.sampled_from("abc äöü😀.'\n\t"), max_size=300))
@settings(max_examples=50, deadline=None)
def test_sizes_hold_where_white_space_is_in_tokens(text: str) -> None:
    chunks = BYTE_LEVEL.chunk(document(text))
    check(text, chunks)
    encoded = [BYTE_LEVEL_TOKENIZER.encode(chunk.text).ids for chunk in chunks]
    assert all(len(ids) <= 16 + 54 for ids in encoded)
    oracle = TextSplitter.from_huggingface_tokenizer(BYTE_LEVEL_TOKENIZER, 16)
    expected = [piece for piece in oracle.chunks(text) if piece]
    if all(re.search(r"[^\W_]", piece) for piece in expected):
        assert all(len(ids) <= 16 for ids in encoded)
        assert [c.text for c in chunks] == expected


def test_the_callers_tokenizer_is_left_as_it_is() -> None:
    tokenizer = limit(PLAIN_TOKENIZER)
    before = tokenizer.to_str()
    Chunker(ChunkingConfig(), tokenizer).chunk(document(PROSE))
    assert tokenizer.to_str() == before


def test_headings_are_those_above_the_start() -> None:
    text = (
        "---\ntitle: T\n---\nIntro one two three four five six seven.\n\n"
        "# A { #a }\n\nalpha alpha alpha alpha alpha alpha alpha.\n\n"
        "### B *b*\n\nbeta beta beta beta beta beta beta beta.\n\n"
        "```\n# not a heading, not a heading, not a heading\n```\n\n"
        "## C\n\ngamma gamma gamma gamma gamma gamma.\n\n"
        "D\n===\n\ndelta delta delta delta delta delta.\n"
    )
    chunks = Chunker(ChunkingConfig(max_tokens=16)).chunk(document(text, "markdown"))
    check(text[len("---\ntitle: T\n---\n") :], [
        Chunk(c.text, c.start - 17, c.end - 17) for c in chunks
    ])  # fmt: skip
    under = {
        word: {chunk.headings for chunk in chunks if word in chunk.text}
        for word in ("Intro", "alpha", "beta", "not a heading", "gamma", "delta")
    }
    assert under == {
        "Intro": {()},
        "alpha": {("A",)},
        "beta": {("A", "B b")},
        "not a heading": {("A", "B b")},
        "gamma": {("A", "C")},
        "delta": {("D",)},
    }


def test_plain_text_has_no_headings() -> None:
    assert [c.headings for c in SMALL.chunk(document("# not one\n\ntext"))] == [()]


def test_front_matter_alone_is_still_found() -> None:
    (chunk,) = SMALL.chunk(document("---\ntitle: alone\n---\n", "markdown"))
    assert "alone" in chunk.text


def test_strategy_none_is_the_whole_text() -> None:
    text = "  ---\n" + PROSE * 3 + "\n\n"
    chunks = Chunker(ChunkingConfig(strategy="none")).chunk(document(text, "markdown"))
    assert chunks == [Chunk(text, 0, len(text))]


@pytest.mark.parametrize("text", ["", " \n\t "])
@pytest.mark.parametrize("strategy", ["default", "none"])
def test_nothing_of_nothing(text: str, strategy: str) -> None:
    config = ChunkingConfig.model_validate({"strategy": strategy})
    assert Chunker(config).chunk(document(text)) == []


def test_without_a_tokenizer_a_token_is_four_characters() -> None:
    chunks = BY_CHARACTERS.chunk(document("abc " * 100))
    assert max(len(chunk.text) for chunk in chunks) == 63  # 16 words and the spaces between
    assert len(chunks) == 7


def test_lone_surrogate_is_named() -> None:
    with pytest.raises(ReadError, match=r"^d: has half a character .* at offset 3$"):
        SMALL.chunk(document("abc\ud83d"))


@pytest.mark.parametrize(
    "text",
    ["ab cd " * 200_000, "a" * 1_200_000, "Ж" * 100_000, "漢字" * 200_000, "x. y\n" * 60_000],
)
@pytest.mark.parametrize("markup", ["plain", "markdown", "rst", "code/javascript"])
@pytest.mark.timeout(60)
def test_long_lines_are_cut_to_their_end(text: str, markup: Markup) -> None:
    # Without windows the first three take from half a minute to a minute and a half.
    chunks = Chunker(ChunkingConfig(), PLAIN_TOKENIZER).chunk(document(text, markup))
    check(text, chunks)
    assert max(len(chunk.text) for chunk in chunks) <= 1200


def test_windows_end_at_sections() -> None:
    section = "## S\n\n" + "one two three four five.\n" * 40 + "\n"
    text = section * 200
    chunker = Chunker(ChunkingConfig(max_tokens=500), PLAIN_TOKENIZER)
    chunks = chunker.chunk(document(text, "markdown"))
    check(text, chunks)
    # As many as if each section were cut by itself, wherever the windows end.
    alone = chunker.chunk(document(section, "markdown"))
    assert len(chunks) == 200 * len(alone)


FOLDERS = (
    "docs-prometheus",
    "docs-fastapi",
    "docs-pdf-samples",
    "docs-mixed-markitdown",
    "docs-rust-book",
)


@pytest.mark.parametrize("name", FOLDERS)
def test_shared_folders(shared_data: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    found = find_files([shared_data / "folders" / name])
    assert found.problems == ()
    on_disk = [
        path for path in (shared_data / "folders" / name).rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.parts[-3:])
    ]  # fmt: skip
    assert len(on_disk) == len(found.files) + len(found.skipped)
    chunker = Chunker(ChunkingConfig())
    files = set()
    for record in read_files(found.files, {file.root: name for file in found.files}):
        files.add(record.file)
        if record.document is not None:
            chunks = chunker.chunk(record.document)
            assert chunks
            for chunk in chunks:
                assert record.document.text[chunk.start : chunk.end] == chunk.text
    assert files == set(found.files)
    assert capfd.readouterr() == ("", "")


def test_what_says_nothing_by_itself_is_joined_to_its_neighbour() -> None:
    code = "\n".join(f"word{n} = some code that is long enough to be cut off" for n in range(8))
    text = (
        f"# Title\n\n## Rules\n\n{PROSE[:300]}\n\n```yaml\n{code}\n```\n\n"
        f'### Miscellaneous\n\n<!-- Old headings. -->\n<a id="old"></a>\n\n{PROSE[:300]}\n\n***\n'
    )
    chunks = Chunker(ChunkingConfig(max_tokens=32), PLAIN_TOKENIZER).chunk(
        document(text, "markdown")
    )
    check(text, chunks)
    lonely = re.compile(r"(?:#+ .*|```.*|<!--.*?-->|<[^>]*>|\W)*")
    assert [chunk.text for chunk in chunks if lonely.fullmatch(chunk.text)] == []
    (under,) = [chunk for chunk in chunks if "### Miscellaneous" in chunk.text]
    assert under.headings == ("Title", "Rules", "Miscellaneous")


@pytest.mark.parametrize(
    "text", ["# Only a heading\n", "```\n```\n", "***\n\n---\n\n# A\n\n## B\n"]
)
def test_a_document_of_such_pieces_is_one_chunk(text) -> None:
    chunks = Chunker(ChunkingConfig(max_tokens=16)).chunk(document(text, "markdown"))
    assert [chunk.text for chunk in chunks] == [text.strip()]


SLIGHT = st.sampled_from(
    [
        "# H\n",
        "### I\n\n",
        "```\n",
        "***\n\n",
        "<a id='x'></a>\n\n",
        "<!-- old word -->\n\n",
        "___\n",
    ]
)


@given(st.lists(st.one_of(SLIGHT, st.just("alpha beta gamma delta. \n\n")), max_size=80))
@settings(max_examples=100, deadline=None)
def test_joined_chunks_are_whole_and_bounded(parts: list[str]) -> None:
    text = "\n" + "".join(parts)  # the line feed: no front matter
    chunks = SMALL.chunk(document(text, "markdown"))
    check(text, chunks)
    assert all(count(chunk.text) <= 16 + 54 for chunk in chunks)
    for chunk, following in pairwise(chunks):
        if not re.search(r"[^\W_]", chunk.text):
            # One without a word stands alone only where there is no room beside it.
            assert count(text[chunk.start : following.end]) > 16 + 54


def test_a_long_run_of_slight_pieces_is_bounded() -> None:
    text = "# A\n\nalpha beta.\n\n" + "".join(f"## {'-' * n}\n\n***\n\n" for n in range(200))
    chunks = SMALL.chunk(document(text, "markdown"))
    check(text, chunks)
    assert max(count(chunk.text) for chunk in chunks) <= 16 + 54
    assert len(chunks) > 10


def test_a_heading_stays_with_its_text_when_an_anchor_before_it_has_no_room() -> None:
    anchors = "".join(f'<a id="old-anchor-number-{n}"></a>\n' for n in range(12))
    text = f"{anchors}\n# Found\n\n{'alpha beta ' * 70}\n"
    chunks = Chunker(ChunkingConfig(max_tokens=200)).chunk(document(text, "markdown"))
    check(text, chunks)
    (under,) = [chunk for chunk in chunks if "# Found" in chunk.text]
    assert "alpha beta" in under.text
    assert under.headings == ("Found",)
    assert len(under.text) <= (200 + 54) * 4


def test_plain_text_without_a_word_is_joined_too() -> None:
    text = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda\n\n\n-----------\n"
    (chunk,) = BY_CHARACTERS.chunk(document(text))
    assert chunk.text == text.strip()


def test_prometheus_has_no_chunk_without_a_word(shared_data: Path) -> None:
    found = find_files([shared_data / "folders" / "docs-prometheus"])
    chunker = Chunker(ChunkingConfig())
    splitter = MarkdownSplitter(800)
    before = after = 0
    for record in read_files(found.files, {file.root: "p" for file in found.files}):
        assert record.document is not None
        if record.document.markup != "markdown":
            continue
        text = record.document.text
        chunks = chunker.chunk(record.document)
        body = outline_markdown(text).body
        before += len(splitter.chunks(text[body:])) if text[body:].strip() else 1
        after += len(chunks)
        if re.search(r"[^\W_]", text):
            silent = [c.text for c in chunks if not re.search(r"[^\W_]", c.text)]
            assert silent == [], record.document.source
            lone = [c.text for c in chunks if re.fullmatch(r"#{1,6} .*", c.text)]
            assert lone == [] or len(chunks) == 1, record.document.source
    # The splitter's own cuts, and what is left once the slight ones are joined.
    assert (before, after) == (2287, 2207)

"""Programs that nobody wrote: where parsing is given up, and that chunks are whole all the same."""

from __future__ import annotations

import pytest

from search_engine.config import ChunkingConfig
from search_engine.ingest.chunking import Chunker
from search_engine.ingest.formats import grammars
from search_engine.ingest.formats.code import Definition, find_definitions
from search_engine.ingest.formats.grammars import parse_program
from search_engine.types import Document

FUNCTION = {
    "bash": "f() { :; }\n",
    "cpp": "int f() { return 1; }\n",
    "csharp": "int f() { return 1; }\n",
}


@pytest.mark.parametrize(("comment", "width"), [("a", 1), ("ü", 2)])
def test_a_program_has_at_most_400_000_bytes(comment: str, width: int) -> None:
    text = "def f(): pass\n#"
    text += "x" * (len(text) % width) + comment * ((400_000 - len(text)) // width)
    assert len(text.encode()) == 400_000
    assert [found.title for found in find_definitions(text, "python")] == ["f"]
    assert find_definitions(text + "x", "python") == ()


@pytest.mark.parametrize(
    ("repeated", "language", "few", "many"),
    [
        # Takes 3 KB of memory a byte.
        ("a<", "cpp", 50, 20_000),
        # Takes 2,000 operations a byte.
        ("*?", "cpp", 50, 20_000),
        ("#[a]\n", "csharp", 50, 40_000),
        # Each is read again up to the end of the text.
        ("(a)", "bash", 50, 5_000),
    ],
)
def test_what_is_ambiguous_all_over_has_no_definitions(
    repeated: str, language: str, few: int, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammars, "_MAX_TIME", float("inf"))
    # The definition stands before it, and is found where the parser gets to the end.
    found = find_definitions(FUNCTION[language] + repeated * few, language)
    assert [definition.title for definition in found] == ["f"]
    assert parse_program((FUNCTION[language] + repeated * many).encode(), language) is None


def test_time_is_bounded_where_operations_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"x = 1\n" * 1_000
    assert parse_program(data, "python") is not None
    monkeypatch.setattr(grammars, "_MAX_TIME", 0.0)
    assert parse_program(data, "python") is None


@pytest.mark.parametrize(
    ("repeated", "count", "language"),
    [("0x12,", 800_000, "cpp"), ("a<", 1_000_000, "cpp"), ("f(() => {\n", 200_000, "javascript")],
)
def test_what_is_not_parsed_is_cut_to_its_end(repeated: str, count: int, language: str) -> None:
    text = repeated * count
    chunks = Chunker(ChunkingConfig()).chunk(Document("d", text, markup=f"code/{language}"))
    end = 0
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert len(chunk.text) <= (200 + 54) * 4
        assert chunk.headings == ()
        assert not text[end : chunk.start].strip()
        end = chunk.end
    assert not text[end:].strip()


@pytest.mark.timeout(60)
def test_definitions_on_one_line() -> None:
    # Each looked through all of the line before it.
    one, between, count = "function f(){}", "class A{} /* c */ ", 12_000
    text = "  /* about */ " + (one + between) * count
    first, step = len("  /* about */ "), len(one + between)
    expected = []
    for start in range(first, len(text), step):
        end = start + len(one)
        whole = 0 if start == first else start
        expected.append(Definition(whole, end, 1, "f", start, is_function=True))
        comment = end + len(between) - 1
        expected.append(Definition(end, comment, 1, "A", end, is_function=False))
    found = find_definitions(text, "javascript")
    assert [(d.start, d.end, d.level, d.title, d.is_function) for d in found] == [
        (d.start, d.end, d.level, d.title, d.is_function) for d in expected
    ]

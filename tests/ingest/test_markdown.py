"""Markdown files: the text as it stands, titles, front matter, the outline."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from search_engine.ingest.formats.markdown import outline_markdown
from tests.ingest.reading import read_bytes, read_one


def test_markdown_is_the_file_as_it_stands(tmp_path: Path) -> None:
    text = (
        "---\r\ntitle: The Guide\r\ndraft: false\r\nweight: 3\r\ndate: 2024-05-01\r\n"
        "tags: [a, b]\r\n---\r\n# Heading\r\n\r\nBody.\r\n"
    )
    document = read_one(tmp_path, "g.md", text.encode())
    assert document.text == text
    assert document.title == "The Guide"
    assert dict(document.metadata) == {"draft": False, "weight": 3, "date": "2024-05-01"}
    assert (document.markup, document.first_line) == ("markdown", 1)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# First Steps { #first-steps }\n", "First Steps"),
        (
            "Intro.\n\n## `code` and *stress* [link](http://x) ![pic](y)\n",
            "code and stress link pic",
        ),
        ("Setext\nheading\n===\n", "Setext heading"),
        ("```\n# not a heading\n```\n", "page"),
        ("# \n\n## Second\n", "Second"),
        ("# Use {braces} & &amp; <b>bold</b>\n", "Use {braces} & & bold"),
        ("# Kramdown {: .cls key=v }\n", "Kramdown"),
        ("---\ntitle: 2024\n---\n# Other\n", "2024"),
        ("---\ntitle: ''\n---\n# Other\n", "Other"),
        ("---\n\nA rule, not front matter\n\n---\n# Other\n", "Other"),
        ("no heading", "page"),
    ],
)
def test_markdown_title(tmp_path: Path, text: str, title: str) -> None:
    assert read_one(tmp_path, "page.md", text.encode()).title == title


def test_broken_front_matter_is_text_and_a_problem(tmp_path: Path) -> None:
    text = "---\ntitle: a: b\n---\n# H\n"
    documents, problems = read_bytes(tmp_path, "a.md", text.encode())
    assert [document.text for document in documents] == [text]
    assert [(problem.line, problem.reason) for problem in problems] == [
        (
            1,
            "the front matter is not YAML (mapping values are not allowed in this context); "
            "it was indexed as text",
        )
    ]
    outline = outline_markdown(text)
    assert (outline.body, outline.headings[-1].start) == (0, text.index("# H"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_outline_offsets(end: str) -> None:
    lines = [
        "---", "a: 1", "---", "# One", "", "~~~", "# code", "~~~", "", "> # quoted", "",
        "Two", "---", "", "   ### Three ###", "text 😀", "#### Four",
    ]  # fmt: skip
    text = end.join(lines)
    outline = outline_markdown(text)
    assert text[outline.body :].startswith("# One")
    assert [(h.level, h.title) for h in outline.headings] == [
        (1, "One"), (2, "Two"), (3, "Three"), (4, "Four"),
    ]  # fmt: skip
    starts = ["# One", "Two", "   ### Three", "#### Four"]
    assert [text.index(start) for start in starts] == [h.start for h in outline.headings]


def test_bad_bytes_are_a_problem_and_the_text_goes_in(tmp_path: Path) -> None:
    data = "# Café é è ü\n\nText ".encode() + b"\xe9\n"
    (document,), (problem,) = read_bytes(tmp_path, "a.md", data)
    assert (document.title, document.text) == ("Café é è ü", "# Café é è ü\n\nText \ufffd\n")
    assert problem.line == 3


def test_what_front_matter_is_too_much() -> None:
    def read(values: str) -> tuple[object, str | None]:
        outline = outline_markdown(f"---\n{values}\n---\n# H\n")
        assert outline.headings[-1].title == "H"
        return outline.front_matter.get("a"), outline.problem

    def nest(depth: int) -> str:
        return "a: 1\nb: " + "[" * depth + "]" * depth

    deep = "the front matter is nested too deeply; it was indexed as text"
    assert read(nest(99)) == (1, None)
    assert read(nest(100)) == (None, deep)
    # libyaml fills the stack and ends the process from some 50,000 levels on.
    assert read("a: 1\nb: " + "[" * 99_000) == (None, deep)
    # What is closed again does not add up.
    assert read("a: 1\nb: [" + "[], {}, " * 200 + "]") == (1, None)
    assert read("a: 1\nb: " + "x" * (100_000 - len("a: 1\nb: "))) == (1, None)
    assert read("a: 1\nb: " + "x" * (100_001 - len("a: 1\nb: "))) == (
        None,
        "the front matter is longer than 100,000 characters; it was indexed as text",
    )


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_outline_ends_after_100_000_lines(end: str) -> None:
    text = f"---{end}a: 1{end}---{end}# A{end}" + f"x{end}" * 99_995 + f"# B{end}"
    after = f"# C{end}text"
    assert text.count("\n") == 100_000
    outline = outline_markdown(text + after)
    assert dict(outline.front_matter) == {"a": 1}
    assert [(h.start, h.level, h.title) for h in outline.headings] == [
        (text.index("# A"), 1, "A"),
        (text.index("# B"), 1, "B"),
        (len(text), 1, ""),
    ]
    # One line less is all in it.
    outline = outline_markdown(text.replace("x", "# X" + end, 1).replace(f"x{end}", "", 2) + "# C")
    assert [h.title for h in outline.headings][-2:] == ["B", "C"]


def test_the_lines_of_text_that_looks_like_front_matter() -> None:
    text = "---\n- a\n---\n" + "x\n" * 100_000 + "# B\n"
    headings = outline_markdown(text).headings
    assert [(h.start, h.title) for h in headings] == [(12 + 2 * 99_997, "")]


def test_a_title_has_at_most_1_000_characters() -> None:
    (heading,) = outline_markdown("# " + "a " * 300_000).headings
    assert heading.title == ("a " * 500).strip()


@given(
    st.lists(
        st.sampled_from(
            ["# A\n", "## *B* c\n", "#\n", "D\n", "===\n", "---\n", "\n", "- ", "> ", "1. ", "    ",
             "  ", "```\n", "<div>\n", "text\n", "* * *\n", "[a]: b\n"]
        ),
        max_size=30,
    )
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_headings_are_those_of_the_whole_parser(parts: list[str]) -> None:
    text = "\n" + "".join(parts)
    tokens = MarkdownIt("commonmark").parse(text)
    expected = [
        (token.map[0], token.tag)
        for token in tokens
        if token.type == "heading_open" and token.level == 0 and token.map is not None
    ]
    assert [
        (text.count("\n", 0, h.start), f"h{h.level}") for h in outline_markdown(text).headings
    ] == expected


def test_blocks_without_headings_take_no_memory() -> None:
    text = "- - - - - - a\n" * 2_000
    outline_markdown("# a\n")
    tracemalloc.start()
    try:
        assert outline_markdown(text).headings == ()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # All tokens of the parser take 20 MB.
    assert peak < 2_000_000

"""Markdown files: the text as it stands, titles, front matter, the outline."""

from __future__ import annotations

from pathlib import Path

import pytest

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

"""The text that encoders are given, form by form."""

from __future__ import annotations

import pytest

from search_engine.config import Config
from search_engine.errors import ConfigError
from search_engine.ingest.text_format import format_text


@pytest.mark.parametrize(
    ("title", "headings", "text", "expected"),
    [
        ("T", (), "body", "T\nbody"),
        ("", (), "body", "body"),
        ("T", ("T", "A", "B"), "body", "T\nA > B\nbody"),
        ("T", ("T",), "body", "T\nbody"),
        ("", ("A",), "body", "A\nbody"),
        ("T", ("", "A"), "line\nline", "T\nA\nline\nline"),
        ("T", (), "", "T"),
    ],
)
def test_title_headings_text(
    title: str, headings: tuple[str, ...], text: str, expected: str
) -> None:
    name = Config().text_format
    assert name == "title-headings-text/1"
    assert format_text(name, title=title, headings=headings, text=text) == expected


def test_unknown_format_names_those_known() -> None:
    with pytest.raises(ConfigError, match=r"'plain/9'; known: title-headings-text/1"):
        format_text("plain/9", title="", headings=(), text="x")

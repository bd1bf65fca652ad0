"""What an encoder is given for a chunk: named formats, so that an index can say which it uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from search_engine.errors import ConfigError


def format_text(name: str, *, title: str, headings: Sequence[str], text: str) -> str:
    """The text that stands for a chunk in the encoders.

    Args:
        name: of the format, with its version; a format never changes under its name.
        title: of the document.
        headings: of the sections that the chunk stands in, outermost first.
        text: the chunk's own.

    Raises:
        ConfigError: no format has that name.
    """
    if name not in _FORMATS:
        known = ", ".join(sorted(_FORMATS))
        raise ConfigError(f"no text format is named {name!r}; known: {known}")
    return _FORMATS[name](title, headings, text)


def _join_title_headings_text(title: str, headings: Sequence[str], text: str) -> str:
    """Title, heading path and text, a line each, without those that are empty.

    A document without headings is "title\\ntext", which WordPiece reads as the "title text" that
    the published BEIR figures were measured with.
    """
    path = " > ".join(heading for heading in headings if heading and heading != title)
    return "\n".join(part for part in (title, path, text) if part)


_FORMATS: dict[str, Callable[[str, Sequence[str], str], str]] = {
    "title-headings-text/1": _join_title_headings_text,
}

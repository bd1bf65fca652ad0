"""Text of documents as HTML that shows it exactly as it was written.

Streamlit's Markdown is no way to show such text: even with every sign escaped it turns `:smile:`
and `->` into something else. So what a document says reaches the browser through these two
functions alone, every character escaped, in `st.html`, which strips scripts besides.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def element(tag: str, css_class: str, *texts: str) -> str:
    """An element of texts with a space between, escaped and each kept to its own direction."""
    # A text that changes the direction of writing must not reach into what follows it.
    inner = " ".join(f"<bdi>{escape(text)}</bdi>" for text in texts)
    return f'<{tag} class="{css_class}">{inner}</{tag}>'


def marked(css_class: str, text: str, spans: Iterable[tuple[int, int]]) -> str:
    """A paragraph of text, escaped, with some of its words in `<mark>`.

    Args:
        spans: (start, end) offsets into `text`, ascending, without overlap.
    """
    pieces: list[str] = []
    done = 0
    for start, end in spans:
        pieces += [escape(text[done:start]), "<mark>", escape(text[start:end]), "</mark>"]
        done = end
    pieces.append(escape(text[done:]))
    return f'<p class="{css_class}" dir="auto">{"".join(pieces)}</p>'

"""One result: what it is, where it stands, the passage that matched, and why."""

from __future__ import annotations

import streamlit as st

from app.html_text import element, marked
from search_engine.types import Result


def show_result(result: Result) -> None:
    """Show one result as a card."""
    passage = result.highlight
    with st.container(border=True):
        st.html(
            "".join(
                (
                    '<div class="se-card">',
                    _head(result),
                    _place(result),
                    marked("se-passage", passage.text, passage.spans) if passage.text else "",
                    _legs(result),
                    "</div>",
                )
            )
        )
        if result.text != passage.text:
            with st.expander("Whole chunk", type="compact"):
                _show_chunk(result)


def _head(result: Result) -> str:
    return (
        '<div class="se-head">'
        + element("span", "se-rank", str(result.rank))
        + element("h3", "se-title", result.title or result.doc_id)
        + element("span", "se-score", f"score {result.score:.3f}")
        + "</div>"
    )


def _place(result: Result) -> str:
    """The source with page or line, and the sections the chunk stands in."""
    parts = [element("span", "se-source", result.source or result.doc_id)]
    if result.page is not None:
        parts.append(element("span", "se-position", f"page {result.page}"))
    elif result.line is not None:
        parts.append(element("span", "se-position", f"line {result.line}"))
    place = f'<div class="se-place">{"".join(parts)}</div>'
    # A page's first heading is mostly its title, which stands above already.
    headings = result.headings[result.headings[:1] == (result.title,) :]
    return (element("div", "se-headings", *headings) if headings else "") + place


def _legs(result: Result) -> str:
    """Rank and score in each leg that found the chunk."""
    legs = "".join(
        element("span", "se-leg", f"{leg} #{result.ranks[leg]}", f"{score:.3f}")
        for leg, score in result.scores.items()
    )
    return f'<div class="se-legs">{legs}</div>'


def _show_chunk(result: Result) -> None:
    passage = result.highlight
    spans = [(passage.start + start, passage.start + end) for start, end in passage.spans]
    st.html(
        '<div class="se-card">'
        + marked("se-chunk", result.text, spans)
        + element("div", "se-place", f"{result.doc_id}, characters {result.start} to {result.end}")
        + "</div>"
    )

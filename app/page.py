"""The search page of one index; `search-cli ui --index NAME` starts it.

Streamlit runs this file anew for every question; the engine stays open in between.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import streamlit as st

from app.html_text import element
from app.result_card import show_result
from search_engine.errors import SearchEngineError
from search_engine.search import SearchEngine
from search_engine.types import SearchResponse

# A file, since Streamlit fetches its own icons for a page's tab from Google.
ICON = Path(__file__).with_name("icon.svg")
STYLE = Path(__file__).with_name("style.css")
RESULT_COUNTS = (5, 10, 20, 50, 100)


def main() -> None:
    """Show the page."""
    folder = _folder_of_arguments()
    name = folder.resolve().name if folder else "No index"
    st.set_page_config(page_title=f"{name} · search", page_icon=ICON, layout="wide")
    st.html(STYLE)
    title = st.empty()
    title.html(element("h1", "se-index", name))
    if folder is None:
        _show_error("No index was named", "start the page with `search-cli ui --index NAME`")
        return
    try:
        engine = _open_engine(folder, _identity(folder))
        counts = f"{engine.document_count:,} documents · {engine.chunk_count:,} chunks"
    except SearchEngineError as error:
        _show_error("The index cannot be opened", str(error))
        return
    title.html(element("h1", "se-index", name) + element("div", "se-counts", counts))

    question_column, k_column = st.columns([5, 1])
    question = question_column.text_input(
        "Question", placeholder="Ask a question and press Enter", label_visibility="collapsed"
    )
    k = k_column.selectbox(
        "Results",
        RESULT_COUNTS,
        index=RESULT_COUNTS.index(10),
        format_func=lambda count: f"{count} results",
        label_visibility="collapsed",
    )
    if not question.strip():
        return
    try:
        response = engine.search(question, k)
    except SearchEngineError as error:
        _show_error("The index cannot be searched", str(error))
        return
    _show_response(response)


def _folder_of_arguments() -> Path | None:
    """The folder that stands after `--index` on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--index", type=Path)
    folder: Path | None = parser.parse_known_args(sys.argv[1:])[0].index
    return folder


def _identity(folder: Path) -> int | None:
    """Tells an index from the one that was at its place before; None where there is none."""
    database = folder / "index.db"
    return database.stat().st_ino if database.exists() else None


@st.cache_resource(max_entries=1, show_spinner="Opening the index…", on_release=SearchEngine.close)
def _open_engine(folder: Path, identity: int | None) -> SearchEngine:  # noqa: ARG001
    """The open engine; `identity` has an index that was built anew opened anew."""
    return SearchEngine.open(folder)


def _show_error(headline: str, details: str) -> None:
    # Details name files and commands, which the Markdown of `st.error` would garble.
    st.error(headline, icon=":material/error:")
    st.html(element("div", "se-details", details))


def _show_response(response: SearchResponse) -> None:
    count = len(response.results)
    found = "Nothing found" if not count else f"{count} result{'s' * (count > 1)}"
    total = response.timings_ms["total"]
    stages = [
        element("span", "se-stage", stage, f"{ms:.1f} ms")
        for stage, ms in response.timings_ms.items()
        if stage != "total"
    ]
    st.html(
        '<div class="se-summary">'
        + element("span", "se-total", f"{found} in {total:.1f} ms")
        + "".join(stages)
        + "</div>"
        + "".join(element("div", "se-note", note) for note in response.notes)
    )
    for result in response.results:
        show_result(result)


if __name__ == "__main__":
    main()

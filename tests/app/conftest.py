"""A small index that needs no model, and the page run over it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import app.page
from search_engine.config import BM25Config, Config
from search_engine.search import SearchEngine
from search_engine.types import Document

CONFIG = Config(dense=None, bm25=BM25Config())
MakeIndex = Callable[..., Path]
OpenPage = Callable[[Path], AppTest]


@pytest.fixture
def make_index(tmp_path: Path) -> MakeIndex:
    """Makes an index of documents in a new folder."""

    def make(*documents: Document, name: str = "letters") -> Path:
        folder = tmp_path / name
        SearchEngine.create(folder, config=CONFIG).close()
        add_documents(folder, *documents)
        return folder

    return make


def add_documents(folder: Path, *documents: Document) -> None:
    """Add documents to an index, as another process would."""
    with SearchEngine.open(folder) as engine, engine.writer() as writer:
        for document in documents:
            writer.add(document)


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenPage]:
    """Opens the page of an index; the engines that stay open are closed at the end."""

    def open_index(folder: Path) -> AppTest:
        monkeypatch.setattr(sys, "argv", ["page.py", "--index", str(folder)])
        return AppTest.from_file(app.page.__file__, default_timeout=30).run()

    st.cache_resource.clear()
    yield open_index
    st.cache_resource.clear()


def ask(page: AppTest, question: str) -> AppTest:
    """Type a question and press Enter."""
    return page.text_input[0].set_value(question).run()

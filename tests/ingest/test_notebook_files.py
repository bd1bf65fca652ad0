"""Notebooks: cells as Markdown, short outputs, versions, damage."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbformat import v3, v4

from search_engine.ingest.formats.markdown import outline_markdown
from search_engine.types import Document
from tests.ingest.reading import read_bytes, read_one, read_problem


def read_notebook(folder: Path, notebook: nbformat.NotebookNode) -> Document:
    return read_one(folder, "a.ipynb", json.dumps(notebook).encode())


def make_notebook(*cells: nbformat.NotebookNode, **metadata: object) -> nbformat.NotebookNode:
    return v4.new_notebook(cells=list(cells), metadata=metadata)


def test_cells_and_outputs(tmp_path: Path) -> None:
    outputs = [
        v4.new_output("stream", text="loading\n"),
        v4.new_output("execute_result", data={"text/plain": "42", "text/html": "<b>42</b>"}),
        v4.new_output("display_data", data={"text/plain": "<Figure>", "image/png": "aGk="}),
        v4.new_output("error", ename="ValueError", evalue="\x1b[31mno\x1b[0m", traceback=["long"]),
        v4.new_output("stream", text="x" * 2001),
        v4.new_output("stream", text="y" * 2000),
    ]
    document = read_notebook(
        tmp_path,
        make_notebook(
            v4.new_markdown_cell("Intro ![p](data:image/png;base64,aGk=)"),
            v4.new_markdown_cell("# The *title*\n\n## Second"),
            v4.new_code_cell("def f():\n    return 42\n", outputs=outputs),
            v4.new_code_cell("", outputs=[]),
            v4.new_raw_cell("raw\n"),
            v4.new_code_cell('s = """\n```\n"""'),
            language_info={"name": "python"},
            authors=[{"name": "Ada"}, {"name": "Grace"}, {"mail": "x"}],
        ),
    )
    assert document.text == (
        "Intro ![p]()\n\n# The *title*\n\n## Second\n\n"
        "```python\ndef f():\n    return 42\n```\n\n"
        f"```\nloading\n42\nValueError: no\n{'y' * 2000}\n```\n\n"
        "```\nraw\n```\n\n"
        '````python\ns = """\n```\n"""\n````'
    )
    assert (document.title, document.markup, document.first_line) == ("The title", "markdown", None)
    assert document.metadata["author"] == "Ada, Grace"


def test_version_3(tmp_path: Path) -> None:
    cells = [
        v3.new_heading_cell("Old", level=2),
        v3.new_text_cell("markdown", source="Some *text*."),
        v3.new_code_cell(
            input="1 + 1", language="julia", outputs=[v3.new_output("pyout", output_text="2")]
        ),
    ]
    notebook = v3.new_notebook(worksheets=[v3.new_worksheet(cells=cells)])
    document = read_notebook(tmp_path, notebook)
    assert document.text == "## Old\n\nSome *text*.\n\n```julia\n1 + 1\n```\n\n```\n2\n```"
    assert document.title == "Old"


def test_a_rule_that_begins_a_notebook_is_no_front_matter(tmp_path: Path) -> None:
    cell = v4.new_markdown_cell("---\nkey: x\n\n---\n# Real")
    document = read_notebook(tmp_path, make_notebook(cell))
    assert (document.title, outline_markdown(document.text).body) == ("Real", 0)


def test_the_language_is_the_kernels_or_none(tmp_path: Path) -> None:
    cell = v4.new_code_cell("x")
    kernel = {"name": "ir", "display_name": "R", "language": "R"}
    named = read_notebook(tmp_path, make_notebook(cell, kernelspec=kernel))
    unnamed = read_notebook(tmp_path, make_notebook(cell))
    assert (named.text, unnamed.text) == ("```R\nx\n```", "```\nx\n```")


def test_the_title_of_a_notebook_without_a_heading_is_its_name(tmp_path: Path) -> None:
    document = read_notebook(tmp_path, make_notebook(v4.new_markdown_cell("text")))
    assert (document.title, "author" in document.metadata) == ("a", False)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "is not a notebook: it is not JSON"),
        (b"\xff\xfe\x00", "is not a notebook: it is not JSON"),
        (b"[]", "is not a notebook or is damaged: "),
        (b'{"cells": []}', "is not a notebook or is damaged: nbformat"),
        (b'{"nbformat": 2, "worksheets": []}', "is a notebook of version 2; save it as 4"),
        (b'{"nbformat": 99}', "is not a notebook or is damaged: Unsupported nbformat version 99"),
        (b'{"nbformat": 4, "metadata": {}, "cells": [5]}', "is not a notebook or is damaged: "),
        (b'{"nbformat": 4, "metadata": {}, "cells": []}', "is empty"),
    ],
)
def test_what_is_no_notebook(tmp_path: Path, data: bytes, reason: str) -> None:
    found, line = read_problem(tmp_path, "a.ipynb", data)
    assert line is None
    assert found.startswith(reason)


def test_a_damaged_notebook_says_nothing_on_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cell = {"cell_type": "code", "input": "x", "outputs": [], "extra": 1}
    notebook = {"nbformat": 3, "metadata": {}, "worksheets": [{"cells": [cell]}]}
    documents, problems = read_bytes(tmp_path, "a.ipynb", json.dumps(notebook).encode())
    assert [d.text for d in documents] == ["```\nx\n```"]
    assert problems == []
    assert capfd.readouterr() == ("", "")

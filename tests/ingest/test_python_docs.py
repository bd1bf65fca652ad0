"""The standard library's docstrings: names, signatures, lines, and files that do not parse."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path

import pytest

from search_engine.ingest.python_docs import read_python_docs
from search_engine.ingest.reading import Record
from search_engine.types import Document


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(read_python_docs())


@pytest.fixture(scope="module")
def documents(records: list[Record]) -> dict[str, Document]:
    found = [record.document for record in records if record.document is not None]
    by_id = {document.doc_id: document for document in found}
    assert len(by_id) == len(found)
    return by_id


def test_counts_thousands_and_leaves_out_what_is_not_the_library(
    documents: dict[str, Document],
) -> None:
    assert 4000 < len(documents) < 10_000
    modules = {str(document.metadata["module"]) for document in documents.values()}
    assert {"json", "os", "posixpath", "asyncio.tasks", "email.message"} <= modules
    parts = {part for module in modules for part in module.split(".")}
    assert not parts & {"test", "tests", "idlelib", "lib2to3", "turtledemo"}
    assert not [name for name in documents if any(p.startswith("_") for p in name[7:].split("."))]


def test_agrees_with_the_imported_module(documents: dict[str, Document]) -> None:
    # The oracle is what Python itself says after importing.
    for name in ("dumps", "dump", "loads", "load"):
        document = documents[f"python/json.{name}"]
        function = getattr(json, name)
        assert document.text == inspect.getdoc(function)
        assert document.title == f"json.{name}{inspect.signature(function)}"
        assert document.metadata == {"module": "json", "kind": "function"}
    assert documents["python/json.encoder.JSONEncoder"].text == inspect.getdoc(json.JSONEncoder)
    assert documents["python/json"].title == "json"
    assert documents["python/json.encoder.JSONEncoder.encode"].metadata["kind"] == "method"


def test_lines_are_those_of_the_source(documents: dict[str, Document]) -> None:
    sources: dict[str, list[str]] = {}
    checked = 0
    for document in documents.values():
        assert document.source is not None
        assert document.first_line is not None
        if document.source not in sources:
            data = Path(document.source).read_bytes().decode("utf-8", errors="replace")
            sources[document.source] = data.splitlines()
        line = sources[document.source][document.first_line - 1].expandtabs()
        if not document.single_line and "\\" not in line and document.text.isascii():
            assert document.text.splitlines()[0].strip() in line
            checked += 1
    assert checked > 0.95 * len(documents)


def test_small_library(tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text(
        '"""Shapes."""\n'
        "class Square:\n"
        '    """\n'
        "\n"
        "    A square.\n"
        "      Indented.\n"
        '    """\n'
        "    def area(self, *, unit='m'):\n"
        '        "The area,\\nin units."\n'
        "    def _hidden(self):\n"
        '        "Hidden."\n'
        "    def bare(self): ...\n"
        "if True:\n"
        "    def make(a: int = 1) -> Square:\n"
        '        "First."\n'
        "else:\n"
        "    def make():\n"
        '        "Second."\n'
    )
    (tmp_path / "_private.py").write_text('"""No."""\n')
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a.py").write_text('"""No."""\n')
    (tmp_path / "broken.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text('"""A package."""\n')
    records = list(read_python_docs(tmp_path))
    documents = [record.document for record in records if record.document]
    assert [(d.doc_id, d.title, d.text, d.first_line, d.single_line) for d in documents] == [
        ("python/package", "package", "A package.", 1, False),
        ("python/shapes", "shapes", "Shapes.", 1, False),
        ("python/shapes.Square", "shapes.Square", "A square.\n  Indented.", 5, False),
        (
            "python/shapes.Square.area",
            "shapes.Square.area(self, *, unit='m')",
            "The area,\nin units.",
            9,
            True,
        ),
        ("python/shapes.make", "shapes.make(a: int=1)", "First.", 15, False),
    ]
    (problem,) = [record.problem for record in records if record.problem]
    assert (problem.path, problem.line) == (str(tmp_path / "broken.py"), 2)
    with pytest.raises(SyntaxError) as raised:
        ast.parse("x = 1\ndef f(:\n")
    assert raised.value.msg in problem.reason

"""Reading files as an index does, for tests of the readers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from search_engine.errors import ReadError
from search_engine.ingest.file_reading import read_file
from search_engine.ingest.files import find_files
from search_engine.types import Document

# What `read_file` adds to the metadata of every document.
_OF_FILE = {"path", "extension", "modified", "title"}


def read(path: Path) -> tuple[list[Document], list[ReadError]]:
    found = find_files([path])
    assert found.problems == ()
    records = [r for file in found.files for r in read_file(file, f"r/{file.relative}")]
    assert all((record.document is None) != (record.problem is None) for record in records)
    documents = [_without_file(r.document) for r in records if r.document is not None]
    return documents, [record.problem for record in records if record.problem is not None]


def _without_file(document: Document) -> Document:
    own = {name: value for name, value in document.metadata.items() if name not in _OF_FILE}
    return replace(document, metadata=MappingProxyType(own))


def read_bytes(folder: Path, name: str, data: bytes) -> tuple[list[Document], list[ReadError]]:
    path = folder / name
    path.write_bytes(data)
    return read(path)


def read_one(folder: Path, name: str, data: bytes) -> Document:
    documents, problems = read_bytes(folder, name, data)
    assert problems == []
    (document,) = documents
    return document


def read_problem(folder: Path, name: str, data: bytes) -> tuple[str, int | None]:
    documents, problems = read_bytes(folder, name, data)
    assert documents == []
    (problem,) = problems
    assert problem.path == str(folder / name)
    return problem.reason, problem.line

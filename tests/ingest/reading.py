"""Reading files as an index does, for tests of the readers."""

from __future__ import annotations

from pathlib import Path

from search_engine.errors import ReadError
from search_engine.ingest.folder import find_files, read_files
from search_engine.types import Document


def read(path: Path) -> tuple[list[Document], list[ReadError]]:
    found = find_files([path])
    assert found.problems == ()
    records = list(read_files(found.files, {path.resolve().parent: "r"}))
    assert all((record.document is None) != (record.problem is None) for record in records)
    documents = [record.document for record in records if record.document is not None]
    return documents, [record.problem for record in records if record.problem is not None]


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

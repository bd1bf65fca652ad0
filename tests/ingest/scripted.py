"""A reader that does what its file says, in a worker process, and what is seen of the process."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from search_engine.ingest import worker_pool, worker_process
from search_engine.ingest.files import SourceFile
from search_engine.ingest.limits import DEFAULT_LIMITS, Limits
from search_engine.ingest.readers import ocr_readers, readers
from search_engine.ingest.reading import Record, read_files

_PACKAGE = "scripted_reader"
_READER = '''
"""A reader for tests: the file is the body of a function that yields what `say` makes."""

import ctypes, os, re, signal, subprocess, sys, tempfile, textwrap, time, warnings
from pathlib import Path

from search_engine.errors import ReadError
from search_engine.ingest.readers import Reading
from search_engine.types import Document

KEPT = []


def say(text, doc_id="", **rest):
    return Reading(Document(doc_id, text, **rest))


def read_script(path):
    code = textwrap.indent(path.read_text(encoding="utf-8"), "    ")
    exec(f"def script(path):\\n{code}\\n    yield from ()", globals())
    yield from script(path)


def recognise_script(path):
    yield say("recognised")
'''
_ENTRY_POINTS = f"""
[search_engine.readers]
.script = {_PACKAGE}:read_script

[search_engine.ocr_readers]
.script = {_PACKAGE}:recognise_script
.scan = {_PACKAGE}:recognise_script
"""


def install_reader(folder: Path) -> Path:
    """A folder from which Python finds a package with a reader for `.script`."""
    metadata = folder / f"{_PACKAGE}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Name: {_PACKAGE}\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(_ENTRY_POINTS, encoding="utf-8")
    (folder / f"{_PACKAGE}.py").write_text(_READER, encoding="utf-8")
    return folder


@contextmanager
def scripted_reader(folder: Path) -> Iterator[None]:
    """The reader for `.script` is installed; it runs in worker processes only."""
    paths = [str(install_reader(folder)), *sys.path]
    try:
        for registry in (readers, ocr_readers):
            registry.__dict__.pop("_targets", None)
        with mock.patch.object(sys, "path", paths):
            yield
    finally:
        for registry in (readers, ocr_readers):
            registry.__dict__.pop("_targets", None)


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """No process, descriptor or temporary file is left of what is done here.

    Args:
        folder: where temporary files go meanwhile.
    """
    folder.mkdir()
    with mock.patch.object(tempfile, "tempdir", str(folder)):
        children, descriptors = find_children(os.getpid()), _descriptors()
        yield
        assert find_children(os.getpid()) == children
        assert _descriptors() == descriptors
        assert list(folder.iterdir()) == []


def find_children(pid: int) -> set[int]:
    """The processes that a process has started and not waited for."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


def wait_for_end(pid: int, *, seconds: float = 20.0) -> bool:
    """Whether a process ends within some time; one that nobody has waited for has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.02)
    return False


def _descriptors() -> set[str]:
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    return {os.readlink(link) for link in links if os.path.lexists(link)}  # noqa: PTH115


def source_file(path: Path) -> SourceFile:
    """A file of its folder, as `find_files` would give it."""
    status = path.stat()
    return SourceFile(path, str(path), path.parent, path.name, status.st_size, status.st_mtime_ns)


def write_script(path: Path, *lines: str) -> SourceFile:
    """A file that says what its reader does."""
    path.write_text("\n".join(lines), encoding="utf-8")
    return source_file(path)


def ids_of(files: list[SourceFile]) -> dict[Path, str]:
    return {file.root: "r" for file in files}


def read(files: list[SourceFile], limits: Limits = DEFAULT_LIMITS) -> list[tuple[str, str]]:
    """The name of a file with each text and each reason that it gave."""
    records = read_files(files, ids_of(files), limits=limits)
    return [(r.file.relative, r.document.text if r.document else reason_of(r)) for r in records]


def reason_of(record: Record) -> str:
    assert record.problem is not None
    assert record.problem.path == record.file.given
    return f"! {record.problem.reason}"


def count_starts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The worker processes that are started from now on."""
    started: list[int] = []

    class Counted(worker_process.WorkerProcess):
        def __init__(self) -> None:
            super().__init__()
            started.append(self.pid)

    monkeypatch.setattr(worker_pool, "WorkerProcess", Counted)
    return started

"""Which reader opens which type of file, and what a reader yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeAlias

from search_engine.errors import ReadError
from search_engine.registry import Registry
from search_engine.types import Document


@dataclass(frozen=True, slots=True)
class Reading:
    """One thing that a reader found in a file.

    Attributes:
        content: a document, or what is wrong with a part of the file. The `doc_id` of a document
            is its id within the file, "" where the document is the whole file; `source` and an
            empty title of a whole file are filled in by `folder.read_files`.
        bytes_read: how far into the file the reader is, in bytes on disk; None after the whole.
    """

    content: Document | ReadError
    bytes_read: int | None = None


Reader: TypeAlias = Callable[[Path], Iterator[Reading]]

readers: Registry[Reader] = Registry(
    "reader",
    group="search_engine.readers",
    builtin={
        ".htm": "search_engine.ingest.html:read_html",
        ".html": "search_engine.ingest.html:read_html",
        ".jsonl": "search_engine.ingest.jsonl:read_jsonl",
        ".jsonl.gz": "search_engine.ingest.jsonl:read_jsonl",
        ".log": "search_engine.ingest.plain:read_plain",
        ".markdown": "search_engine.ingest.markdown:read_markdown",
        ".md": "search_engine.ingest.markdown:read_markdown",
        ".mdx": "search_engine.ingest.markdown:read_markdown",
        ".ndjson": "search_engine.ingest.jsonl:read_jsonl",
        ".ndjson.gz": "search_engine.ingest.jsonl:read_jsonl",
        ".pdf": "search_engine.ingest.pdf:read_pdf",
        ".text": "search_engine.ingest.plain:read_plain",
        ".txt": "search_engine.ingest.plain:read_plain",
    },
)


def find_extension(name: str) -> str | None:
    """The longest extension of a file name that has a reader, in lower case; None without one."""
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    for first in range(len(suffixes)):
        extension = "".join(suffixes[first:])
        if extension in readers:
            return extension
    return None

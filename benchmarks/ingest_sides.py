"""The sides that `ingest_speed.py` compares: each reads all files of a folder and counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markitdown import MarkItDown

    from search_engine.ingest.chunking import Chunker
    from search_engine.ingest.reading import Record

REFERENCE = "markitdown"


@dataclass(slots=True)
class Tally:
    """What one run of a side read.

    A folder is read whose files lie as `<place>/<name>`.

    Attributes:
        seconds: from the folder's name to the last document.
        characters: of all texts.
        chunks: 0 where none are made.
        unread: place of a file that gave no text -> why.
    """

    seconds: float = 0.0
    characters: int = 0
    chunks: int = 0
    unread: dict[str, str] = field(default_factory=dict)


def read_and_chunk(folder: Path) -> Tally:
    return _read_in_workers(folder, _make_chunker())


def read(folder: Path) -> Tally:
    return _read_in_workers(folder, None)


def read_in_one_process(folder: Path) -> Tally:
    from search_engine.ingest.file_reading import read_file
    from search_engine.ingest.files import find_files

    started = time.perf_counter()
    records = (record for file in find_files([folder]).files for record in read_file(file, "docs"))
    return _tally(records, started, None)


def convert_with_markitdown(folder: Path) -> Tally:
    started = time.perf_counter()
    tally = Tally()
    for path in sorted(folder.glob("*/*")):
        try:
            text = _make_markitdown().convert(path).markdown
        # Whatever a converter raises is to be counted and named.
        except Exception as error:
            message = str(error).rpartition("with message: ")[2]
            tally.unread[path.parent.name] = " ".join(message.partition(". ")[0].split())
            continue
        tally.characters += len(text)
        if not text.strip():
            tally.unread[path.parent.name] = "gives no text"
    tally.seconds = time.perf_counter() - started
    return tally


def _read_in_workers(folder: Path, chunker: Chunker | None) -> Tally:
    from search_engine.ingest.files import find_files
    from search_engine.ingest.reading import read_files

    started = time.perf_counter()
    records = read_files(find_files([folder]).files, {folder.resolve(): "docs"})
    return _tally(records, started, chunker)


def _tally(records: Iterable[Record], started: float, chunker: Chunker | None) -> Tally:
    tally = Tally()
    with_text = set()
    for record in records:
        place = record.file.path.parent.name
        if record.document is None:
            tally.unread.setdefault(place, record.problem.reason if record.problem else "")
            continue
        with_text.add(place)
        tally.characters += len(record.document.text)
        if chunker is not None:
            tally.chunks += len(chunker.chunk(record.document))
    tally.seconds = time.perf_counter() - started
    # A file with one bad record is read.
    tally.unread = {at: reason for at, reason in tally.unread.items() if at not in with_text}
    return tally


@cache
def _make_markitdown() -> MarkItDown:
    from markitdown import MarkItDown

    return MarkItDown(enable_plugins=False)


@cache
def _make_chunker() -> Chunker:
    """What `Legs.chunker` makes for the default settings, without the weights of the model."""
    from search_engine.config import DEFAULT_MODEL, ChunkingConfig
    from search_engine.encoders.checkpoints.finding import find_checkpoint
    from search_engine.encoders.checkpoints.layout import read_layout
    from search_engine.encoders.tokenizers.text_tokenizer import TextTokenizer
    from search_engine.ingest.chunking import Chunker

    layout = read_layout(find_checkpoint(DEFAULT_MODEL, offline=True), task="embedding")
    return Chunker(ChunkingConfig(), TextTokenizer(layout).whole)


SIDES: Mapping[str, Callable[[Path], Tally]] = {
    "read-chunk": read_and_chunk,
    "read": read,
    "one-process": read_in_one_process,
    REFERENCE: convert_with_markitdown,
}

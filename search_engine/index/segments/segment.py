"""One segment folder: written once, fsynced, renamed into place, never edited.

chunks.npy                 int64 [n], the chunk id at each ordinal, ascending
dense.*                    the dense index, see dense_kinds
sparse.<leg>.<array>.npy   the postings of each sparse leg, see postings
sparse.bm25.lengths.npy    int32 [n], how many terms each chunk has
columns.safetensors        the metadata of each chunk, see columns
segment.json               counts, and size and SHA-256 of every other file
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search_engine.config import DenseConfig
from search_engine.errors import IndexCorruptError
from search_engine.index.dense.dense_kinds import DenseIndex, dense_kinds
from search_engine.index.dense.vector_storage import StoredVectors
from search_engine.index.segments.columns import FILE_NAME as COLUMNS_FILE
from search_engine.index.segments.columns import Columns, build_columns, open_columns, write_columns
from search_engine.index.segments.postings import Postings, map_array, open_postings, write_postings
from search_engine.types import Metadata

MANIFEST = "segment.json"
UNFINISHED = ".unfinished-"
CHUNKS_FILE = "chunks.npy"
_LENGTHS = "sparse.bm25.lengths.npy"


@dataclass(frozen=True, slots=True)
class SegmentContents:
    """What a segment is written from.

    Attributes:
        chunk_ids: int64 [n], ascending.
        vectors: n of them, or None without a dense leg.
        postings: of each sparse leg, by its name.
        lengths: int32 [n], terms in each chunk; None without BM25.
        columns: the metadata of each chunk.
    """

    chunk_ids: NDArray[np.int64]
    vectors: StoredVectors | None
    postings: Mapping[str, Postings]
    lengths: NDArray[np.int32] | None
    columns: Columns


def write_segment(
    segments: Path, segment_id: str, contents: SegmentContents, *, dense: DenseConfig | None
) -> str:
    """Write a segment so that it is there whole, or not at all.

    Args:
        dense: settings of the dense leg; None without one.

    Returns:
        The SHA-256 of its manifest, in hex: it stands for every byte of the segment.
    """
    unfinished = segments / f"{UNFINISHED}{segment_id}"
    unfinished.mkdir()
    try:
        _write_files(unfinished, contents, dense)
        manifest = json.dumps(
            {
                "chunk_count": len(contents.chunk_ids),
                "dense_kind": None if dense is None else dense.kind,
                "sparse": sorted(contents.postings),
                "files": {
                    path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
                    for path in sorted(unfinished.iterdir())
                },
            },
            indent=1,
        )
        (unfinished / MANIFEST).write_text(manifest, encoding="utf-8")
        for path in unfinished.iterdir():
            sync(path)
        sync(unfinished)
        unfinished.rename(segments / segment_id)
        sync(segments)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return hashlib.sha256(manifest.encode()).hexdigest()


def _write_files(folder: Path, contents: SegmentContents, dense: DenseConfig | None) -> None:
    np.save(folder / CHUNKS_FILE, contents.chunk_ids)
    if dense is not None and contents.vectors is not None:
        dense_kinds.get(dense.kind).write(folder, contents.vectors, dense)
    for leg, postings in contents.postings.items():
        write_postings(folder, leg, postings)
    if contents.lengths is not None:
        np.save(folder / _LENGTHS, contents.lengths)
    write_columns(folder, contents.columns)


class Segment:
    """A segment on disk, memory-mapped; each part is opened when it is first needed.

    Args:
        sha256: of its manifest, as it was committed.
        dense: settings of the dense leg; None without one.
        stored_metadata: gives the metadata of chunks by their ids; asked where the segment has no
            columns, as those of format version 1.

    Raises:
        IndexCorruptError: the manifest is not the one that was committed, or a file is missing
            or has another size.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sha256: str,
        dense: DenseConfig | None,
        stored_metadata: Callable[[NDArray[np.int64]], Sequence[Metadata]],
    ) -> None:
        self.folder = folder
        self._dense_config = dense
        self._stored_metadata = stored_metadata
        try:
            manifest = (folder / MANIFEST).read_bytes()
        except OSError as error:
            raise IndexCorruptError(_damage(folder, f"{MANIFEST}: {error.strerror}")) from error
        if hashlib.sha256(manifest).hexdigest() != sha256:
            raise IndexCorruptError(_damage(folder, f"{MANIFEST} was changed"))
        self._manifest = json.loads(manifest)
        for name, expected in self._manifest["files"].items():
            path = folder / name
            size = _size(path)
            if size != expected["bytes"]:
                found = "missing" if size is None else f"{size} bytes"
                raise IndexCorruptError(
                    _damage(folder, f"{name} is {found}, not {expected['bytes']} bytes")
                )

    def verify(self) -> None:
        """Compare every byte with what was committed.

        Raises:
            IndexCorruptError: with the file that is no longer what it was.
        """
        for name, expected in self._manifest["files"].items():
            with self._opening(name):
                found = _sha256(self.folder / name)
            if found != expected["sha256"]:
                raise IndexCorruptError(_damage(self.folder, f"the contents of {name} changed"))

    def open_all(self) -> None:
        """Map every file now, so that the segment can be read on after its folder is removed."""
        parts = ["chunk_ids", "postings", "columns"]
        if self.has_dense:
            parts.append("dense")
        if "bm25" in self.legs:
            parts.append("lengths")
        for part in parts:
            getattr(self, part)

    @property
    def has_dense(self) -> bool:
        """Whether there are dense vectors."""
        return self._manifest["dense_kind"] is not None

    @property
    def legs(self) -> list[str]:
        """The names of the sparse legs."""
        return list(self._manifest["sparse"])

    @cached_property
    def chunk_ids(self) -> NDArray[np.int64]:
        """int64 [n], ascending."""
        with self._opening(CHUNKS_FILE):
            return map_array(self.folder / CHUNKS_FILE)

    @cached_property
    def dense(self) -> DenseIndex:
        """The dense index; only where the generation has a dense leg."""
        with self._opening("the dense index"):
            if self._dense_config is None:
                raise ValueError("the generation has no dense leg")
            return dense_kinds.get(self._manifest["dense_kind"])(self.folder, self._dense_config)

    @cached_property
    def lengths(self) -> NDArray[np.int32]:
        """int32 [n], terms in each chunk; only where the generation has BM25."""
        with self._opening(_LENGTHS):
            return map_array(self.folder / _LENGTHS)

    @cached_property
    def postings(self) -> Mapping[str, Postings]:
        """The postings of each sparse leg."""
        with self._opening("the postings"):
            return {leg: open_postings(self.folder, leg) for leg in self.legs}

    @cached_property
    def columns(self) -> Columns:
        """The metadata of each chunk."""
        if COLUMNS_FILE not in self._manifest["files"]:
            return build_columns(self._stored_metadata(self.chunk_ids))
        with self._opening("the metadata columns"):
            return open_columns(self.folder)

    @contextmanager
    def _opening(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, RuntimeError, EOFError) as error:
            raise IndexCorruptError(_damage(self.folder, f"{what}: {error}")) from error


def _damage(folder: Path, what: str) -> str:
    return (
        f"segment {folder.name} in {folder.parent.parent} is damaged: {what}; restore the index "
        "from a backup, or mend it by `search-cli doctor --repair`"
    )


def _size(path: Path) -> int | None:
    """None where there is no file, or none any more: another process may be removing it."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

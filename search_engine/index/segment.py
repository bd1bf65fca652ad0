"""One segment folder: written once, fsynced, renamed into place, never edited.

chunks.npy                 int64 [n], the chunk id at each ordinal, ascending
dense.*                    the dense index, see dense_kinds
sparse.<leg>.<array>.npy   the postings of each sparse leg, see postings
sparse.bm25.lengths.npy    int32 [n], how many terms each chunk has
segment.json               counts, and size and SHA-256 of every other file
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import IndexCorruptError
from search_engine.index.dense_kinds import DenseIndex, dense_kinds
from search_engine.index.postings import Postings, map_array, open_postings, write_postings

MANIFEST = "segment.json"
UNFINISHED = ".unfinished-"
_CHUNKS = "chunks.npy"
_LENGTHS = "sparse.bm25.lengths.npy"


@dataclass(frozen=True, slots=True)
class SegmentContents:
    """What a segment is written from.

    Attributes:
        chunk_ids: int64 [n], ascending.
        vectors: float32 [n, dim], or None without a dense leg.
        postings: of each sparse leg, by its name.
        lengths: int32 [n], terms in each chunk; None without BM25.
    """

    chunk_ids: NDArray[np.int64]
    vectors: NDArray[np.float32] | None
    postings: Mapping[str, Postings]
    lengths: NDArray[np.int32] | None


def write_segment(
    segments: Path, segment_id: str, contents: SegmentContents, *, dense_kind: str
) -> str:
    """Write a segment so that it is there whole, or not at all.

    Returns:
        The SHA-256 of its manifest, in hex: it stands for every byte of the segment.
    """
    unfinished = segments / f"{UNFINISHED}{segment_id}"
    unfinished.mkdir()
    try:
        _write_files(unfinished, contents, dense_kind)
        manifest = json.dumps(
            {
                "chunk_count": len(contents.chunk_ids),
                "dense_kind": None if contents.vectors is None else dense_kind,
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
            _sync(path)
        _sync(unfinished)
        unfinished.rename(segments / segment_id)
        _sync(segments)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return hashlib.sha256(manifest.encode()).hexdigest()


def _write_files(folder: Path, contents: SegmentContents, dense_kind: str) -> None:
    np.save(folder / _CHUNKS, contents.chunk_ids)
    if contents.vectors is not None:
        dense_kinds.get(dense_kind).write(folder, contents.vectors)
    for leg, postings in contents.postings.items():
        write_postings(folder, leg, postings)
    if contents.lengths is not None:
        np.save(folder / _LENGTHS, contents.lengths)


class Segment:
    """A segment on disk, memory-mapped; each part is opened when it is first needed.

    Raises:
        IndexCorruptError: the manifest is not the one that was committed, or a file is missing
            or has another size.
    """

    def __init__(self, folder: Path, *, sha256: str) -> None:
        self.folder = folder
        try:
            manifest = (folder / MANIFEST).read_bytes()
        except OSError as error:
            raise IndexCorruptError(_damage(folder, f"{MANIFEST}: {error.strerror}")) from error
        if hashlib.sha256(manifest).hexdigest() != sha256:
            raise IndexCorruptError(_damage(folder, f"{MANIFEST} was changed"))
        self._manifest = json.loads(manifest)
        for name, expected in self._manifest["files"].items():
            path = folder / name
            size = path.stat().st_size if path.is_file() else None
            if size != expected["bytes"]:
                found = "missing" if size is None else f"{size} bytes"
                raise IndexCorruptError(
                    _damage(folder, f"{name} is {found}, not {expected['bytes']} bytes")
                )

    @cached_property
    def chunk_ids(self) -> NDArray[np.int64]:
        """int64 [n], ascending."""
        with self._opening(_CHUNKS):
            return map_array(self.folder / _CHUNKS)

    @cached_property
    def dense(self) -> DenseIndex:
        """The dense index; only where the generation has a dense leg."""
        with self._opening("the dense index"):
            return dense_kinds.get(self._manifest["dense_kind"])(self.folder)

    @cached_property
    def lengths(self) -> NDArray[np.int32]:
        """int32 [n], terms in each chunk; only where the generation has BM25."""
        with self._opening(_LENGTHS):
            return map_array(self.folder / _LENGTHS)

    @cached_property
    def postings(self) -> Mapping[str, Postings]:
        """The postings of each sparse leg."""
        with self._opening("the postings"):
            return {leg: open_postings(self.folder, leg) for leg in self._manifest["sparse"]}

    @contextmanager
    def _opening(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, RuntimeError, EOFError) as error:
            raise IndexCorruptError(_damage(self.folder, f"{what}: {error}")) from error


def _damage(folder: Path, what: str) -> str:
    return (
        f"segment {folder.name} in {folder.parent.parent} is damaged: {what}; restore the index "
        "from a copy, or remove it and index the documents again"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

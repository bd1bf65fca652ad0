"""Writing a segment folder: once, fsynced, renamed into place, never edited.

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
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from search_engine.config import DenseConfig
from search_engine.index.dense.dense_kinds import dense_kinds
from search_engine.index.dense.vector_storage import StoredVectors
from search_engine.index.segments.columns import Columns, write_columns
from search_engine.index.segments.postings import Postings, write_postings

MANIFEST = "segment.json"
UNFINISHED = ".unfinished-"
CHUNKS_FILE = "chunks.npy"
LENGTHS_FILE = "sparse.bm25.lengths.npy"


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


class NewSegment(NamedTuple):
    """A segment that was written and that a commit may name.

    Attributes:
        sha256: of its manifest, in hex: it stands for every byte of the segment.
    """

    segment_id: str
    sha256: str
    chunk_count: int


def write_segment(
    segments: Path, contents: SegmentContents, *, commit: int, dense: DenseConfig | None
) -> NewSegment:
    """Write a segment so that it is there whole, or not at all.

    Args:
        segments: the folder of all segments.
        commit: about which it is written for; its name begins with it.
        dense: settings of the dense leg; None without one.
    """
    segment_id = f"{commit:08d}-{uuid.uuid4().hex[:8]}"
    unfinished = segments / f"{UNFINISHED}{segment_id}"
    # The folder of all segments may have been lost with them.
    unfinished.mkdir(parents=True)
    try:
        _write_files(unfinished, contents, dense)
        manifest = json.dumps(
            {
                "chunk_count": len(contents.chunk_ids),
                "dense_kind": None if dense is None else dense.kind,
                "sparse": sorted(contents.postings),
                "files": {
                    path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
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
    sha256 = hashlib.sha256(manifest.encode()).hexdigest()
    return NewSegment(segment_id, sha256, len(contents.chunk_ids))


def _write_files(folder: Path, contents: SegmentContents, dense: DenseConfig | None) -> None:
    np.save(folder / CHUNKS_FILE, contents.chunk_ids)
    if dense is not None and contents.vectors is not None:
        dense_kinds.get(dense.kind).write(folder, contents.vectors, dense)
    for leg, postings in contents.postings.items():
        write_postings(folder, leg, postings)
    if contents.lengths is not None:
        np.save(folder / LENGTHS_FILE, contents.lengths)
    write_columns(folder, contents.columns)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

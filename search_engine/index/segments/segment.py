"""A segment on disk, opened for reading: memory-mapped, and compared with its checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search_engine.config import DenseConfig
from search_engine.errors import IndexCorruptError
from search_engine.index.dense.dense_kinds import DenseIndex, dense_kinds
from search_engine.index.segments.columns import FILE_NAME as COLUMNS_FILE
from search_engine.index.segments.columns import Columns, build_columns, open_columns
from search_engine.index.segments.new_segment import (
    CHUNKS_FILE,
    LENGTHS_FILE,
    MANIFEST,
    sha256_of,
)
from search_engine.index.segments.postings import Postings, map_array, open_postings
from search_engine.types import Metadata


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
                found = sha256_of(self.folder / name)
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
        with self._opening(LENGTHS_FILE):
            return map_array(self.folder / LENGTHS_FILE)

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

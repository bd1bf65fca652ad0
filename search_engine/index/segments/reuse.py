"""What the encoders made of a text before, taken from the segments instead of made again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import IndexCorruptError
from search_engine.index.generations.generation import Generation, read_generation
from search_engine.index.segments.segment import Segment
from search_engine.index.segments.segment_table import SegmentRow, open_segment, segments_at
from search_engine.index.store.database import Database, sqlite_errors


@dataclass(frozen=True, slots=True)
class StoredEncoding:
    """What is stored of one text.

    Attributes:
        vector: float32 [dim], as the metric compares it; None without a dense leg.
        impacts: terms int32 [nnz], ascending, and weights float32 [nnz]; None without SPLADE.
    """

    vector: NDArray[np.float32] | None
    impacts: tuple[NDArray[np.int32], NDArray[np.float32]] | None


class StoredEncodings:
    """The encodings of a generation's living chunks, by the hash of what the encoders saw.

    A vector comes back as it was stored and is stored again as the same code, so that a text has
    the same scores whether it was encoded again or not.

    Args:
        folder: of the index.
        database: open for reading at least.
    """

    def __init__(self, folder: Path, database: Database, generation_id: int) -> None:
        self._folder = folder
        self._database = database
        self._generation_id = generation_id
        # None stands for a segment that cannot be read: its texts are encoded again.
        self._open: dict[str, Segment | None] = {}

    def find(self, hashes: Iterable[bytes]) -> dict[bytes, StoredEncoding]:
        """The encodings of those texts that a living chunk was encoded of."""
        with sqlite_errors(self._folder):
            chunks = self._living_chunks(hashes)
            if not chunks:
                return {}
            db = self._database.here
            generation = read_generation(db, self._generation_id, str(self._folder))
            rows = segments_at(db, self._generation_id)
        found: dict[bytes, StoredEncoding] = {}
        for row in rows:
            if len(found) == len(chunks):
                break
            segment = self._segment(row, generation)
            if segment is not None:
                with suppress(IndexCorruptError):
                    found |= _read(segment, chunks)
        there = {row.segment_id for row in rows}
        self._open = {key: segment for key, segment in self._open.items() if key in there}
        return found

    def _living_chunks(self, hashes: Iterable[bytes]) -> dict[bytes, int]:
        chunks = {}
        for text_hash in set(hashes):
            row = self._database.here.execute(
                "SELECT chunk_id FROM chunks "
                "WHERE generation_id = ? AND text_hash = ? AND died IS NULL LIMIT 1",
                [self._generation_id, text_hash],
            ).fetchone()
            if row is not None:
                chunks[text_hash] = int(row[0])
        return chunks

    def _segment(self, row: SegmentRow, generation: Generation) -> Segment | None:
        if row.segment_id not in self._open:
            self._open[row.segment_id] = None
            with suppress(IndexCorruptError):
                segment = open_segment(self._folder, row, generation, self._database)
                # Damage is never copied.
                segment.verify()
                segment.open_all()
                self._open[row.segment_id] = segment
        return self._open[row.segment_id]


def _read(segment: Segment, chunks: Mapping[bytes, int]) -> dict[bytes, StoredEncoding]:
    """What one segment holds of the chunks."""
    hashes, wanted = list(chunks), np.fromiter(chunks.values(), np.int64)
    if not len(segment.chunk_ids):
        return {}
    places = np.minimum(
        np.searchsorted(segment.chunk_ids, wanted), len(segment.chunk_ids) - 1
    ).astype(np.int64)
    (here,) = np.nonzero(segment.chunk_ids[places] == wanted)
    ordinals = places[here]
    vectors = segment.dense.vectors.decode(ordinals) if segment.has_dense else None
    impacts = _impacts(segment, ordinals) if "splade" in segment.legs else None
    return {
        hashes[place]: StoredEncoding(
            None if vectors is None else vectors[number],
            None if impacts is None else impacts[number],
        )
        for number, place in enumerate(here.tolist())
    }


def _impacts(
    segment: Segment, ordinals: NDArray[np.int64]
) -> Sequence[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """The terms and weights of some chunks, gathered from all postings of their segment."""
    postings = segment.postings["splade"]
    (entries,) = np.nonzero(np.isin(postings.ordinals, ordinals))
    terms = postings.terms[np.searchsorted(postings.indptr, entries, side="right") - 1]
    owners = postings.ordinals[entries]
    weights = postings.weights[entries].astype(np.float32)
    rows = []
    for ordinal in ordinals.tolist():
        # Postings are ordered by term, so these are too.
        mine = owners == ordinal
        rows.append((terms[mine].astype(np.int32), weights[mine]))
    return rows

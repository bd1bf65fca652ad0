"""The records that pass between the stages: documents, chunks, hits, results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Metadata: TypeAlias = Mapping[str, str | int | float | bool | None]
Markup: TypeAlias = str

NO_METADATA: Metadata = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Document:
    """One text that a person would open: a file, a page, or a record of a file.

    Attributes:
        doc_id: unique in an index; adding another document of the same id replaces this one.
        text: the whole text; every offset of a chunk points into it.
        title: shown above a result and given to the encoders before the text.
        source: the path of the file it came from, as it was given.
        markup: how `text` is written, which decides where it may be split: "plain", "markdown",
            "rst", or "code/" and the name of a programming language.
        first_line: 1-based line of the source at which `text` begins; None where lines of the
            source mean nothing (PDF, HTML).
        single_line: the whole document stands on `first_line`, as a JSONL record does.
        pages: offset in `text` at which each page starts, ascending; empty without pages.
        metadata: whatever else is known; values that a filter can compare.
    """

    doc_id: str
    text: str
    title: str = ""
    source: str | None = None
    markup: Markup = "plain"
    first_line: int | None = None
    single_line: bool = False
    pages: tuple[int, ...] = ()
    metadata: Metadata = field(default_factory=lambda: NO_METADATA)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document that is encoded as one: `document.text[start:end] == text`.

    Attributes:
        text: the piece itself.
        start, end: its offsets in the document's text, in characters.
        headings: the titles of the sections it stands in, outermost first.
    """

    text: str
    start: int
    end: int
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SparseVectors:
    """n sparse vectors over a vocabulary, in compressed sparse rows.

    Attributes:
        indptr: int64 [n + 1]; row i is the slice indptr[i]:indptr[i + 1] of the other two.
        indices: int32 [nnz], the term of each entry, ascending within a row.
        weights: float32 [nnz], the weight of each entry.
        size: how many terms the vocabulary has.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]
    size: int

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def row(self, position: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The terms and the weights of one vector."""
        bounds = slice(int(self.indptr[position]), int(self.indptr[position + 1]))
        return self.indices[bounds], self.weights[bounds]


@dataclass(frozen=True, slots=True)
class Hits:
    """What one leg found for one query, best first.

    Attributes:
        chunk_ids: int64 [n].
        scores: float32 [n], descending; higher is better. Equal scores are ordered by chunk id.
    """

    chunk_ids: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.chunk_ids)

    @classmethod
    def empty(cls) -> Hits:
        """No hits."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float32))

    @classmethod
    def ranked(cls, chunk_ids: NDArray[np.int64], scores: NDArray[np.float32], depth: int) -> Hits:
        """The best `depth` of unordered candidates, ties by ascending chunk id."""
        order = np.lexsort((chunk_ids, -scores))[:depth]
        return cls(chunk_ids[order], scores[order])


@dataclass(frozen=True, slots=True)
class Highlight:
    """The passage of a result that answers best, and where the query's terms stand in it.

    Attributes:
        text: the passage, a substring of the result's text.
        start: its offset in the result's text.
        spans: (start, end) offsets into `text` of the words that the query shares, ascending.
    """

    text: str
    start: int
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """One line of an answer.

    Attributes:
        rank: 1 is best.
        score: of the last stage that ran; comparable within one response only.
        page, line: 1-based place in the source where the passage begins, where it has them.
        start, end: offsets of `text` in the document's text.
        scores, ranks: of this chunk in each leg that found it, by the leg's name.
        repeated_by: documents whose chunks nearly repeat this one and were left out for it, where
            that was asked for.
    """

    rank: int
    score: float
    doc_id: str
    chunk_id: int
    title: str
    source: str | None
    page: int | None
    line: int | None
    start: int
    end: int
    text: str
    headings: tuple[str, ...]
    highlight: Highlight
    scores: Mapping[str, float]
    ranks: Mapping[str, int]
    metadata: Metadata
    repeated_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchResponse:
    """The answer to one query.

    Attributes:
        generation: which generation of vectors answered.
        timings_ms: wall time of each stage in milliseconds, in the order in which they ran.
        notes: what the person should know about how this was answered, one sentence each.
    """

    query: str
    generation: str
    timings_ms: Mapping[str, float]
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()

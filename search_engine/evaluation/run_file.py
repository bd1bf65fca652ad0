"""Rankings in the TREC run format: `query-id Q0 doc-id rank score tag`, one hit per line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from search_engine.errors import DatasetError

Run: TypeAlias = Mapping[str, Sequence[tuple[str, float]]]
"""query id -> (doc_id, score), best first."""

_FIELDS = 6


def write_run(path: Path, run: Run, *, tag: str) -> None:
    """Write a run so that trec_eval sees the order that the run has.

    trec_eval ignores the rank column, reads the score as a 32-bit float, and breaks ties by
    document id; a score that does not fall below the one before it is therefore written as the
    next lower 32-bit float. Queries without hits have no line in this format.

    Raises:
        DatasetError: an identifier or the tag has white space in it, which the format cannot
            hold; or scores rise within a ranking.
    """
    if not _is_field(tag):
        raise DatasetError(f"{path}: the tag {tag!r} is empty or has white space in it")
    lines = []
    for query_id, ranking in run.items():
        below = np.float32(np.inf)
        previous = np.inf
        for rank, (doc_id, score) in enumerate(ranking, start=1):
            if not _is_field(query_id) or not _is_field(doc_id):
                raise DatasetError(
                    f"{path}: query {query_id!r}, document {doc_id!r}: an identifier that is "
                    "empty or has white space in it cannot stand in a TREC run"
                )
            if not score <= previous:
                raise DatasetError(
                    f"{path}: query {query_id!r}: the score rises to {score} at rank {rank}; "
                    "order the hits best first"
                )
            previous = score
            below = min(np.float32(score), np.nextafter(below, np.float32(-np.inf)))
            lines.append(f"{query_id} Q0 {doc_id} {rank} {below} {tag}\n")
    path.write_text("".join(lines), encoding="utf-8")


def read_run(path: Path) -> dict[str, list[tuple[str, float]]]:
    """Read a run: for each query its hits by falling score, ties by the rank that is written.

    Raises:
        DatasetError: the file is missing, or a line is malformed, or a document is there twice.
    """
    hits: dict[str, dict[str, tuple[float, int]]] = {}
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                fields = line.split()
                if not fields:
                    continue
                try:
                    if len(fields) != _FIELDS:
                        raise ValueError(f"{len(fields)} fields, 6 are needed")
                    query_id, _, doc_id, rank, score, _ = fields
                    if doc_id in hits.setdefault(query_id, {}):
                        raise ValueError(f"document {doc_id!r} again for query {query_id!r}")
                    hits[query_id][doc_id] = (float(score), int(rank))
                except ValueError as error:
                    raise DatasetError(
                        f"{path}:{number}: {error}; a line is: query-id Q0 doc-id rank score tag"
                    ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as a TREC run ({error})") from error
    return {
        query_id: [
            (doc_id, score)
            for doc_id, (score, rank) in sorted(
                found.items(), key=lambda item: (-item[1][0], item[1][1])
            )
        ]
        for query_id, found in hits.items()
    }


def _is_field(text: str) -> bool:
    return text.split() == [text]

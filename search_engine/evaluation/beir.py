"""A test collection in a folder of the BEIR layout (Thakur et al. 2021).

corpus.jsonl     {"_id", "title", "text"} per line
queries.jsonl    {"_id", "text"} per line
qrels/SPLIT.tsv  header query-id, corpus-id, score, and one judgment per line

Each may be compressed by gzip (.gz). A bad line is an error that names file and line: a figure
on a collection that was read in part would not be comparable with any other.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from search_engine.errors import DatasetError
from search_engine.evaluation.retrieval_dataset import (
    RetrievalDataset,
    add_judgment,
    parse_grade,
    parse_id,
    parse_text,
    select_judged,
)
from search_engine.types import Document

_SUFFIXES = ("", ".gz")
_QRELS_HEADER = ["query-id", "corpus-id", "score"]


def has_beir_qrels(folder: Path) -> bool:
    """Whether the folder has a qrels file of the BEIR layout."""
    return bool(_list_splits(folder))


def load_beir_folder(folder: Path, *, split: str) -> RetrievalDataset:
    """One split of the collection in a folder of the BEIR layout.

    Queries and qrels are read now, the corpus when `documents()` is called.

    Raises:
        DatasetError: a file is missing or has a line that cannot be read.
    """
    corpus = _find_file(folder, "corpus.jsonl")
    queries_file = _find_file(folder, "queries.jsonl")
    qrels_file = _find_qrels(folder, split)
    qrels = _read_qrels(qrels_file)
    queries = select_judged(
        _read_queries(queries_file), qrels, qrels_at=str(qrels_file), queries_at=str(queries_file)
    )
    return RetrievalDataset(
        name=folder.resolve().name,
        split=split,
        queries=queries,
        qrels=qrels,
        documents=lambda: _read_corpus(corpus),
    )


def _list_splits(folder: Path) -> dict[str, Path]:
    """Split -> qrels file; where a file is there plain and compressed, the plain one."""
    return {
        path.name.removesuffix(suffix): path
        for suffix in (".tsv.gz", ".tsv")
        for path in sorted((folder / "qrels").glob(f"*{suffix}"))
    }


def _find_file(folder: Path, name: str) -> Path:
    for suffix in _SUFFIXES:
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    raise DatasetError(
        f"{folder}: there is no {name} or {name}.gz; a data set is a folder with corpus.jsonl, "
        "queries.jsonl and qrels/SPLIT.tsv, each plain or .gz"
    )


def _find_qrels(folder: Path, split: str) -> Path:
    splits = _list_splits(folder)
    if not splits:
        raise DatasetError(
            f"{folder}: there is no qrels/SPLIT.tsv or .tsv.gz; add one with the header "
            "query-id, corpus-id, score, separated by tabs"
        )
    if split not in splits:
        raise DatasetError(
            f"{folder}: there is no split {split!r}; it has: {', '.join(sorted(splits))}"
        )
    return splits[split]


def _read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, without their ends, numbered from 1."""
    number = 0
    try:
        with _open(path) as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, line.rstrip(b"\r\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(
            f"{path}: the compressed file is damaged after line {number} ({error}); get it again"
        ) from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _read_records(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    for number, line in _read_lines(path):
        try:
            record = json.loads(line)
        except ValueError as error:  # neither JSON nor UTF-8
            raise DatasetError(f"{path}:{number}: not a JSON object ({error})") from error
        if not isinstance(record, dict):
            raise DatasetError(f"{path}:{number}: a JSON object is needed, this is {record!r:.80}")
        yield number, record


def _read_corpus(path: Path) -> Iterator[Document]:
    seen: set[str] = set()
    for number, record in _read_records(path):
        try:
            doc_id = parse_id(record, "_id")
            if doc_id in seen:
                raise ValueError(f"document {doc_id!r} is there a second time; keep one of the two")
            title = parse_text(record, "title", required=False)
            text = parse_text(record, "text", required=True)
        except ValueError as error:
            raise DatasetError(f"{path}:{number}: {error}") from error
        seen.add(doc_id)
        yield Document(
            doc_id=doc_id,
            text=text,
            title=title,
            source=str(path),
            first_line=number,
            single_line=True,
        )
    if not seen:
        raise DatasetError(f"{path}: the corpus is empty")


def _read_queries(path: Path) -> dict[str, str]:
    queries: dict[str, str] = {}
    for number, record in _read_records(path):
        try:
            query_id = parse_id(record, "_id")
            if query_id in queries:
                raise ValueError(f"query {query_id!r} is there a second time; keep one of the two")
            queries[query_id] = parse_text(record, "text", required=True)
        except ValueError as error:
            raise DatasetError(f"{path}:{number}: {error}") from error
    return queries


def _read_qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    header_seen = False
    for number, line in _read_lines(path):
        try:
            fields = line.decode("utf-8-sig" if not header_seen else "utf-8").split("\t")
            if not header_seen:
                if fields != _QRELS_HEADER:
                    raise ValueError(
                        f"the header is {fields}; it has to be query-id, corpus-id, score, "
                        "separated by tabs"
                    )
                header_seen = True
                continue
            if len(fields) != len(_QRELS_HEADER):
                raise ValueError(
                    f"{len(fields)} fields where query-id, corpus-id and score are needed, "
                    "separated by tabs"
                )
            query_id, doc_id, score = fields
            if not query_id or not doc_id:
                raise ValueError("the query-id or the corpus-id is empty")
            add_judgment(qrels, query_id, doc_id, parse_grade(score))
        except ValueError as error:
            raise DatasetError(f"{path}:{number}: {error}") from error
    return qrels

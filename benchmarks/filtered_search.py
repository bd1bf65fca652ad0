"""Filtered search over 200,000 questions: recall against exact search, and milliseconds.

    python benchmarks/filtered_search.py [--kinds flat hnsw hnsw-int8 hnswlib] [--data DIR]

Each kind is an index of the same vectors and terms, kept under indexes/. A filter lets 50, 10, 1,
0.1 or 0.01 % of the questions through, chosen at random, or those nearest to one question ("near"),
which is the hard case for a graph: what is allowed stands together. Held-out questions ask for 100
candidates, as a query does; recall@10 is against a float64 product over what the filter allows.

"first" is the first question under a filter in an index that is open and was asked without a filter
before: its columns are mapped and the filter is evaluated. "again" is with the filter remembered.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe_environment
from numpy.typing import NDArray
from quality import REPOSITORY, report_progress
from query_latency import DATA, HELD_OUT_FROM, QUESTIONS, open_questions_index, read_questions

from search_engine.config import BM25Config, Config, DenseConfig
from search_engine.errors import IndexNotFoundError, SearchEngineError
from search_engine.filters import Filter, parse_filter
from search_engine.index.analysis import Analyzer
from search_engine.index.creation import create_index
from search_engine.index.generations.generation import Generation
from search_engine.index.reader import IndexReader
from search_engine.index.segments.encoded import EncodedDocument
from search_engine.index.writer import IndexWriter
from search_engine.types import Chunk, Document

KINDS = {
    "flat": DenseConfig(),
    "hnsw": DenseConfig(kind="hnsw"),
    "hnsw-int8": DenseConfig(kind="hnsw", precision="int8"),
    "hnswlib": DenseConfig(kind="hnswlib"),
}
SHARES = (0.5, 0.1, 0.01, 0.001, 0.0001)
ASKED = 100
FIRST_USES = 15
DEPTH = 100


def main() -> int:
    arguments = parse_arguments()
    print(describe_environment(), end="\n\n", flush=True)
    try:
        texts, vectors, queries, query_texts = read_vectors(arguments.data)
        allowed = choose_allowed(vectors)
        print("| kind | filter | recall@10 | dense ms p50, first | again | bm25 ms p50, again |")
        print("|---|---|---|---|---|---|", flush=True)
        for name in arguments.kinds:
            folder = open_kind(name, texts, vectors, allowed)
            for filter_name, mask in allowed.items():
                print_row(name, filter_name, folder, mask, vectors, queries, query_texts)
    except SearchEngineError as error:
        sys.exit(f"filtered_search.py: {error}")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="NAME",
        help=f"which of {', '.join(KINDS)} (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR",
        help="where sentences/ is (default: ../shared/data)",
    )  # fmt: skip
    return parser.parse_args()


def read_vectors(data: Path) -> tuple[list[str], NDArray[Any], NDArray[Any], list[str]]:
    """The 200,000 questions and their vectors, and held-out questions with theirs."""
    with open_questions_index(data) as engine:
        snapshot = engine._reader.refresh()
        parts = [live.segment for live in snapshot.segments]
        chunk_ids = np.concatenate([segment.chunk_ids for segment in parts])
        vectors = np.concatenate([segment.dense.vectors.decode() for segment in parts])
        vectors = vectors[np.argsort(chunk_ids)]
        asked = list(islice(read_questions(data), HELD_OUT_FROM, HELD_OUT_FROM + ASKED))
        queries = engine._newest()[1].dense.encode_query(asked)
    return list(islice(read_questions(data), QUESTIONS)), vectors, queries, asked


def choose_allowed(vectors: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
    rng = np.random.default_rng(7)
    nearness = np.argsort(-(vectors @ vectors[12_345]))
    chosen = {}
    for share in SHARES:
        count = round(share * len(vectors))
        for kind, ordinals in (
            ("random", rng.choice(len(vectors), count, replace=False)),
            ("near", nearness[:count]),
        ):
            mask = np.zeros(len(vectors), np.bool_)
            mask[ordinals] = True
            chosen[f"{kind} {share * 100:g} %"] = mask
    return chosen


def open_kind(
    name: str, texts: list[str], vectors: NDArray[Any], allowed: dict[str, NDArray[np.bool_]]
) -> Path:
    """The kept index of a kind, built if it is not there."""
    folder = REPOSITORY / "indexes" / f"bench-filtered-{name}"
    try:
        with IndexReader(folder) as reader:
            if reader.snapshot.chunk_count == len(texts):
                return folder
        shutil.rmtree(folder)
    except IndexNotFoundError:
        pass
    config = Config(dense=KINDS[name])
    create_index(folder, Generation(1, "f" * 64, config, vectors.shape[1], "cosine"))
    started = time.perf_counter()
    with IndexWriter(folder) as writer:
        for document in encoded_documents(texts, vectors, allowed):
            writer.add(document)
    written = time.perf_counter() - started
    with IndexReader(folder) as reader:
        segments = len(reader.snapshot.segments)
    report_progress(f"{name}: written in {written:.0f} s, {segments} segments")
    return folder


def encoded_documents(
    texts: list[str], vectors: NDArray[Any], allowed: dict[str, NDArray[np.bool_]]
) -> Iterator[EncodedDocument]:
    analyzer = Analyzer("english")
    for number, text in enumerate(texts):
        metadata = {name: bool(mask[number]) for name, mask in allowed.items()}
        yield EncodedDocument(
            Document(str(number), text, metadata={**metadata, "number": number}),
            content_hash=str(number),
            chunks=[Chunk(text, 0, len(text))],
            vectors=vectors[number : number + 1],
            terms=[Counter(analyzer.terms(text))],
            impacts=None,
        )


def print_row(
    kind: str,
    filter_name: str,
    folder: Path,
    mask: NDArray[np.bool_],
    vectors: NDArray[Any],
    queries: NDArray[Any],
    query_texts: list[str],
) -> None:
    where = parse_filter({filter_name: True})
    first = [first_use_ms(folder, where, query) for query in queries[:FIRST_USES]]
    ordinals = np.flatnonzero(mask)
    truth = vectors[ordinals].astype(np.float64) @ queries.T.astype(np.float64)
    found, again, bm25 = 0, [], []
    with IndexReader(folder) as reader:
        snapshot = reader.snapshot
        snapshot.search_dense(queries[0], DEPTH, among=snapshot.allowing(where))
        for position, query in enumerate(queries):
            started = time.perf_counter()
            hits = snapshot.search_dense(query, DEPTH, among=snapshot.allowing(where))
            again.append((time.perf_counter() - started) * 1e3)
            best = ordinals[np.argsort(-truth[:, position])[:10]]
            # Chunk ids count from 1 in the order in which the questions were added.
            found += len(np.intersect1d(hits.chunk_ids[:10] - 1, best)) / len(best)
            bm25.append(bm25_ms(reader, query_texts[position], where))
    cells = (f"{np.median(each):.1f}" for each in (first, again, bm25))
    print(
        f"| {kind} | {filter_name} | {found / len(queries):.4f} | {' | '.join(cells)} |", flush=True
    )


def first_use_ms(folder: Path, where: Filter, query: NDArray[Any]) -> float:
    with IndexReader(folder) as reader:
        reader.snapshot.search_dense(query, DEPTH)
        started = time.perf_counter()
        reader.snapshot.search_dense(query, DEPTH, among=reader.snapshot.allowing(where))
        return (time.perf_counter() - started) * 1e3


def bm25_ms(reader: IndexReader, text: str, where: Filter) -> float:
    counts = Analyzer(BM25Config().language).query_terms(text, {"en"})
    started = time.perf_counter()
    ids = reader.term_ids(list(counts))
    frequencies = {term_id: counts[term] for term, term_id in ids.items()}
    snapshot = reader.snapshot
    snapshot.search_bm25(frequencies, DEPTH, BM25Config(), among=snapshot.allowing(where))
    return (time.perf_counter() - started) * 1e3


if __name__ == "__main__":
    sys.exit(main())

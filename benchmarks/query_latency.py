"""How long a question takes, whole and stage by stage: 5,183 abstracts and 200,000 questions.

    python benchmarks/query_latency.py [--indexes scifact questions-200k] [--data DIR]

Each question is asked alone, by one caller, through `SearchEngine.search` with its defaults: k of
10, both legs, highlights and stored texts included. The encoder and the index are warm: other
questions are asked before the first that counts. The indexes are kept under indexes/. No question
that is asked is in an index, and none is from a test split.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from environment import describe_environment
from quality import REPOSITORY, open_index, report_progress

from search_engine import Document, SearchEngine
from search_engine.errors import IndexNotFoundError, SearchEngineError
from search_engine.evaluation.datasets import load_dataset

DATA = REPOSITORY.parent / "shared" / "data"
INDEXES = ("scifact", "questions-200k")
QUESTIONS = 200_000
HELD_OUT_FROM = 500_000
ASKED = 200
WARM_UP = 20
K = 10
PERCENTILES = (50, 90, 99)


def main() -> int:
    arguments = parse_arguments()
    print(describe_environment(), end="\n\n", flush=True)
    asked = WARM_UP + ASKED
    try:
        for name in arguments.indexes:
            if name == "scifact":
                dataset = load_dataset(arguments.data / "retrieval" / "scifact", split="train")
                engine = open_index(dataset, "none")
                queries = list(dataset.queries.values())[:asked]
            else:
                engine = open_questions_index(arguments.data)
                held_out = islice(read_questions(arguments.data), HELD_OUT_FROM, None)
                queries = list(islice(held_out, asked))
            with engine:
                timings_ms = measure(engine, queries)
                print(f"{name}: {engine.chunk_count} chunks, {ASKED} questions, k {K}\n")
                print(format_table(timings_ms), end="\n\n", flush=True)
    except SearchEngineError as error:
        sys.exit(f"query_latency.py: {error}")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--indexes", nargs="+", choices=INDEXES, default=list(INDEXES), metavar="NAME",
        help=f"which of {', '.join(INDEXES)} (default: both)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR",
        help="where retrieval/ and sentences/ are (default: ../shared/data)",
    )  # fmt: skip
    return parser.parse_args()


def open_questions_index(data: Path = DATA) -> SearchEngine:
    """The kept index of the first 200,000 questions, each one document."""
    folder = REPOSITORY / "indexes" / "bench-questions-200k"
    try:
        engine = SearchEngine.open(folder)
    except IndexNotFoundError:
        engine = SearchEngine.create(folder)
    if engine.document_count == QUESTIONS:
        return engine
    started = time.perf_counter()
    with engine.writer() as writer:
        for number, question in enumerate(islice(read_questions(data), QUESTIONS), start=1):
            writer.add(Document(doc_id=str(number), text=question))
    seconds = time.perf_counter() - started
    report_progress(f"questions-200k: {writer.counts.added} indexed in {seconds:.0f} s")
    return engine


def read_questions(data: Path) -> Iterator[str]:
    with gzip.open(data / "sentences" / "questions-1m.txt.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield line.rstrip("\n")


def measure(engine: SearchEngine, queries: Sequence[str]) -> dict[str, list[float]]:
    """Milliseconds of each stage, and of the whole call as the caller waits for it ("search")."""
    timings_ms: defaultdict[str, list[float]] = defaultdict(list)
    for number, query in enumerate(queries):
        started = time.perf_counter()
        response = engine.search(query, K)
        elapsed = (time.perf_counter() - started) * 1e3
        if number >= WARM_UP:
            for stage, milliseconds in response.timings_ms.items():
                if stage != "total":
                    timings_ms[stage].append(milliseconds)
            timings_ms["search"].append(elapsed)
    return timings_ms


def format_table(timings_ms: dict[str, list[float]]) -> str:
    lines = [
        f"| stage, ms | {' | '.join(f'p{each}' for each in PERCENTILES)} |",
        "|---" * (len(PERCENTILES) + 1) + "|",
    ]
    for stage, measured in timings_ms.items():
        cells = " | ".join(f"{each:.1f}" for each in np.percentile(measured, PERCENTILES))
        lines.append(f"| {stage} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

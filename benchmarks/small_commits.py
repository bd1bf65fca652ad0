"""What 1,000 commits of one document each cost a question, beside one segment of the same.

    python benchmarks/small_commits.py [--before 0 20000] [--data DIR]

Questions of ../shared/data are added one commit at a time, to an empty index or after 20,000 that
were added at once. A copy of the index is compacted to one segment. The same held-out questions
are asked of both by turns, so that what else the machine does meets both alike.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from environment import describe_environment
from query_latency import DATA, HELD_OUT_FROM, WARM_UP, K, read_questions

from search_engine import Document, SearchEngine
from search_engine.errors import SearchEngineError
from search_engine.index.reader import IndexReader
from search_engine.index.upkeep.compaction import compact

COMMITS = 1_000
ASKED = 300
HEADER = """\
| documents before | segments | search p50 ms | one segment | ratio | in the index p50 ms \
| one segment | ratio | a commit p50 ms |
|---|---|---|---|---|---|---|---|---|"""


def main() -> int:
    arguments = parse_arguments()
    print(describe_environment(), end="\n\n", flush=True)
    print(HEADER, flush=True)
    try:
        for before in arguments.before:
            with tempfile.TemporaryDirectory() as place:
                print(measure(Path(place), before, arguments.data), flush=True)
    except SearchEngineError as error:
        sys.exit(f"small_commits.py: {error}")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--before", nargs="+", type=int, default=[0, 20_000], metavar="N",
        help="documents that are there before the small commits (default: 0 and 20000)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR",
        help="where sentences/ is (default: ../shared/data)",
    )  # fmt: skip
    return parser.parse_args()


def measure(place: Path, before: int, data: Path) -> str:
    texts = list(islice(read_questions(data), before + COMMITS))
    queries = list(islice(read_questions(data), HELD_OUT_FROM, HELD_OUT_FROM + WARM_UP + ASKED))
    commits_ms = fill(place / "many", texts, before)
    with IndexReader(place / "many") as reader:
        segments = len(reader.snapshot.segments)
    shutil.copytree(place / "many", place / "one")
    compact(place / "one")
    with SearchEngine.open(place / "many") as many, SearchEngine.open(place / "one") as one:
        whole, index = ask_by_turns((many, one), queries)
    return (
        f"| {before} | {segments} | {whole[0]:.2f} | {whole[1]:.2f} | {whole[0] / whole[1]:.2f} "
        f"| {index[0]:.2f} | {index[1]:.2f} | {index[0] / index[1]:.2f} "
        f"| {np.median(commits_ms):.1f} |"
    )


def fill(folder: Path, texts: list[str], before: int) -> list[float]:
    """Add the first at once and the rest one by one; the milliseconds of each small commit."""
    commits_ms = []
    with SearchEngine.create(folder) as engine, engine.writer() as writer:
        for number, text in enumerate(texts):
            started = time.perf_counter()
            writer.add(Document(str(number), text))
            if number >= before:
                writer.commit()
                commits_ms.append((time.perf_counter() - started) * 1e3)
    return commits_ms


def ask_by_turns(
    engines: Sequence[SearchEngine], queries: list[str]
) -> tuple[list[float], list[float]]:
    """Medians for each engine: of the whole call, and of the stages that the index computes."""
    whole: list[list[float]] = [[] for _ in engines]
    index: list[list[float]] = [[] for _ in engines]
    for number, query in enumerate(queries):
        for side, engine in enumerate(engines):
            started = time.perf_counter()
            response = engine.search(query, K)
            elapsed = (time.perf_counter() - started) * 1e3
            if number >= WARM_UP:
                whole[side].append(elapsed)
                index[side].append(response.timings_ms["dense"] + response.timings_ms["bm25"])
    return [float(np.median(each)) for each in whole], [float(np.median(each)) for each in index]


if __name__ == "__main__":
    sys.exit(main())

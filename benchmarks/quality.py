"""nDCG@10 of every stage on public test collections, with 95 % bootstrap intervals.

    python benchmarks/quality.py [--datasets scifact cosqa] [--data DIR] [--json FILE]

Each collection is indexed twice: as the product cuts documents, and with every document whole
(`none`), cut by the encoder at its own maximum, which is how published figures are measured. The
indexes are kept under indexes/ and used again; documents that did not change are not encoded
again, so an interrupted run goes on where it stopped.

Nothing is chosen by what is measured here: tuning reads train and dev splits only.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Literal, get_args

from environment import describe_environment

from search_engine import Config, SearchEngine
from search_engine.config import ChunkingConfig
from search_engine.errors import IndexNotFoundError, SearchEngineError
from search_engine.evaluation.datasets import RetrievalDataset, load_dataset
from search_engine.evaluation.evaluator import EvaluationReport, StageReport, evaluate

REPOSITORY = Path(__file__).resolve().parents[1]
SPLITS = {
    "scifact": "test",
    "cosqa": "test",
    "squad-dev": "test",
    "medquad": "test",
    "cranfield": "test-all",
}
Chunking = Literal["default", "none"]
METRIC = "ndcg@10"


def main() -> int:
    arguments = parse_arguments()
    print(describe_environment(), end="\n\n", flush=True)
    reports: list[tuple[Chunking, RetrievalDataset, EvaluationReport]] = []
    try:
        for name in arguments.datasets:
            dataset = load_dataset(arguments.data / name, split=SPLITS[name])
            for chunking in get_args(Chunking):
                with open_index(dataset, chunking) as engine:
                    started = time.perf_counter()
                    reports.append((chunking, dataset, evaluate(engine, dataset)))
                    report_progress(
                        f"{dataset.name}, chunking {chunking}: {len(dataset.queries)} queries in "
                        f"{time.perf_counter() - started:.0f} s"
                    )
    except SearchEngineError as error:
        sys.exit(f"quality.py: {error}")
    print(format_table(reports))
    if arguments.json:
        rows = [{"chunking": chunking, **report.to_json()} for chunking, _, report in reports]
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--datasets", nargs="+", choices=SPLITS, default=list(SPLITS), metavar="NAME",
        help=f"which of {', '.join(SPLITS)} (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY.parent / "shared" / "data" / "retrieval",
        metavar="DIR", help="where their folders are (default: ../shared/data/retrieval)",
    )  # fmt: skip
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write all metrics of all stages there"
    )
    return parser.parse_args()


def open_index(dataset: RetrievalDataset, chunking: Chunking) -> SearchEngine:
    """The kept index of a collection, holding exactly its documents."""
    folder = REPOSITORY / "indexes" / f"bench-{dataset.name}-{chunking}"
    config = Config(chunking=ChunkingConfig(strategy=chunking))
    try:
        engine = SearchEngine.open(folder)
    except IndexNotFoundError:
        engine = SearchEngine.create(folder, config=config)
    if engine.config != config:
        engine.close()
        sys.exit(f"quality.py: {folder} was built with other settings; delete it and run again")
    started = time.perf_counter()
    with engine.writer() as writer:
        for document in dataset.documents():
            writer.add(document)
    counts = writer.counts
    indexed = counts.added + counts.replaced
    report_progress(
        f"{dataset.name}, chunking {chunking}: {indexed} documents indexed as {counts.chunks} "
        f"chunks, {counts.unchanged} there already, in {time.perf_counter() - started:.0f} s"
    )
    if engine.document_count != indexed + counts.unchanged:
        engine.close()
        sys.exit(f"quality.py: {folder} holds other documents too; delete it and run again")
    return engine


def format_table(reports: list[tuple[Chunking, RetrievalDataset, EvaluationReport]]) -> str:
    """One row for each collection and chunking, one column for each stage that ran anywhere."""
    names = {stage: None for _, _, report in reports for stage in report.stages}
    last = [stage for stage in ("fused", "reranked") if stage in names]
    columns = [stage for stage in names if stage not in last] + last
    lines = [
        f"| {METRIC} [95 % interval] | queries | chunking | {' | '.join(columns)} |",
        "|---|---|---|" + "---|" * len(columns),
    ]
    for chunking, dataset, report in reports:
        cells = [
            format_cell(report.stages[stage]) if stage in report.stages else "" for stage in columns
        ]
        lines.append(
            f"| {report.dataset} {report.split} | {format_queries(dataset)} | {chunking} | "
            f"{' | '.join(cells)} |"
        )
    return "\n".join(lines)


def format_queries(dataset: RetrievalDataset) -> str:
    """How many, and how many of them count 0 whatever is ranked."""
    unanswerable = sum(
        all(grade <= 0 for grade in judged.values()) for judged in dataset.qrels.values()
    )
    note = f", {unanswerable} without a relevant document" if unanswerable else ""
    return f"{len(dataset.queries)}{note}"


def format_cell(stage: StageReport) -> str:
    low, high = stage.intervals[METRIC]
    return f"{stage.metrics[METRIC]:.3f} [{low:.3f}, {high:.3f}]"


def report_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

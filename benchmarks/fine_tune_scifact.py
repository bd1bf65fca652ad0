"""SciFact: the default bi-encoder fine-tuned on the training queries, with negatives mined here.

    python benchmarks/fine_tune_scifact.py [--split dev|test] [--settings ...] [--output DIR]

Negatives come from an index of the collection (documents whole, as published figures are measured)
that the default model built: `mine_negatives` over its dense leg, for the 809 training queries.
`--split dev` trains on four fifths of the training queries and measures on the others: settings
were chosen there. `--split test` trains on all training queries and reports the test split, which
nothing else here reads. Dense and fused are nDCG@10 by the product's own query path before and
after, with the paired 95 % bootstrap interval of the difference and the paired randomization test.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datasets import Dataset
from encoder_speed import report_progress
from encoder_texts import DATA
from environment import describe_environment

from search_engine import Config, SearchEngine
from search_engine.config import DEFAULT_MODEL, ChunkingConfig, DenseConfig
from search_engine.evaluation.datasets import load_dataset
from search_engine.evaluation.evaluator import EvaluationReport, evaluate
from search_engine.evaluation.retrieval_dataset import RetrievalDataset
from search_engine.evaluation.significance import confidence_interval, paired_randomization_test
from search_engine.training import TrainingSet, TrainingSettings, train
from search_engine.training.losses.bi_encoder import MultipleNegativesRankingLoss
from search_engine.training.mining.examples import make_examples
from search_engine.training.mining.index_candidates import IndexCandidates
from search_engine.training.mining.mining import mine_negatives
from search_engine.training.mining.queries import judged_queries
from search_engine.training.mining.report import MiningReport
from search_engine.training.mining.settings import MiningSettings

METRIC = "ndcg@10"
# Without a margin, which would leave out the queries whose abstract is not found, the hardest.
NEGATIVES = 1
SETTINGS = TrainingSettings(epochs=3, batch_size=32, learning_rate=3e-5, precision="bfloat16")


def main() -> int:
    arguments = parse_arguments()
    print(describe_environment(), end="\n\n", flush=True)
    learned, asked = read_splits(arguments.data / "retrieval" / "scifact", arguments.split)
    with TemporaryDirectory() as folder:
        output = arguments.output or Path(folder) / "run"
        with open_index(Path(folder) / "before", DEFAULT_MODEL, asked) as engine:
            before = evaluate(engine, asked)
            examples = mine(learned, engine)
        report_progress(f"before: {describe(before)}")
        settings = SETTINGS.model_copy(update=parse_settings(arguments.settings))
        started = time.perf_counter()
        report = train(
            DEFAULT_MODEL, examples, output, settings=settings, device="cpu", offline=True
        )
        seconds = time.perf_counter() - started
        with open_index(Path(folder) / "after", str(report.model), asked) as engine:
            after = evaluate(engine, asked)
    print(f"trained for {seconds / 60:.1f} minutes, {report.steps} steps: {settings!r}", end="\n\n")
    print(format_table(before, after))
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--split", choices=("dev", "test"), default="test", help="default: test")
    parser.add_argument(
        "--settings", nargs="*", default=[], metavar="NAME=VALUE", help="of the training"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep the run there")
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR",
        help="where retrieval/ is (default: ../shared/data)",
    )  # fmt: skip
    return parser.parse_args()


def parse_settings(given: list[str]) -> dict[str, Any]:
    named = dict(each.split("=", 1) for each in given)
    return {name: type(getattr(SETTINGS, name))(value) for name, value in named.items()}


def read_splits(folder: Path, split: str) -> tuple[RetrievalDataset, RetrievalDataset]:
    """The queries that are learned from, and those that are asked."""
    train_queries = load_dataset(folder, split="train")
    if split == "test":
        return train_queries, load_dataset(folder, split="test")
    order = sorted(train_queries.queries, key=lambda each: sha256(each.encode()).hexdigest())
    held_out = set(order[: len(order) // 5])
    return (
        _select(train_queries, set(order) - held_out, "train"),
        _select(train_queries, held_out, "dev"),
    )


def _select(dataset: RetrievalDataset, ids: set[str], split: str) -> RetrievalDataset:
    def chosen(mapping: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in mapping.items() if key in ids}

    return replace(
        dataset, split=split, queries=chosen(dataset.queries), qrels=chosen(dataset.qrels)
    )


def open_index(folder: Path, model: str, dataset: RetrievalDataset) -> SearchEngine:
    config = Config(chunking=ChunkingConfig(strategy="none"), dense=DenseConfig(model=model))
    engine = SearchEngine.create(folder, config=config)
    with engine.writer() as writer:
        for document in dataset.documents():
            writer.add(document)
    return engine


def mine(dataset: RetrievalDataset, engine: SearchEngine) -> TrainingSet:
    mining = MiningSettings(negatives=NEGATIVES)
    report = MiningReport()
    with IndexCandidates(engine, leg="dense") as candidates:
        mined = mine_negatives(judged_queries(dataset), candidates, settings=mining, report=report)
        rows = [row for each in mined for row in make_examples(each, "tuples", negatives=NEGATIVES)]
    report.examples = len(rows)
    report_progress(report.to_table())
    return TrainingSet(Dataset.from_list(rows), MultipleNegativesRankingLoss(), name="queries")


def describe(report: EvaluationReport) -> str:
    return ", ".join(f"{name} {stage.metrics[METRIC]:.4f}" for name, stage in report.stages.items())


def format_table(before: EvaluationReport, after: EvaluationReport) -> str:
    lines = [
        f"| SciFact {before.split}, {before.queries} queries, {METRIC} | before | after "
        "| difference [95 % interval] | p |",
        "|---" * 5 + "|",
    ]
    for stage, one in before.stages.items():
        first, second = one.per_query[METRIC], after.stages[stage].per_query[METRIC]
        low, high = confidence_interval(second - first)
        lines.append(
            f"| {stage} | {first.mean():.4f} | {second.mean():.4f} "
            f"| {(second - first).mean():+.4f} [{low:+.4f}, {high:+.4f}] "
            f"| {paired_randomization_test(first, second):.4f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

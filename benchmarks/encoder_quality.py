"""What each way of computing the bi-encoder loses: nDCG@10 of exact search against float32's.

    python benchmarks/encoder_quality.py [--sides ...] [--sets scifact cosqa] [--split test]

Whole documents, cut at 256 tokens; every vector compared with every query's, exactly. The first
side is what the others are compared with: the difference of means, with a 95 % interval by the
paired bootstrap over queries. int8 is calibrated on 300 texts of the two corpora. Settings of int8
were chosen with `--split train` (SciFact) and `--split dev` (CoSQA); `test` reports them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from encoder_speed import SIDES, calibrate, report_progress
from encoder_texts import DATA
from environment import describe_environment
from numpy.typing import NDArray

from search_engine import BiEncoder
from search_engine.config import DEFAULT_MODEL
from search_engine.errors import SearchEngineError
from search_engine.evaluation.datasets import load_dataset
from search_engine.evaluation.metrics import score_run
from search_engine.evaluation.retrieval_dataset import RetrievalDataset
from search_engine.evaluation.significance import confidence_interval

OURS = tuple(side for side in SIDES if side != "sentence-transformers")
DEFAULT_SIDES = ("openvino-float32", "openvino-bfloat16", "openvino-int8")
DEPTH = 100


def main() -> int:
    arguments = parse_arguments()
    print(describe_environment(), end="\n\n", flush=True)
    lines = [
        "| nDCG@10 | "
        + " | ".join(f"{name}: difference, in points" for name in arguments.sets)
        + " |",
        "|---" * (len(arguments.sets) + 1) + "|",
    ]
    try:
        if "openvino-int8" in arguments.sides:
            calibrate(arguments.data)
        scores = {name: measure(name, arguments) for name in arguments.sets}
    except SearchEngineError as error:
        sys.exit(f"encoder_quality.py: {error}")
    for side in arguments.sides:
        cells = []
        for name in arguments.sets:
            values, reference = scores[name][side], scores[name][arguments.sides[0]]
            low, high = confidence_interval(values - reference)
            difference = (values - reference).mean()
            cells.append(
                f"{values.mean():.4f}: {100 * difference:+.2f} "
                f"({100 * low:+.2f} to {100 * high:+.2f})"
            )
        lines.append(f"| {side} | {' | '.join(cells)} |")
    print("\n".join(lines))
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--sides", nargs="+", choices=OURS, default=list(DEFAULT_SIDES), metavar="NAME",
        help=f"which of {', '.join(OURS)} (default: {', '.join(DEFAULT_SIDES)})",
    )  # fmt: skip
    parser.add_argument("--sets", nargs="+", default=["scifact", "cosqa"], metavar="NAME")
    parser.add_argument("--split", default="test", help="default: test")
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR",
        help="where retrieval/ is (default: ../shared/data)",
    )  # fmt: skip
    return parser.parse_args()


def measure(name: str, arguments: argparse.Namespace) -> dict[str, NDArray[np.float64]]:
    """nDCG@10 of each query by side."""
    dataset = load_dataset(arguments.data / "retrieval" / name, split=arguments.split)
    scores = {}
    for side in arguments.sides:
        backend, dtype = side.split("-")
        encoder = BiEncoder(DEFAULT_MODEL, backend=backend, dtype=dtype)
        scores[side] = score_run(dataset.qrels, rank(dataset, encoder))["ndcg@10"]
        report_progress(f"{name}, {side}: {scores[side].mean():.4f}")
    return scores


def rank(dataset: RetrievalDataset, encoder: BiEncoder) -> dict[str, list[str]]:
    documents = list(dataset.documents())
    texts = [f"{each.title}\n{each.text}" if each.title else each.text for each in documents]
    vectors = encoder.encode_document(texts)
    query_vectors = encoder.encode_query(list(dataset.queries.values()))
    run = {}
    for query_id, query_vector in zip(dataset.queries, query_vectors, strict=True):
        best = np.argsort(-(vectors @ query_vector), kind="stable")[:DEPTH]
        run[query_id] = [documents[position].doc_id for position in best]
    return run


if __name__ == "__main__":
    sys.exit(main())

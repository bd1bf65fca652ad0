"""The cross-encoder and the sparse encoder against sentence-transformers: speed and memory.

    python benchmarks/pair_and_sparse_speed.py [--sides ...] [--rounds N] [--data DIR]

The cross-encoder scores 100 pairs of about 200 tokens, a question with a passage of SciFact; the
sparse encoder (SPLADE) reads 64 documents of 256 tokens. No published weights of either are needed
for a speed: both have the trunk of the default model and heads with random weights, the sparse
one the tied decoder over the vocabulary that all of its kind have. sentence-transformers runs at
its defaults. Each run is a process of its own, so that peak memory is its own, and the sides take
turns; loading, exporting and compiling come before the clock starts. Losses are the correlation of
the scores with the reference's, and the mean cosine of the vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from encoder_speed import report_progress
from encoder_texts import DATA, read_texts
from environment import describe_environment
from numpy.typing import NDArray
from side_process import run_in_process

from search_engine.config import DEFAULT_MODEL
from search_engine.encoders.checkpoints.finding import find_checkpoint

REFERENCE = "sentence-transformers"
SIDES = (REFERENCE, "torch-float32", "openvino-float32", "openvino-bfloat16", "openvino-int8")
TASKS = ("cross-encoder", "sparse")
PAIRS, DOCUMENTS, CALIBRATION, WARM_UP = 100, 64, 200, 48
PASSAGE_CHARACTERS = 900


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one side: seconds, largest resident memory, and that before the run, in MB."""

    seconds: float
    peak_mb: float
    loaded_mb: float


def main() -> int:
    arguments = parse_arguments()
    if arguments.side:
        measured = run_side(arguments.task, arguments.side, arguments.data, arguments.folder)
        print(json.dumps(asdict(measured)))
        return 0
    print(describe_environment(), end="\n\n", flush=True)
    with TemporaryDirectory() as folder:
        write_checkpoints(Path(folder))
        for task in TASKS:
            runs: defaultdict[str, list[Measured]] = defaultdict(list)
            for number in range(arguments.rounds):
                for side in arguments.sides:
                    runs[side].append(run_side_alone(task, side, arguments.data, Path(folder)))
                    report_progress(f"round {number + 1}, {task}, {side}: {runs[side][-1]}")
            print(format_table(task, runs, Path(folder)), end="\n\n", flush=True)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--sides", nargs="+", choices=SIDES, default=list(SIDES), metavar="NAME",
        help=f"which of {', '.join(SIDES)} (default: all)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR",
        help="where retrieval/ and sentences/ are (default: ../shared/data)",
    )  # fmt: skip
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def write_checkpoints(folder: Path) -> None:
    """The default model's trunk with a classification head, and with a masked-LM head."""
    import torch
    from transformers import (
        AutoModelForMaskedLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        logging,
    )

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    source = find_checkpoint(DEFAULT_MODEL)
    torch.manual_seed(0)
    kinds = ((AutoModelForSequenceClassification, {"num_labels": 1}), (AutoModelForMaskedLM, {}))
    for task, (kind, settings) in zip(TASKS, kinds, strict=True):
        kind.from_pretrained(source, **settings).save_pretrained(folder / task)
        tokenizer = AutoTokenizer.from_pretrained(source)
        tokenizer.model_max_length = 256
        tokenizer.save_pretrained(folder / task)


def run_side_alone(task: str, side: str, data: Path, folder: Path) -> Measured:
    return Measured(
        **run_in_process(__file__, {"task": task, "side": side, "data": data, "folder": folder})
    )


def read_pairs(data: Path, count: int) -> list[tuple[str, str]]:
    passages = read_texts("scifact", data, count)
    questions = read_texts("questions", data, count)
    return [
        (question, passage[:PASSAGE_CHARACTERS])
        for question, passage in zip(questions, passages, strict=True)
    ]


def run_side(task: str, side: str, data: Path, folder: Path) -> Measured:
    compute: Callable[[list[object]], Any]
    inputs: list[object]
    if task == "cross-encoder":
        inputs = list(read_pairs(data, PAIRS + CALIBRATION))
        timed, others = inputs[:PAIRS], inputs[PAIRS:]
        compute = open_cross_encoder(side, folder / task, others)
    else:
        # Long enough that each fills the 256 tokens.
        passages = [text * 3 for text in read_texts("scifact", data, DOCUMENTS + CALIBRATION)]
        timed, others = list(passages[:DOCUMENTS]), list(passages[DOCUMENTS:])
        compute = open_sparse_encoder(side, folder / task, others)
    # Enough for several batches, so that what runs those is compiled as well.
    compute(others[:WARM_UP])
    loaded = resident_mb()
    started = time.perf_counter()
    outputs = compute(timed)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    np.save(folder / f"{task}-{side}.npy", densify(outputs))
    return Measured(seconds, peak, loaded)


def densify(outputs: Any) -> NDArray[np.float32]:
    """Scores as they are; sparse vectors of either library as float32 [n, vocabulary]."""
    if isinstance(outputs, np.ndarray):
        return outputs
    if not hasattr(outputs, "indptr"):
        return outputs.to_dense().numpy()
    dense = np.zeros((len(outputs), outputs.size), np.float32)
    for position in range(len(outputs)):
        terms, weights = outputs.row(position)
        dense[position, terms] = weights
    return dense


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_cross_encoder(side: str, folder: Path, others: list[object]) -> Callable:
    if side == REFERENCE:
        from sentence_transformers import CrossEncoder as Reference

        return Reference(str(folder), device="cpu").predict
    from search_engine import CrossEncoder

    calibrate(side, folder, others, task="score")
    backend, dtype = side.split("-")
    return CrossEncoder(str(folder), backend=backend, dtype=dtype).predict


def open_sparse_encoder(side: str, folder: Path, others: list[object]) -> Callable:
    if side == REFERENCE:
        from sentence_transformers import SparseEncoder as Reference

        return Reference(str(folder), device="cpu").encode_document
    from search_engine import SparseEncoder

    calibrate(side, folder, others, task="sparse")
    backend, dtype = side.split("-")
    return SparseEncoder(str(folder), backend=backend, dtype=dtype).encode_document


def calibrate(side: str, folder: Path, others: list[object], *, task: str) -> None:
    if side.endswith("int8"):
        from search_engine.encoders.backends.calibration import calibrate_int8

        calibrate_int8(str(folder), others, task=task)


def compare(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """The correlation of scores, or the mean cosine of vectors."""
    if expected.ndim == 1:
        return float(np.corrcoef(expected, found)[0, 1])
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    return float(((expected * found).sum(axis=1) / lengths).mean())


def format_table(task: str, runs: dict[str, list[Measured]], folder: Path) -> str:
    lines = [
        f"| {task} | seconds | ratio | peak, MB | above loading, MB | likeness |",
        "|---" * 6 + "|",
    ]
    for side, measured in runs.items():
        seconds = median(run.seconds for run in measured)
        above = median(run.peak_mb - run.loaded_mb for run in measured)
        peak = median(run.peak_mb for run in measured)
        ratio = likeness = ""
        if REFERENCE in runs:
            ratio = f"{median(run.seconds for run in runs[REFERENCE]) / seconds:.2f}x"
            expected = np.load(folder / f"{task}-{REFERENCE}.npy")
            found = np.load(folder / f"{task}-{side}.npy")
            likeness = f"{compare(expected, found):.5f}"
        lines.append(
            f"| {side} | {seconds:.2f} | {ratio} | {peak:.0f} | {above:.0f} | {likeness} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""Fine-tuning the bi-encoder against sentence-transformers' trainer: steps a second, peak memory.

    python benchmarks/training_speed.py [--rounds N] [--steps N] [--data DIR]

Both train all-MiniLM-L6-v2 by MultipleNegativesRankingLoss on the same 32 pairs a step, a question
of MedQuAD and its answer cut at 256 tokens, at the same settings (AdamW, linear schedule, no
evaluation, nothing saved between), in float32 and in bfloat16. Each run is a process of its own,
the sides take turns; the clock runs from the end of the first step to that of the last. The cached
loss is one batch of 4,096 pairs of command-line pages (question and page about 75 tokens together),
32 texts at a time, forwards and backwards.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import sys
import time
from collections import defaultdict
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from encoder_speed import report_progress
from encoder_texts import DATA
from environment import describe_environment
from side_process import run_in_process

from search_engine.config import DEFAULT_MODEL
from search_engine.encoders.checkpoints.finding import find_checkpoint

REFERENCE, OURS = "sentence-transformers", "search-engine"
SIDES = (REFERENCE, OURS)
PRECISIONS = ("float32", "bfloat16")
BATCH, CACHED_BATCH, MINI_BATCH = 32, 4096, 32


def main() -> int:
    arguments = parse_arguments()
    if arguments.side:
        print(json.dumps(run_side(arguments)))
        return 0
    print(describe_environment(), end="\n\n", flush=True)
    runs: defaultdict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for number in range(arguments.rounds):
        for precision in PRECISIONS:
            for side in SIDES:
                run = run_in_process(
                    __file__,
                    {
                        "side": side,
                        "precision": precision,
                        "steps": arguments.steps,
                        "data": arguments.data,
                    },
                )
                runs[side, precision].append(run)
                report_progress(f"round {number + 1}, {precision}, {side}: {run}")
    print(format_table(runs), end="\n\n", flush=True)
    if arguments.cached:
        cached = run_in_process(
            __file__,
            {"side": OURS, "precision": "bfloat16", "steps": 0, "data": arguments.data},
        )
        print("| cached loss, batch of 4,096 | seconds a step | peak, MB |\n|---|---|---|")
        print(f"| {OURS}, bfloat16 | {cached['seconds']:.0f} | {cached['peak_mb']:.0f} |")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="default: 2")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="default: 10")
    parser.add_argument(
        "--cached", action=argparse.BooleanOptionalAction, default=True,
        help="also the batch of 4,096",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR",
        help="where pairs/ is (default: ../shared/data)",
    )  # fmt: skip
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--precision", choices=PRECISIONS, help=argparse.SUPPRESS)
    return parser.parse_args()


def read_pairs(data: Path, name: str, count: int) -> dict[str, list[str]]:
    with gzip.open(data / "pairs" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in islice(lines, count)]
    return {key: [record[key] for record in records] for key in ("query", "positive")}


def run_side(arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds from the first step's end to the last's, steps between, largest resident memory."""
    with TemporaryDirectory() as folder:
        if arguments.steps == 0:
            started = time.perf_counter()
            train_ours(arguments, Path(folder) / "run", cached=True)
            seconds, steps = time.perf_counter() - started, 1
        else:
            train = train_reference if arguments.side == REFERENCE else train_ours
            ends = train(arguments, Path(folder) / "run")
            seconds, steps = ends[-1] - ends[0], len(ends) - 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"seconds": seconds, "steps": steps, "peak_mb": peak}


def train_ours(arguments: argparse.Namespace, folder: Path, *, cached: bool = False) -> list[float]:
    from datasets import Dataset

    from search_engine.training import TrainingSet, TrainingSettings, train
    from search_engine.training.losses.bi_encoder import (
        CachedMultipleNegativesRankingLoss,
        MultipleNegativesRankingLoss,
    )

    if cached:
        batch = CACHED_BATCH
        pairs = read_pairs(arguments.data, "tldr", batch)
        loss = CachedMultipleNegativesRankingLoss(mini_batch_size=MINI_BATCH)
    else:
        batch = BATCH
        pairs = read_pairs(arguments.data, "medquad", batch * arguments.steps)
        loss = MultipleNegativesRankingLoss()
    ends: list[float] = []

    def note(entry: dict[str, Any]) -> None:
        if "loss" in entry:
            ends.append(time.perf_counter())

    train(
        DEFAULT_MODEL,
        TrainingSet(Dataset.from_dict(pairs), loss),
        folder,
        settings=TrainingSettings(
            batch_size=batch, precision=arguments.precision, log_every=1, warmup=0
        ),
        device="cpu",
        offline=True,
        on_log=note,
    )
    return ends


def train_reference(arguments: argparse.Namespace, folder: Path) -> list[float]:
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" in logs:
                ends.append(time.perf_counter())

    model = SentenceTransformer(str(find_checkpoint(DEFAULT_MODEL)), device="cpu")
    pairs = read_pairs(arguments.data, "medquad", BATCH * arguments.steps)
    SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            learning_rate=2e-5,
            bf16=arguments.precision == "bfloat16",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=Dataset.from_dict(pairs),
        loss=MultipleNegativesRankingLoss(model),
        callbacks=[Clock()],
    ).train()
    return ends


def format_table(runs: dict[tuple[str, str], list[dict[str, float]]]) -> str:
    lines = ["| trainer | precision | steps/s | ratio | peak, MB |", "|---" * 5 + "|"]
    for (side, precision), measured in runs.items():
        speed = median(run["steps"] / run["seconds"] for run in measured)
        reference = median(run["steps"] / run["seconds"] for run in runs[REFERENCE, precision])
        peak = median(run["peak_mb"] for run in measured)
        lines.append(
            f"| {side} | {precision} | {speed:.3f} | {speed / reference:.2f}x | {peak:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

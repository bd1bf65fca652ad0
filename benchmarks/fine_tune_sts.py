"""STS benchmark: the default bi-encoder fine-tuned by CoSENT, with and without Matryoshka.

    python benchmarks/fine_tune_sts.py [--data DIR]

Trained on the English train split, the checkpoint chosen on dev, Spearman's correlation of cosines
reported on test with the paired 95 % bootstrap interval of the difference from the model before.
The licence of the texts allows measuring only: what is trained here is not shipped.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets import Dataset
from encoder_speed import report_progress
from encoder_texts import DATA
from environment import describe_environment

from search_engine import BiEncoder
from search_engine.config import DEFAULT_MODEL
from search_engine.evaluation.comparison import compare
from search_engine.evaluation.evaluators.embedding_similarity import EmbeddingSimilarityEvaluator
from search_engine.evaluation.measured import Measured
from search_engine.training import TrainingSet, TrainingSettings, train
from search_engine.training.losses.bi_encoder import CoSENTLoss, MatryoshkaLoss

METRIC = "spearman"
DIMENSIONS = (384, 256, 128, 64)
SETTINGS = TrainingSettings(
    epochs=2, batch_size=32, learning_rate=5e-5, precision="bfloat16", save_every=90
)


def main() -> int:
    arguments = parse_arguments()
    print(describe_environment(), end="\n\n", flush=True)
    splits = {
        split: read_split(arguments.data / "sts" / "stsb" / "en" / f"{split}.csv.gz")
        for split in ("train", "dev", "test")
    }
    before = measure(DEFAULT_MODEL, splits["test"])
    lines = [
        f"| Spearman x 100, STS benchmark test, {len(splits['test']['score']):,} pairs | minutes "
        "| before | after | difference [95 % interval] | p | at 128 dimensions | kept |",
        "|---" * 8 + "|",
    ]
    losses = {
        "CoSENT": CoSENTLoss(),
        "CoSENT, Matryoshka": MatryoshkaLoss(CoSENTLoss(), DIMENSIONS),
    }
    for name, loss in losses.items():
        with TemporaryDirectory() as folder:
            started = time.perf_counter()
            report = train(
                DEFAULT_MODEL,
                TrainingSet(Dataset.from_dict(splits["train"]), loss),
                Path(folder) / "run",
                settings=SETTINGS,
                evaluators=[evaluator(splits["dev"])],
                device="cpu",
                offline=True,
            )
            minutes = (time.perf_counter() - started) / 60
            after = measure(str(report.model), splits["test"])
            short = measure(str(report.model), splits["test"], dimension=128)
        row = compare(before, after, metrics=[METRIC]).metrics[0]
        low, high = row.interval
        lines.append(
            f"| {name} | {minutes:.1f} | {100 * row.a:.2f} | {100 * row.b:.2f} "
            f"| {100 * row.difference:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}] "
            f"| {row.p_value:.4f} | {100 * short.scores[METRIC]:.2f} "
            f"| {short.scores[METRIC] / after.scores[METRIC]:.1%} |"
        )
        report_progress(lines[-1])
    print("\n".join(lines))
    print(f"\n{SETTINGS!r}")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR",
        help="where sts/ is (default: ../shared/data)",
    )  # fmt: skip
    return parser.parse_args()


def read_split(path: Path) -> dict[str, list]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        "sentence1": [row["sentence1"] for row in rows],
        "sentence2": [row["sentence2"] for row in rows],
        "score": [float(row["score"]) / 5 for row in rows],
    }


def evaluator(
    split: dict[str, list], *, dimension: int | None = None
) -> EmbeddingSimilarityEvaluator:
    return EmbeddingSimilarityEvaluator(
        split["sentence1"], split["sentence2"], split["score"], name="sts", truncate_dim=dimension
    )


def measure(model: str, split: dict[str, list], *, dimension: int | None = None) -> Measured:
    return evaluator(split, dimension=dimension).measure(BiEncoder(model, offline=True))


if __name__ == "__main__":
    sys.exit(main())

"""Multilingual extension of the default bi-encoder: Tatoeba before and after.

    python benchmarks/extend_languages.py [--languages de fr] [--data DIR]

A demonstration within the limits of an English vocabulary. The student begins as the teacher, the
default model; it learns to give an English sentence and its translation the teacher's vector of the
English one, on the STS benchmark's own translations (measuring only, not shipped), without labels.
Accuracy on Tatoeba: the share of 1,000 sentences whose nearest sentence of the other language is
the translation, mean of both directions, with the paired 95 % bootstrap interval of the
difference; and Spearman on the English STS test split, which must not be lost.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import time
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from encoder_texts import DATA
from environment import describe_environment
from fine_tune_sts import evaluator, read_split

from search_engine import BiEncoder
from search_engine.config import DEFAULT_MODEL
from search_engine.evaluation.comparison import compare
from search_engine.evaluation.evaluators.translation import TranslationEvaluator
from search_engine.training import TrainingSettings
from search_engine.training.distillation.multilingual import distill_multilingual
from search_engine.training.distillation.parallel_sentences import ParallelSentences

METRIC = "mean_accuracy"
SETTINGS = TrainingSettings(max_steps=300, batch_size=64, learning_rate=2e-4, precision="bfloat16")


def main() -> int:
    arguments = parse_arguments()
    print(describe_environment(), end="\n\n", flush=True)
    english = read_split(arguments.data / "sts" / "stsb" / "en" / "test.csv.gz")
    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        files = [
            write_pairs(arguments.data, language, Path(folder) / f"en-{language}.tsv")
            for language in arguments.languages
        ]
        teacher = BiEncoder(DEFAULT_MODEL, offline=True)
        report = distill_multilingual(
            DEFAULT_MODEL,
            teacher,
            files,
            Path(folder) / "run",
            settings=SETTINGS,
            device="cpu",
            offline=True,
        )
        minutes = (time.perf_counter() - started) / 60
        student = BiEncoder(str(report.model), offline=True)
        print(f"trained for {minutes:.1f} minutes, {report.steps} steps: {SETTINGS!r}", end="\n\n")
        print("| measured | before | after | difference [95 % interval] | p |\n" + "|---" * 5 + "|")
        for language in arguments.languages:
            pairs = read_tatoeba(arguments.data, language)
            measured = TranslationEvaluator([a for a, _ in pairs], [b for _, b in pairs])
            print_row(f"Tatoeba en-{language}, accuracy", METRIC, measured, teacher, student)
        print_row("STS benchmark test, Spearman", "spearman", evaluator(english), teacher, student)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--languages", nargs="+", default=["de", "fr"], metavar="LANGUAGE")
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR",
        help="where sts/ and multilingual/ are (default: ../shared/data)",
    )  # fmt: skip
    return parser.parse_args()


def write_pairs(data: Path, language: str, path: Path) -> ParallelSentences:
    """The sentences of the STS train split with their translations, each pair once."""
    sides = []
    for side in ("en", language):
        split = read_split(data / "sts" / "stsb" / side / "train.csv.gz")
        sides.append(chain(split["sentence1"], split["sentence2"]))
    pairs = dict.fromkeys(
        (" ".join(a.split()), " ".join(b.split())) for a, b in zip(*sides, strict=True)
    )
    lines = [f"{a}\t{b}\n" for a, b in pairs if a and b]
    path.write_text("".join(lines), encoding="utf-8")
    return ParallelSentences(path)


def read_tatoeba(data: Path, language: str) -> list[tuple[str, str]]:
    path = data / "multilingual" / "tatoeba" / f"{language}.tsv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        fields = [line.rstrip("\n").split("\t") for line in lines]
    return [(english, other) for english, other in fields]


def print_row(what: str, metric: str, measured, teacher: BiEncoder, student: BiEncoder) -> None:
    before, after = measured.measure(teacher), measured.measure(student)
    row = compare(before, after, metrics=[metric]).metrics[0]
    low, high = row.interval
    print(
        f"| {what} | {row.a:.3f} | {row.b:.3f} "
        f"| {row.difference:+.3f} [{low:+.3f}, {high:+.3f}] | {row.p_value:.4f} |",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())

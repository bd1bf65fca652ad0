"""The bi-encoder against sentence-transformers: tokens a second at three lengths, and one query.

    python benchmarks/encoder_speed.py [--sides ...] [--rounds N] [--data DIR]

Every side encodes the same texts with the same model: abstracts of SciFact (about 240 tokens),
functions of CoSQA (84) and questions (15), tokenization included; then single questions, warm.
sentence-transformers runs at its defaults. Each run is a process of its own, the sides take turns,
and the figure is the median over the rounds. Loading, exporting and compiling come before the
clock starts; int8 is calibrated on 300 abstracts and functions that are not among those timed.

The share of the peak is that of the fastest matrix product of the model's own shapes that torch or
OpenVINO reaches in that dtype on this machine, measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from encoder_texts import COUNTS, DATA, count_tokens, read_texts
from environment import describe_environment
from side_process import run_in_process

from search_engine.config import DEFAULT_MODEL
from search_engine.encoders.checkpoints.finding import find_checkpoint

REFERENCE = "sentence-transformers"
SIDES = (
    REFERENCE,
    "torch-float32",
    "torch-bfloat16",
    "openvino-float32",
    "openvino-bfloat16",
    "openvino-int8",
    "onnx-float32",
    "onnx-int8",
)
DEFAULT_SIDES = (REFERENCE, "torch-float32", "openvino-float32", "openvino-bfloat16",
                 "openvino-int8")  # fmt: skip
QUERIES = 200
WARM_UP = 64
# Layers, width and inner width of all-MiniLM-L6-v2.
LAYERS, WIDTH, INNER = 6, 384, 1536


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one side.

    Attributes:
        seconds: for all texts of each set.
        query_ms: of each single question.
    """

    seconds: dict[str, float]
    query_ms: list[float]


def main() -> int:
    arguments = parse_arguments()
    if arguments.side:
        print(json.dumps(asdict(run_side(arguments.side, arguments.data, arguments.vectors))))
        return 0
    print(describe_environment(), end="\n\n", flush=True)
    runs: defaultdict[str, list[Measured]] = defaultdict(list)
    if "openvino-int8" in arguments.sides:
        calibrate(arguments.data)
    with TemporaryDirectory() as folder:
        for number in range(arguments.rounds):
            for side in arguments.sides:
                runs[side].append(run_side_alone(side, arguments.data, Path(folder)))
                report_progress(f"round {number + 1}, {side}: {runs[side][-1].seconds}")
        # Imported late: torch and OpenVINO in this process would disturb the others' turns.
        from gemm_peak import measure_peaks

        peaks = measure_peaks()
        tokens = {name: count_tokens(read_texts(name, arguments.data)) for name in COUNTS}
        print(format_speeds(runs, tokens, peaks), end="\n\n")
        if REFERENCE in arguments.sides:
            print(format_losses(arguments.sides, Path(folder)), end="\n\n")
        print(format_queries(runs), end="\n\n")
    print(
        "GEMM peak, GFLOP/s (int8: GOP/s): " + ", ".join(f"{k} {v:.0f}" for k, v in peaks.items())
    )
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--sides", nargs="+", choices=SIDES, default=list(DEFAULT_SIDES), metavar="NAME",
        help=f"which of {', '.join(SIDES)} (default: {', '.join(DEFAULT_SIDES)})",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR",
        help="where retrieval/ and sentences/ are (default: ../shared/data)",
    )  # fmt: skip
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--vectors", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def report_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run_side_alone(side: str, data: Path, folder: Path) -> Measured:
    return Measured(**run_in_process(__file__, {"side": side, "data": data, "vectors": folder}))


def open_side(side: str) -> Callable[[list[str]], np.ndarray]:
    if side == REFERENCE:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(find_checkpoint(DEFAULT_MODEL)), device="cpu").encode
    from search_engine import BiEncoder

    backend, dtype = side.split("-")
    return BiEncoder(DEFAULT_MODEL, backend=backend, dtype=dtype).encode  # type: ignore[arg-type]


def calibrate(data: Path) -> None:
    """Make the 8-bit graph, calibrated on texts that follow those timed."""
    from search_engine.encoders.backends.calibration import calibrate_int8

    texts = [
        text
        for name in ("scifact", "cosqa")
        for text in read_texts(name, data, COUNTS[name] + 150)[COUNTS[name] :]
    ]
    calibrate_int8(DEFAULT_MODEL, texts)


def run_side(side: str, data: Path, folder: Path) -> Measured:
    encode = open_side(side)
    seconds = {}
    for name in COUNTS:
        texts = read_texts(name, data)
        encode(texts[:WARM_UP])
        started = time.perf_counter()
        vectors = encode(texts)
        seconds[name] = time.perf_counter() - started
        np.save(folder / f"{side}-{name}.npy", vectors)
    questions = read_texts("questions", data)[-QUERIES - 20 :]
    query_ms = []
    for question in questions:
        started = time.perf_counter()
        encode([question])
        query_ms.append((time.perf_counter() - started) * 1e3)
    return Measured(seconds, query_ms[20:])


def operations(name: str, tokens: dict[str, int]) -> float:
    """Multiplications and additions that the model needs for a set of texts, padding left out."""
    length = tokens[name] / COUNTS[name]
    a_token = LAYERS * 2 * (4 * WIDTH * WIDTH + 2 * WIDTH * INNER + 2 * length * WIDTH)
    return tokens[name] * a_token


def format_speeds(
    runs: dict[str, list[Measured]], tokens: dict[str, int], peaks: dict[str, float]
) -> str:
    lines = [
        "| tokens/s (ratio; share of the peak) | "
        + " | ".join(f"{name}, {tokens[name] / COUNTS[name]:.0f} tokens" for name in COUNTS)
        + " |",
        "|---" * (len(COUNTS) + 1) + "|",
    ]
    for side, measured in runs.items():
        dtype = "float32" if side == REFERENCE else side.split("-")[1]
        cells = []
        for name in COUNTS:
            each = median(run.seconds[name] for run in measured)
            ratio = ""
            if REFERENCE in runs:
                ratio = f"{median(r.seconds[name] for r in runs[REFERENCE]) / each:.2f}x; "
            share = operations(name, tokens) / each / 1e9 / peaks[dtype]
            cells.append(f"{tokens[name] / each:,.0f} ({ratio}{share:.0%})")
        lines.append(f"| {side} | {' | '.join(cells)} |")
    return "\n".join(lines)


def format_losses(sides: list[str], folder: Path) -> str:
    """The cosine of each text's vector with sentence-transformers' own."""
    lines = ["| cosine, min / mean | " + " | ".join(COUNTS) + " |", "|---" * 4 + "|"]
    for side in sides:
        cells = []
        for name in COUNTS:
            expected = np.load(folder / f"{REFERENCE}-{name}.npy")
            found = np.load(folder / f"{side}-{name}.npy")
            cosines = (found * expected).sum(axis=1)
            cells.append(
                f"{cosines.min():.5f} / {cosines.mean():.5f}, "
                f"largest difference {np.abs(found - expected).max():.0e}"
            )
        lines.append(f"| {side} | {' | '.join(cells)} |")
    return "\n".join(lines)


def format_queries(runs: dict[str, list[Measured]]) -> str:
    lines = ["| one short query, warm | p50, ms | p99, ms | ratio |", "|---" * 4 + "|"]
    middle = {
        side: median(median(run.query_ms) for run in measured) for side, measured in runs.items()
    }
    for side, measured in runs.items():
        p99 = median(float(np.percentile(run.query_ms, 99)) for run in measured)
        ratio = f"{middle[REFERENCE] / middle[side]:.1f}x" if REFERENCE in middle else ""
        lines.append(f"| {side} | {middle[side]:.2f} | {p99:.2f} | {ratio} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

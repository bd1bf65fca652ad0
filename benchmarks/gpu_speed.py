"""The three encoders on a GPU against sentence-transformers in fp16 on the same one.

    python benchmarks/gpu_speed.py [--device cuda] [--rounds N] [--data DIR]

Tokens a second, tokenization included, over the same texts: abstracts of SciFact for the bi-encoder
and the sparse encoder, questions with passages for the cross-encoder. sentence-transformers runs in
fp16 with batches of 256; we in float16 and bfloat16. Each figure is the best of the rounds, the
sides take turns. The share of the peak is that of torch's fastest bfloat16 product on the device.
Without such a device the script says 'not measured'.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from encoder_texts import DATA, count_tokens, read_texts
from environment import describe_environment
from pair_and_sparse_speed import read_pairs, write_checkpoints

from search_engine.config import DEFAULT_MODEL
from search_engine.encoders.checkpoints.finding import find_checkpoint

DOCUMENTS, PAIRS, SPARSE = 5_000, 4_000, 1_000
BATCH = 256
ROWS = 16_384


def main() -> int:
    arguments = parse_arguments()
    print(describe_environment(), end="\n\n", flush=True)
    import torch

    if not torch.cuda.is_available():
        print("not measured: there is no CUDA device here")
        return 0
    print(f"- device: {torch.cuda.get_device_name(arguments.device)}", end="\n\n", flush=True)
    documents = read_texts("scifact", arguments.data, DOCUMENTS)
    pairs = read_pairs(arguments.data, PAIRS)
    with TemporaryDirectory() as folder:
        write_checkpoints(Path(folder))
        jobs: dict[str, tuple[list[Any], Callable[[str], Callable[[list[Any]], Any]]]] = {
            "bi-encoder": (documents, lambda side: open_bi_encoder(side, arguments.device)),
            "cross-encoder": (
                pairs, lambda side: open_cross_encoder(side, Path(folder), arguments.device)
            ),
            "sparse": (
                documents[:SPARSE],
                lambda side: open_sparse_encoder(side, Path(folder), arguments.device),
            ),
        }  # fmt: skip
        print("| tokens/s (ratio) | sentence-transformers fp16 | float16 | bfloat16 |")
        print("|---|---|---|---|")
        for task, (inputs, opener) in jobs.items():
            texts = [" ".join(each) if isinstance(each, tuple) else each for each in inputs]
            rates = measure(inputs, opener, count_tokens(texts), rounds=arguments.rounds)
            cells = [f"{rate:,.0f} ({rate / rates[0]:.2f}x)" for rate in rates]
            print(f"| {task} | {' | '.join(cells)} |", flush=True)
    print(f"\nfastest bfloat16 product: {measure_peak(arguments.device):,.0f} x 10^9 operations/s")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda", metavar="NAME", help="default: cuda")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR",
        help="where retrieval/ and sentences/ are (default: ../shared/data)",
    )  # fmt: skip
    return parser.parse_args()


def measure(
    inputs: list[Any],
    opener: Callable[[str], Callable[[list[Any]], Any]],
    tokens: int,
    *,
    rounds: int,
) -> list[float]:
    """Tokens a second of the reference, of float16 and of bfloat16."""
    import torch

    sides = [opener(side) for side in ("reference", "float16", "bfloat16")]
    best = [float("inf")] * len(sides)
    for compute in sides:
        compute(inputs[:BATCH])
    for _ in range(rounds):
        for position, compute in enumerate(sides):
            torch.cuda.synchronize()
            started = time.perf_counter()
            compute(inputs)
            torch.cuda.synchronize()
            best[position] = min(best[position], time.perf_counter() - started)
    return [tokens / seconds for seconds in best]


def open_bi_encoder(side: str, device: str) -> Callable[[list[Any]], Any]:
    source = str(find_checkpoint(DEFAULT_MODEL))
    if side == "reference":
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(source, device=device).half()
        return lambda texts: model.encode(texts, batch_size=BATCH)
    from search_engine import BiEncoder

    return BiEncoder(source, backend="torch", dtype=side, device=device).encode


def open_cross_encoder(side: str, folder: Path, device: str) -> Callable[[list[Any]], Any]:
    source = str(folder / "cross-encoder")
    if side == "reference":
        from sentence_transformers import CrossEncoder as Reference

        model = Reference(source, device=device)
        model.half()
        return lambda pairs: model.predict(pairs, batch_size=BATCH)
    from search_engine import CrossEncoder

    return CrossEncoder(source, backend="torch", dtype=side, device=device).predict


def open_sparse_encoder(side: str, folder: Path, device: str) -> Callable[[list[Any]], Any]:
    source = str(folder / "sparse")
    if side == "reference":
        from sentence_transformers import SparseEncoder as Reference

        model = Reference(source, device=device)
        model.half()
        return lambda texts: model.encode_document(texts, batch_size=BATCH)
    from search_engine import SparseEncoder

    return SparseEncoder(source, backend="torch", dtype=side, device=device).encode_document


def measure_peak(device: str) -> float:
    """10^9 operations a second of the fastest square product in bfloat16."""
    import torch

    left = torch.randn(ROWS, ROWS, device=device, dtype=torch.bfloat16)
    best = float("inf")
    for _ in range(10):
        torch.cuda.synchronize()
        started = time.perf_counter()
        _ = left @ left
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * ROWS**3 / best / 1e9


if __name__ == "__main__":
    sys.exit(main())

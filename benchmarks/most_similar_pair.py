"""The most similar pair among 10,000 sentences, against sentence-transformers.

    python benchmarks/most_similar_pair.py [--sides ...] [--sentences N] [--rounds N] [--data DIR]

The task is that of the abstract of Sentence-BERT (Reimers and Gurevych 2019): BERT as a
cross-encoder takes about 65 hours for it, Sentence-BERT about 5 seconds. Every side reads the same
questions and encodes them with the same model, we with `dtype="auto"`; sentence-transformers mines
by `paraphrase_mining_embeddings`. Both are asked for one pair.

Each run is a process of its own and the sides take turns. The total is that of the process, from
its start to its end; loading is imports and the model. OpenVINO's conversion happens once on a
machine, so each side first runs uncounted on a few sentences.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median

from environment import describe_environment
from side_process import run_in_process

from search_engine.config import DEFAULT_MODEL
from search_engine.encoders.checkpoints.finding import find_checkpoint

REPOSITORY = Path(__file__).resolve().parents[1]
REFERENCE = "sentence-transformers"
OURS = "search-engine"
SIDES = (REFERENCE, OURS)
SENTENCES = 10_000
WARM_UP = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one side.

    Attributes:
        computed: what the model was computed with and in.
        load_seconds: importing, and loading the model.
        encode_seconds: reading the sentences and encoding them.
        mine_seconds: finding the pair.
        pair: the two sentences.
        score: their cosine.
        total_seconds: of the whole process, the start of the interpreter included.
    """

    computed: str
    load_seconds: float
    encode_seconds: float
    mine_seconds: float
    pair: tuple[str, str]
    score: float
    total_seconds: float = 0.0


def main() -> int:
    arguments = parse_arguments()
    if arguments.side:
        measured = run_side(arguments.side, arguments.data, arguments.sentences)
        print(json.dumps(asdict(measured)))
        return 0
    print(describe_environment(), end="\n\n", flush=True)
    runs: defaultdict[str, list[Measured]] = defaultdict(list)
    for side in arguments.sides:
        run_side_alone(side, arguments.data, WARM_UP)
    for number in range(arguments.rounds):
        for side in arguments.sides:
            runs[side].append(run_side_alone(side, arguments.data, arguments.sentences))
            print(
                f"round {number + 1}, {side}: {runs[side][-1].total_seconds:.1f} s",
                file=sys.stderr,
                flush=True,
            )
    print(f"{arguments.sentences} sentences\n")
    print(format_table(runs), end="\n\n")
    for side, measured in runs.items():
        first, second = measured[0].pair
        print(f"- {side}: {first!r} and {second!r}, cosine {measured[0].score:.4f}")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--sides", nargs="+", choices=SIDES, default=list(SIDES), metavar="NAME",
        help=f"which of {', '.join(SIDES)} (default: both)",
    )  # fmt: skip
    parser.add_argument(
        "--sentences", type=int, default=SENTENCES, metavar="N", help="the first N (default: 10000)"
    )
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="default: 2")
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY.parent / "shared" / "data" / "sentences",
        metavar="DIR", help="where questions-1m.txt.gz is (default: ../shared/data/sentences)",
    )  # fmt: skip
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


def read_sentences(data: Path, count: int) -> list[str]:
    with gzip.open(data / "questions-1m.txt.gz", "rt", encoding="utf-8") as lines:
        return [line.rstrip("\n") for line in islice(lines, count)]


def run_side_alone(side: str, data: Path, count: int) -> Measured:
    started = time.perf_counter()
    measured = run_in_process(__file__, {"side": side, "data": data, "sentences": count})
    return Measured(**measured | {"total_seconds": time.perf_counter() - started})


def run_side(side: str, data: Path, count: int) -> Measured:
    if side == REFERENCE:
        return mine_with_sentence_transformers(data, count)
    return mine_with_search_engine(data, count)


def mine_with_sentence_transformers(data: Path, count: int) -> Measured:
    started = time.perf_counter()
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import paraphrase_mining_embeddings

    model = SentenceTransformer(str(find_checkpoint(DEFAULT_MODEL)))
    loaded = time.perf_counter()
    sentences = read_sentences(data, count)
    vectors = model.encode(sentences, convert_to_tensor=True)
    encoded = time.perf_counter()
    ((score, first, second),) = paraphrase_mining_embeddings(vectors, top_k=1, max_pairs=1)
    ended = time.perf_counter()
    return Measured(
        f"{model.device.type}, {next(model.parameters()).dtype}",
        loaded - started,
        encoded - loaded,
        ended - encoded,
        (sentences[first], sentences[second]),
        score,
    )


def mine_with_search_engine(data: Path, count: int) -> Measured:
    started = time.perf_counter()
    from search_engine import BiEncoder
    from search_engine.embeddings.paraphrase_mining import mine_paraphrases

    encoder = BiEncoder(DEFAULT_MODEL)
    loaded = time.perf_counter()
    sentences = read_sentences(data, count)
    vectors = encoder.encode(sentences)
    encoded = time.perf_counter()
    pairs = mine_paraphrases(vectors, top_k=1, max_pairs=1)
    ended = time.perf_counter()
    return Measured(
        f"{encoder.backend}, {encoder.dtype}",
        loaded - started,
        encoded - loaded,
        ended - encoded,
        (sentences[int(pairs.first[0])], sentences[int(pairs.second[0])]),
        float(pairs.scores[0]),
    )


def format_table(runs: dict[str, list[Measured]]) -> str:
    """Medians over rounds, and the total of each."""
    lines = [
        "| side | computed with | load, s | encode, s | mine, s | total, s | each round |",
        "|---" * 7 + "|",
    ]
    for side, measured in runs.items():
        stages = [
            median(getattr(each, f"{stage}_seconds") for each in measured)
            for stage in ("load", "encode", "mine", "total")
        ]
        lines.append(
            f"| {side} | {measured[0].computed} "
            f"| {' | '.join(f'{seconds:.1f}' for seconds in stages)} "
            f"| {', '.join(f'{each.total_seconds:.1f}' for each in measured)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""Indexing against sentence-transformers and FAISS: SciFact, from the corpus file to the disk.

    python benchmarks/indexing_speed.py [--sides ...] [--documents N] [--rounds N] [--data DIR]

Every side reads the same file with the same model and leaves a searchable index on the disk:
sentence-transformers at its defaults with `faiss.IndexFlatIP` and `write_index`; we by
`SearchEngine.writer`, chunking off, which also keeps the texts and commits durably. The comparison
is with our dense leg alone; a side that also builds BM25 is there to be asked for by name.

Each run is a process of its own, so that peak memory is its own, and the sides take turns.
Importing and loading the model is left out of the seconds and stated beside them; so is OpenVINO's
conversion, which happens once on a machine: each side first runs uncounted on a few documents.
OpenVINO compiles on first use, so that its compilation does count.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from environment import describe_environment
from side_process import run_in_process

from search_engine.config import DEFAULT_MODEL, BM25Config, ChunkingConfig, Compute, Config
from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.errors import SearchEngineError
from search_engine.evaluation.datasets import load_dataset
from search_engine.ingest.text_format import format_text
from search_engine.types import Document

REPOSITORY = Path(__file__).resolve().parents[1]
REFERENCE = "sentence-transformers"
COMPUTES = {
    "torch-float32": Compute(backend="torch", dtype="float32"),
    "openvino-float32": Compute(backend="openvino", dtype="float32"),
    "auto": Compute(),
    "auto-bm25": Compute(),
}
SIDES = (REFERENCE, *COMPUTES)
DEFAULT_SIDES = (REFERENCE, "auto")
MAX_TOKENS = 256
WARM_UP = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one side.

    Attributes:
        computed: what the model was computed with and in.
        load_seconds: importing, and loading the model; not in `seconds`.
        seconds: from opening the corpus file to the index on the disk.
        peak_mb: largest resident memory of the process, in 10^6 bytes.
    """

    computed: str
    load_seconds: float
    seconds: float
    peak_mb: float


def main() -> int:
    arguments = parse_arguments()
    if arguments.side:
        measured = run_side(arguments.side, arguments.data, arguments.documents)
        print(json.dumps(asdict(measured)))
        return 0
    print(describe_environment(), end="\n\n", flush=True)
    try:
        documents, tokens = count_tokens(arguments.data, arguments.documents)
    except SearchEngineError as error:
        sys.exit(f"indexing_speed.py: {error}")
    runs: defaultdict[str, list[Measured]] = defaultdict(list)
    for side in arguments.sides:
        run_side_alone(side, arguments.data, WARM_UP)
    for number in range(arguments.rounds):
        for side in arguments.sides:
            runs[side].append(run_side_alone(side, arguments.data, documents))
            print(
                f"round {number + 1}, {side}: {runs[side][-1].seconds:.1f} s",
                file=sys.stderr,
                flush=True,
            )
    print(f"{documents} documents, {tokens} tokens ({MAX_TOKENS} at most of each)\n")
    print(format_table(runs, tokens))
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--sides", nargs="+", choices=SIDES, default=list(DEFAULT_SIDES), metavar="NAME",
        help=f"which of {', '.join(SIDES)} (default: {', '.join(DEFAULT_SIDES)})",
    )  # fmt: skip
    parser.add_argument("--documents", type=int, metavar="N", help="the first N (default: all)")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="default: 2")
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY.parent / "shared" / "data" / "retrieval",
        metavar="DIR", help="where scifact/ is (default: ../shared/data/retrieval)",
    )  # fmt: skip
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


def read_documents(data: Path, documents: int | None) -> Iterator[Document]:
    # A split has to be named, and only the corpus is read.
    return islice(load_dataset(data / "scifact", split="train").documents(), documents)


def format_document(document: Document) -> str:
    """What both sides encode."""
    return format_text(Config().text_format, title=document.title, headings=(), text=document.text)


def count_tokens(data: Path, documents: int | None) -> tuple[int, int]:
    """How many documents there are, and how many of their tokens the model reads."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(find_checkpoint(DEFAULT_MODEL) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    lengths = [
        len(tokenizer.encode(format_document(document)).ids)
        for document in read_documents(data, documents)
    ]
    return len(lengths), sum(lengths)


def run_side_alone(side: str, data: Path, documents: int) -> Measured:
    return Measured(
        **run_in_process(__file__, {"side": side, "data": data, "documents": documents})
    )


def run_side(side: str, data: Path, documents: int | None) -> Measured:
    with TemporaryDirectory() as folder:
        if side == REFERENCE:
            return index_with_sentence_transformers(Path(folder), data, documents)
        return index_with_search_engine(side, Path(folder), data, documents)


def index_with_sentence_transformers(folder: Path, data: Path, documents: int | None) -> Measured:
    started = time.perf_counter()
    import faiss
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(find_checkpoint(DEFAULT_MODEL)))
    loaded = time.perf_counter()
    texts = [format_document(document) for document in read_documents(data, documents)]
    vectors = model.encode(texts)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(folder / "index.faiss"))
    return take_measure(f"{model.device.type}, {next(model.parameters()).dtype}", started, loaded)


def index_with_search_engine(
    side: str, folder: Path, data: Path, documents: int | None
) -> Measured:
    started = time.perf_counter()
    from search_engine import BiEncoder, SearchEngine

    config = Config(
        chunking=ChunkingConfig(strategy="none"),
        bm25=BM25Config() if side.endswith("bm25") else None,
    )
    compute = COMPUTES[side]
    with SearchEngine.create(folder / "index", config=config, compute=compute) as engine:
        loaded = time.perf_counter()
        with engine.writer() as writer:
            for document in read_documents(data, documents):
                writer.add(document)
        measured = take_measure("", started, loaded)
    # The engine keeps to itself what "auto" became, so an encoder of the same settings tells it.
    encoder = BiEncoder(DEFAULT_MODEL, **compute.model_dump())
    return replace(measured, computed=f"{encoder.backend}, {encoder.dtype}")


def take_measure(computed: str, started: float, loaded: float) -> Measured:
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_bytes = peak if sys.platform == "darwin" else peak * 1024
    return Measured(computed, loaded - started, ended - loaded, peak_bytes / 1e6)


def format_table(runs: dict[str, list[Measured]], tokens: int) -> str:
    """Medians over rounds; the ratio is of the reference's seconds to the side's."""
    lines = [
        "| side | computed with | seconds, each round | tokens/s | ratio | peak MB | load, s |",
        "|---" * 7 + "|",
    ]
    for side, measured in runs.items():
        seconds = median(each.seconds for each in measured)
        ratio = ""
        if REFERENCE in runs:
            ratio = f"{median(each.seconds for each in runs[REFERENCE]) / seconds:.2f}"
        lines.append(
            f"| {side} | {measured[0].computed} "
            f"| {', '.join(f'{each.seconds:.1f}' for each in measured)} "
            f"| {tokens / seconds:,.0f} | {ratio} "
            f"| {median(each.peak_mb for each in measured):.0f} "
            f"| {median(each.load_seconds for each in measured):.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

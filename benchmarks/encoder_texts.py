"""The texts that the encoders' benchmarks read: long, middling and short ones."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from search_engine.config import DEFAULT_MODEL
from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.evaluation.datasets import load_dataset

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MAX_TOKENS = 256
# About as many tokens each, as far as that goes.
COUNTS = {"scifact": 400, "cosqa": 1100, "questions": 6000}


def read_texts(name: str, data: Path, count: int | None = None) -> list[str]:
    """The first texts of a set: SciFact's abstracts, CoSQA's functions, questions."""
    return list(islice(_iterate(name, data), COUNTS[name] if count is None else count))


def count_tokens(texts: Sequence[str]) -> int:
    """Tokens of texts as the default model reads them, special tokens included."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(find_checkpoint(DEFAULT_MODEL) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return sum(len(each.ids) for each in tokenizer.encode_batch(list(texts)))


def _iterate(name: str, data: Path) -> Iterator[str]:
    if name == "questions":
        path = data / "sentences" / "questions-1m.txt.gz"
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from (line.rstrip("\n") for line in lines)
    else:
        # A split has to be named, and only the corpus is read.
        split = "train" if name == "scifact" else "dev"
        for document in load_dataset(data / "retrieval" / name, split=split).documents():
            yield f"{document.title}\n{document.text}" if document.title else document.text

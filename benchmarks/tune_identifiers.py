"""Which weight BM25 should have in questions about an identifier: hit@1 by weight.

    python benchmarks/tune_identifiers.py [--data DIR]

Questions are made from the corpora of identifiers.py: an identifier that stands in one document
alone (parallel translations count as one), by itself or among words, asks for that document. The
identifiers of identifiers-dev.tsv and identifiers-test.tsv are left out.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from environment import describe_environment
from identifiers import DATA, FOLDERS, Question, open_index, read_questions

from search_engine import SearchEngine
from search_engine.config import FusionConfig
from search_engine.errors import SearchEngineError
from search_engine.fusion import fuse
from search_engine.index.analysis import has_identifier
from search_engine.ingest.files import find_files
from search_engine.ingest.reading import read_files

WEIGHTS = (0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0)
FORMS = ("{}", "{}", "what does {} do", "{} default", "how do I use {}", "where is {} set")
EACH = 300
SEED = 20261121
_IDENTIFIER = re.compile(
    r"(?<![\w./-])(?:--[a-z][\w.-]*\w|\w+(?:(?:\.|::?|_)\w+)+|\w*[a-z][A-Z]\w*)(?![\w/-])", re.ASCII
)
_TRANSLATION = re.compile(r"/docs/(?:en|de|ja)/docs/")


def main() -> int:
    arguments = parse_arguments()
    print(describe_environment(), end="\n\n", flush=True)
    print(f"| corpus | questions | {' | '.join(f'bm25 {weight}' for weight in WEIGHTS)} |")
    print(f"|---|---|{'---|' * len(WEIGHTS)}")
    totals = [0] * len(WEIGHTS)
    try:
        for corpus, below in FOLDERS.items():
            folder = arguments.data / below
            with open_index(corpus, folder) as engine:
                questions = make_questions(corpus, folder)
                hits = [count_hits(engine, questions, weight) for weight in WEIGHTS]
            totals = [total + hit for total, hit in zip(totals, hits, strict=True)]
            cells = " | ".join(f"{hit / len(questions):.3f}" for hit in hits)
            print(f"| {corpus} | {len(questions)} | {cells} |", flush=True)
    except SearchEngineError as error:
        sys.exit(f"tune_identifiers.py: {error}")
    print(f"| hits in all | | {' | '.join(map(str, totals))} |")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR",
        help="where folders/ and retrieval/ are (default: ../shared/data)",
    )  # fmt: skip
    return parser.parse_args()


def make_questions(corpus: str, folder: Path) -> list[Question]:
    """Questions about identifiers that stand in one document alone."""
    found: Mapping[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for doc_id, text in _texts(folder):
        for identifier in set(_IDENTIFIER.findall(text)):
            if has_identifier(identifier) and 6 <= len(identifier) <= 60:
                found[identifier][_TRANSLATION.sub("/docs/*/docs/", doc_id)].add(doc_id)
    used = " ".join(
        question.query
        for split in ("dev", "test")
        for question in read_questions(Path(__file__).with_name(f"identifiers-{split}.tsv"))
    )
    alone = sorted(
        identifier
        for identifier, places in found.items()
        if len(places) == 1 and identifier.strip("-") not in used
    )
    chance = random.Random(SEED)
    chosen = chance.sample(alone, min(EACH, len(alone)))
    return [
        Question(
            chance.choice(FORMS).format(identifier),
            corpus,
            frozenset(*found[identifier].values()),
        )
        for identifier in chosen
    ]


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    found = find_files([folder])
    for record in read_files(found.files, {file.root: folder.name for file in found.files}):
        if record.document is not None:
            yield record.document.doc_id, f"{record.document.title}\n{record.document.text}"


def count_hits(engine: SearchEngine, questions: list[Question], weight: float) -> int:
    """How many questions are answered first by their document, at one weight of BM25."""
    config = FusionConfig(weights={"bm25": weight})
    hits = 0
    for question in questions:
        fused = fuse(engine.retrieve(question.query).legs, config)
        (first,) = engine.doc_ids(fused.chunk_ids[:1]) or [""]
        hits += first in question.relevant
    return hits


if __name__ == "__main__":
    sys.exit(main())

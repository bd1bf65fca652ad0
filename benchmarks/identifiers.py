"""hit@1 of questions about option names, functions, headers and error codes, leg by leg.

    python benchmarks/identifiers.py [--split dev] [--data DIR]

The questions are bare identifiers (`--web.enable-lifecycle`) and identifiers among words, over the
documentation of FastAPI (three languages) and of Prometheus, and over Python functions. They stand
in identifiers-SPLIT.tsv with every document that defines or explains the identifier, in each of
its languages; a page that only uses it is not right, nor are release notes. The splits share no
identifier, so that what is chosen on dev can be checked on test.

The indexes are kept under indexes/, a new one for each default configuration. The figures of the
test split are also written to results/identifiers.json.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from environment import describe_environment
from quality import REPOSITORY, report_progress

from search_engine import Config, SearchEngine
from search_engine.errors import IndexNotFoundError, SearchEngineError
from search_engine.ingest.files import find_files
from search_engine.ingest.reading import read_files

DATA = REPOSITORY.parent / "shared" / "data"
FOLDERS = {
    "fastapi": "folders/docs-fastapi",
    "prometheus": "folders/docs-prometheus",
    "cosqa": "retrieval/cosqa",
}
OUTPUT = REPOSITORY / "benchmarks" / "results" / "identifiers.json"
FUSED = "fused"


@dataclass(frozen=True, slots=True)
class Question:
    """One question and the documents of its corpus that answer it."""

    query: str
    corpus: str
    relevant: frozenset[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came first: by stage the `doc_id`, "" where a stage found nothing."""

    question: Question
    first: Mapping[str, str]

    def is_hit(self, stage: str) -> bool:
        return self.first[stage] in self.question.relevant


def main() -> int:
    arguments = parse_arguments()
    print(describe_environment(), end="\n\n", flush=True)
    questions = read_questions(Path(__file__).with_name(f"identifiers-{arguments.split}.tsv"))
    answers: list[Answer] = []
    try:
        for corpus, below in FOLDERS.items():
            with open_index(corpus, arguments.data / below) as engine:
                answers += [ask(engine, each) for each in questions if each.corpus == corpus]
    except SearchEngineError as error:
        sys.exit(f"identifiers.py: {error}")
    print(format_table(arguments.split, answers), end="\n\n")
    print(format_failures(answers))
    if arguments.split == "test":
        OUTPUT.write_text(
            json.dumps(to_json(answers), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--split", choices=("dev", "test"), default="test",
        help="which questions are asked (default: test)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR",
        help="where folders/ and retrieval/ are (default: ../shared/data)",
    )  # fmt: skip
    return parser.parse_args()


def read_questions(path: Path) -> list[Question]:
    """The lines of a file with the columns query, corpus and relevant, as they stand."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True)
        return [
            Question(row["query"], row["corpus"], frozenset(row["relevant"].split()))
            for row in rows
        ]


def open_index(corpus: str, folder: Path) -> SearchEngine:
    """The kept index of a corpus under the default settings, holding exactly its documents."""
    config = Config()
    settings = hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:8]
    index = REPOSITORY / "indexes" / f"bench-identifiers-{corpus}-{settings}"
    try:
        engine = SearchEngine.open(index)
    except IndexNotFoundError:
        engine = SearchEngine.create(index, config=config)
    found = find_files([folder])
    problems = list(found.problems)
    started = time.perf_counter()
    with engine.writer() as writer:
        for record in read_files(found.files, {file.root: folder.name for file in found.files}):
            if record.document is not None:
                writer.add(record.document)
            if record.problem is not None:
                problems.append(record.problem)
    counts = writer.counts
    read = counts.added + counts.replaced + counts.unchanged
    report_progress(
        f"{corpus}: {read} documents, {counts.unchanged} of them there already, "
        f"{counts.chunks} chunks made, in {time.perf_counter() - started:.0f} s"
    )
    for problem in problems:
        report_progress(f"{corpus}: {problem}")
    if not read or engine.document_count != read:
        engine.close()
        sys.exit(f"identifiers.py: {index} does not hold exactly {folder}; delete it, run again")
    return engine


def ask(engine: SearchEngine, question: Question) -> Answer:
    hits = engine.retrieve(question.query)
    first = {
        stage: next(iter(engine.doc_ids(found.chunk_ids[:1])), "")
        for stage, found in {FUSED: hits.fused, **hits.legs}.items()
    }
    return Answer(question, first)


def group(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """The answers of each corpus, and "all"."""
    groups = {
        corpus: [each for each in answers if each.question.corpus == corpus] for corpus in FOLDERS
    }
    return {**groups, "all": list(answers)}


def count_hits(answers: Sequence[Answer]) -> dict[str, int]:
    """By stage, the questions whose first document is right."""
    return {stage: sum(each.is_hit(stage) for each in answers) for stage in answers[0].first}


def format_table(split: str, answers: Sequence[Answer]) -> str:
    stages = list(answers[0].first)
    lines = [
        f"| hit@1, {split} | questions | {' | '.join(stages)} |",
        "|---" * (len(stages) + 2) + "|",
    ]
    for name, grouped in group(answers).items():
        cells = [f"{hits / len(grouped):.2f} ({hits})" for hits in count_hits(grouped).values()]
        lines.append(f"| {name} | {len(grouped)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def format_failures(answers: Sequence[Answer]) -> str:
    """Every question that some stage got wrong, with what came first there."""
    lines = []
    for answer in answers:
        wrong = [stage for stage in answer.first if not answer.is_hit(stage)]
        lines += [
            f"- {answer.question.corpus}, {stage}: `{answer.question.query}` -> "
            f"{answer.first[stage] or 'nothing'}"
            for stage in wrong
        ]
    return "\n".join(lines) or "Every stage got every question right."


def to_json(answers: Sequence[Answer]) -> dict[str, object]:
    return {
        "environment": describe_environment().splitlines(),
        "split": "test",
        "hit@1": {
            name: {
                "questions": len(grouped),
                **{stage: hits / len(grouped) for stage, hits in count_hits(grouped).items()},
            }
            for name, grouped in group(answers).items()
        },
        "failures": [
            {
                "query": answer.question.query,
                "corpus": answer.question.corpus,
                "first": {
                    stage: first
                    for stage, first in answer.first.items()
                    if not answer.is_hit(stage)
                },
            }
            for answer in answers
            if not all(answer.is_hit(stage) for stage in answer.first)
        ],
    }


if __name__ == "__main__":
    sys.exit(main())

"""Queries and what is known to answer them, from pairs and from judgments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from search_engine.errors import ReadError, TrainingDataError
from search_engine.evaluation.retrieval_dataset import RetrievalDataset, parse_id, parse_text
from search_engine.ingest.formats.jsonl import read_jsonl
from search_engine.ingest.readers import Fields

# What pairs are customarily called; the first that a record has counts.
_QUERY_NAMES = ("query", "anchor", "question")
_POSITIVE_NAMES = ("positive", "answer", "text")
_ID_NAMES = ("doc_id", "document_id", "corpus-id")
_LABEL_NAMES = ("label", "labels", "score", "scores")


@dataclass(frozen=True, slots=True)
class Positive:
    """What answers a query; its text, its document, or both are known.

    Attributes:
        text: as it is trained on; None is the document's, as an encoder sees it.
        doc_id: of its document in the corpus that is searched.
    """

    text: str | None = None
    doc_id: str | None = None


@dataclass(frozen=True, slots=True)
class MiningQuery:
    """A query and everything that is known to answer it."""

    text: str
    positives: tuple[Positive, ...]


def group_pairs(pairs: Iterable[tuple[str, Positive]]) -> Iterator[MiningQuery]:
    """Pairs as queries with all their positives, in the order in which the queries first occur.

    All pairs are read and held before the first query is given: a later one may answer it, too.
    """
    positives: dict[str, dict[Positive, None]] = {}
    for query, positive in pairs:
        positives.setdefault(query, {})[positive] = None
    for query, answers in positives.items():
        yield MiningQuery(query, tuple(answers))


def judged_queries(dataset: RetrievalDataset) -> list[MiningQuery]:
    """The queries of a test collection and the documents that are judged relevant to them.

    A query without such a document is there with none.
    """
    judged = [
        (dataset.queries[query_id], [doc_id for doc_id, grade in grades.items() if grade > 0])
        for query_id, grades in dataset.qrels.items()
    ]
    found = {text: MiningQuery(text, ()) for text, _ in judged}
    pairs = ((text, Positive(doc_id=doc_id)) for text, ids in judged for doc_id in ids)
    return list((found | {query.text: query for query in group_pairs(pairs)}).values())


def read_pairs(path: Path, *, on_problem: Callable[[ReadError], None]) -> list[MiningQuery]:
    """Read pairs from JSON Lines, plain or gzip: {"query", "positive"} or {"query", "doc_id"}.

    A query may also be called anchor or question, and a positive answer or text. Other fields are
    passed over.

    Args:
        on_problem: called with each record that cannot be read.

    Raises:
        TrainingDataError: the file cannot be read, or has no pair.
    """
    first: list[ReadError] = []

    def tell(problem: ReadError) -> None:
        if not first:
            first.append(problem)
        on_problem(problem)

    def read() -> Iterator[tuple[str, Positive]]:
        try:
            for reading in read_jsonl(path):
                content = reading.content
                if isinstance(content, ReadError):
                    tell(content)
                elif isinstance(content, Fields):
                    try:
                        yield _parse_pair(content.values)
                    except ValueError as error:
                        tell(ReadError(str(path), str(error), line=content.line))
        except ReadError as error:
            tell(error)

    try:
        queries = list(group_pairs(read()))
    except OSError as error:
        raise TrainingDataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not queries:
        why = f". The first problem: {first[0]}" if first else ""
        raise TrainingDataError(
            f'{path}: there is no pair in it; give JSON Lines with "query" and "positive", or '
            f'"query" and "doc_id"{why}'
        )
    return queries


def _parse_pair(record: Mapping[str, object]) -> tuple[str, Positive]:
    """The pair that a record is.

    Raises:
        ValueError: it is none.
    """
    label = next((name for name in record if name in _LABEL_NAMES), None)
    if label is not None:
        raise ValueError(
            f"the record has a {label!r}, and may be no positive; give pairs that all are, "
            "without the field"
        )
    query_name = _first(record, _QUERY_NAMES)
    query = parse_text(record, query_name, required=True)
    if not query.strip():
        raise ValueError(f"{query_name!r} is empty")
    text_name, id_name = _first(record, _POSITIVE_NAMES), _first(record, _ID_NAMES)
    has_text, has_id = (record.get(name) is not None for name in (text_name, id_name))
    text = parse_text(record, text_name, required=not has_id)
    if has_text and not text.strip():
        raise ValueError(f"{text_name!r} is empty")
    return query, Positive(
        text if has_text else None, parse_id(record, id_name) if has_id else None
    )


def _first(record: Mapping[str, object], names: tuple[str, ...]) -> str:
    return next((name for name in names if record.get(name) is not None), names[0])

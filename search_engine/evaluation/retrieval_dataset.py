"""A retrieval test collection: documents, queries, and which documents answer which query."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from search_engine.errors import DatasetError
from search_engine.types import Document

_NAMED_IN_A_MESSAGE = 5


@dataclass(frozen=True, slots=True)
class RetrievalDataset:
    """One split of a test collection.

    Attributes:
        name: what the collection is called in reports.
        split: which judgments these are.
        queries: query id -> text, of exactly the queries that the split judges.
        qrels: query id -> doc_id -> grade; larger is more relevant, 0 or less is judged not
            relevant.
        documents: starts a new pass over the corpus; the corpus is streamed, never held.
    """

    name: str
    split: str
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    documents: Callable[[], Iterator[Document]]

    @classmethod
    def from_texts(
        cls,
        queries: Mapping[str, str],
        corpus: Mapping[str, str],
        qrels: Mapping[str, Mapping[str, int]],
        *,
        name: str = "texts",
        split: str = "test",
    ) -> RetrievalDataset:
        """A collection in memory.

        Args:
            queries: query id -> text; those that the qrels do not judge are left out.
            corpus: doc_id -> text.
            qrels: query id -> doc_id -> grade.

        Raises:
            DatasetError: the corpus or the qrels are empty, or the qrels judge queries that are
                not there.
        """
        if not corpus:
            raise DatasetError(f"{name}: the corpus is empty; give at least one document")
        return cls(
            name=name,
            split=split,
            queries=select_judged(
                queries, qrels, qrels_at=f"{name}: the qrels", queries_at="the mapping of queries"
            ),
            qrels=qrels,
            documents=lambda: (Document(doc_id, text) for doc_id, text in corpus.items()),
        )


def parse_grade(value: object) -> int:
    """The grade that a qrels field states: an integer, or a number equal to one.

    Raises:
        ValueError: the value is not such a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"the score {value!r} is not a number")
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"the score {value!r} is not a number") from None
    if not number.is_integer():
        raise ValueError(f"the score {value!r} is not an integer, and a grade has to be one")
    return int(number)


def parse_id(record: Mapping[str, object], *keys: str) -> str:
    """The identifier under the first of `keys` that the record has, as text.

    Raises:
        ValueError: there is none, or it is neither text nor an integer, or it is empty.
    """
    value = next((record[key] for key in keys if record.get(key) is not None), None)
    if value is None:
        raise ValueError(f"the record has no {keys[0]!r}")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{keys[0]!r} is {value!r}, and an identifier is text")
    if value == "":
        raise ValueError(f"{keys[0]!r} is empty")
    return str(value)


def parse_text(record: Mapping[str, object], key: str, *, required: bool) -> str:
    """The text under `key`; "" where it is absent or null and not required.

    Raises:
        ValueError: it is required and absent, or not text, or not text that UTF-8 can hold.
    """
    value = record.get(key)
    if value is None:
        if required:
            raise ValueError(f"the record has no {key!r}")
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{key!r} is {value!r}, and it has to be text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{key!r} holds half of a surrogate pair, which is no text") from error
    return value


def add_judgment(qrels: dict[str, dict[str, int]], query_id: str, doc_id: str, grade: int) -> None:
    """Record one judgment; the same judgment twice is one.

    Raises:
        ValueError: the pair was judged before, with another grade.
    """
    known = qrels.setdefault(query_id, {}).setdefault(doc_id, grade)
    if known != grade:
        raise ValueError(
            f"query {query_id!r} and document {doc_id!r} are judged twice, {known} and {grade}; "
            "keep one of the two"
        )


def select_judged(
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    *,
    qrels_at: str,
    queries_at: str,
) -> dict[str, str]:
    """The queries that the qrels judge, in the order in which `queries` has them.

    Args:
        qrels_at, queries_at: where the two were read, for the message.

    Raises:
        DatasetError: the qrels are empty or judge queries that are not there.
    """
    if not qrels:
        raise DatasetError(f"{qrels_at}: no judgments, so there is nothing to evaluate")
    missing = [query_id for query_id in qrels if query_id not in queries]
    if missing:
        shown = ", ".join(repr(query_id) for query_id in missing[:_NAMED_IN_A_MESSAGE])
        more = ", ..." if len(missing) > _NAMED_IN_A_MESSAGE else ""
        raise DatasetError(
            f"{qrels_at} judges {len(missing)} of {len(qrels)} queries that {queries_at} does not "
            f"have: {shown}{more}; add them there, or take their lines out of the qrels"
        )
    return {query_id: text for query_id, text in queries.items() if query_id in qrels}

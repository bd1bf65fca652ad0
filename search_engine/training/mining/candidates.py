"""Where candidates come from; here: a list of texts, all compared with every query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from search_engine.config import Config
from search_engine.embeddings.semantic_search import semantic_search
from search_engine.embeddings.similarity import pairwise_similarity
from search_engine.errors import TrainingDataError
from search_engine.ingest.text_format import format_text
from search_engine.training.mining.queries import MiningQuery, Positive
from search_engine.types import Document

if TYPE_CHECKING:
    from search_engine.encoders.bi_encoder import BiEncoder


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that retrieval found for a query.

    Attributes:
        text: as an encoder sees it, with title and headings.
        body: without them.
        score: of retrieval; comparable among the candidates of one query.
        doc_id: of its document; None where the text has none.
    """

    text: str
    body: str
    score: float
    doc_id: str | None = None


@dataclass(frozen=True, slots=True)
class ScoredText:
    """A text and how well it fits a query; None where that is not known."""

    text: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """What retrieval found for a query.

    Attributes:
        candidates: best first; known positives may be among them.
        positives: the query's, as they are trained on; the score is None of one that is not among
            the candidates, and that retrieval therefore puts below all of them.
        missing: how many positives are of documents that the corpus does not have.
    """

    candidates: tuple[Candidate, ...]
    positives: tuple[ScoredText, ...]
    missing: int = 0


class CandidateSource(Protocol):
    """A corpus that can be searched."""

    def find(self, queries: Sequence[MiningQuery], *, depth: int) -> list[Found]:
        """What is found for each query.

        Args:
            depth: how many candidates each is to have beside its known positives, if there are.
        """


class TextCandidates:
    """A list of texts that is small enough to be held in memory with its vectors.

    Args:
        documents: the corpus; of texts that occur several times, the first stays.
        encoder: compares them with the queries, by the checkpoint's own similarity.

    Raises:
        TrainingDataError: there is no document.
    """

    def __init__(self, documents: Iterable[str | Document], encoder: BiEncoder) -> None:
        self._encoder = encoder
        self._texts: list[str] = []
        self._documents: list[Document | None] = []
        self._rows: dict[str, int] = {}
        self._rows_by_id: dict[str, int] = {}
        for document in documents:
            self._take(document)
        if not self._texts:
            raise TrainingDataError("there is no document to mine negatives from; give some texts")
        self._vectors = encoder.encode_document(self._texts)

    def _take(self, document: str | Document) -> None:
        text = document if isinstance(document, str) else _text_of(document)
        row = self._rows.setdefault(text, len(self._texts))
        if row == len(self._texts):
            self._texts.append(text)
            self._documents.append(None if isinstance(document, str) else document)
        if isinstance(document, Document):
            self._rows_by_id[document.doc_id] = row

    def find(self, queries: Sequence[MiningQuery], *, depth: int) -> list[Found]:
        """What is found for each query; every positive has a score."""
        vectors = self._encoder.encode_query([query.text for query in queries])
        most = max((len(query.positives) for query in queries), default=0)
        neighbours = semantic_search(
            vectors, self._vectors, top_k=depth + most, similarity=self._encoder.similarity
        )
        known = [
            [text for each in query.positives if (text := self._text(each)) is not None]
            for query in queries
        ]
        scores = iter(self._scores(vectors, known).tolist())
        return [
            Found(
                tuple(self._candidates(positions, found)),
                tuple(ScoredText(text, next(scores)) for text in texts),
                missing=len(query.positives) - len(texts),
            )
            for query, texts, positions, found in zip(
                queries, known, neighbours.positions, neighbours.scores, strict=True
            )
        ]

    def _text(self, positive: Positive) -> str | None:
        if positive.text is not None:
            return positive.text
        row = self._rows_by_id.get(positive.doc_id or "")
        return None if row is None else self._texts[row]

    def _scores(
        self, vectors: NDArray[np.float32], texts: Sequence[Sequence[str]]
    ) -> NDArray[np.float32]:
        """The score of each query with each of its texts, float32 [texts]."""
        flat = [text for each in texts for text in each]
        unknown = [text for text in dict.fromkeys(flat) if text not in self._rows]
        # A text that the corpus lacks was not encoded before.
        rows = self._rows | {text: len(self._texts) + new for new, text in enumerate(unknown)}
        known = self._vectors
        if unknown:
            known = np.concatenate([known, self._encoder.encode_document(unknown)])
        queries = np.repeat(vectors, [len(each) for each in texts], axis=0)
        positives = known[[rows[text] for text in flat]]
        return pairwise_similarity(queries, positives, name=self._encoder.similarity)

    def _candidates(
        self, positions: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> Iterable[Candidate]:
        for row, score in zip(positions.tolist(), scores.tolist(), strict=True):
            document = self._documents[row]
            text = self._texts[row]
            if document is None:
                yield Candidate(text, text, score)
            else:
                yield Candidate(text, document.text, score, document.doc_id)


def _text_of(document: Document) -> str:
    return format_text(Config().text_format, title=document.title, headings=(), text=document.text)

"""How well an encoder finds the documents of a collection that answer its queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.embeddings.similarity import SimilarityName
from search_engine.errors import DatasetError
from search_engine.evaluation.evaluators.vectors import Vectors, encode_texts, find_nearest
from search_engine.evaluation.measured import Evaluator, Measured
from search_engine.evaluation.metrics import score_run, split_metric
from search_engine.evaluation.retrieval_dataset import RetrievalDataset
from search_engine.types import Document, SparseVectors

METRICS = (
    "ndcg@10",
    "mrr@10",
    "map@100",
    *(f"{kind}@{k}" for kind in ("accuracy", "precision", "recall") for k in (1, 3, 5, 10)),
)
# Documents that are encoded at a time: enough to sort by length, few enough to hold.
_BLOCK = 4_096
# How deep a ranking is for metrics without a cut, as trec_eval is mostly given.
_DEEPEST = 1_000


class InformationRetrievalEvaluator(Evaluator):
    """nDCG, MRR, MAP, precision, recall and accuracy of exact search over a whole corpus.

    The corpus is encoded block by block and its vectors are not kept. Of documents with equal
    scores, the first in the corpus ranks first.

    Args:
        dataset: `RetrievalDataset.from_texts` makes one of mappings, `load_dataset` reads one.
        name: None is the dataset's.
        metrics: as for `metrics.score_run`; "map" and "mrr" look at the first 1,000 documents.
        metric: which of them decides; None is the first.
        similarity: None is the encoder's own.
        truncate_dim: how many of a vector's first numbers are kept; None is as the encoder has it.

    Raises:
        ConfigError: there is no metric of a name.
        DatasetError: the dataset has no queries.
    """

    def __init__(
        self,
        dataset: RetrievalDataset,
        *,
        name: str | None = None,
        metrics: Sequence[str] = METRICS,
        metric: str | None = None,
        similarity: SimilarityName | None = None,
        truncate_dim: int | None = None,
    ) -> None:
        if not dataset.queries:
            raise DatasetError(f"{dataset.name}, split {dataset.split}: there are no queries")
        super().__init__(name or dataset.name, metrics=metrics, metric=metric)
        self._depth = max(split_metric(each)[1] or _DEEPEST for each in metrics)
        self._dataset = dataset
        self._metrics = tuple(metrics)
        self._similarity = similarity
        self._truncate_dim = truncate_dim

    def measure(self, encoder: Any) -> Measured:
        """The metrics, per query; of a sparse encoder also how sparse its vectors are.

        `query_active_dims`, `corpus_active_dims` and the sparsity ratios are means over vectors;
        `avg_flops` is how many products comparing a query with a document takes on average
        (Paria et al. 2020).

        Raises:
            ConfigError: the encoder scores pairs, or is sparse and is to be truncated.
            DatasetError: the corpus is empty, or a line of it cannot be read.
        """
        dataset = self._dataset
        queries = encode_texts(
            encoder, list(dataset.queries.values()), "query", truncate_dim=self._truncate_dim
        )
        corpus = _Corpus(dataset, encoder, self._truncate_dim)
        found = find_nearest(
            queries,
            corpus.blocks(),
            top_k=self._depth,
            similarity=self._similarity or encoder.similarity,
        )
        run = {
            query_id: [corpus.doc_ids[position] for position in positions]
            for query_id, positions in zip(dataset.queries, found.positions.tolist(), strict=True)
        }
        per_query = score_run(dataset.qrels, run, metrics=self._metrics)
        measured = Measured.means(sorted(dataset.qrels), per_query)
        if isinstance(queries, SparseVectors):
            return Measured(
                {**measured.scores, **_measure_sparsity(queries, corpus)},
                measured.items,
                measured.per_item,
            )
        return measured


class _Corpus:
    """The documents of a collection as vectors, read once.

    Attributes:
        doc_ids: of the documents that have been read so far.
        counts: float64 [terms], how many sparse vectors so far have each term.
    """

    def __init__(self, dataset: RetrievalDataset, encoder: Any, truncate_dim: int | None) -> None:
        self.doc_ids: list[str] = []
        self.counts: NDArray[np.float64] = np.zeros(0)
        self._dataset = dataset
        self._encoder = encoder
        self._truncate_dim = truncate_dim

    def blocks(self) -> Iterator[Vectors]:
        documents = self._dataset.documents()
        while block := list(islice(documents, _BLOCK)):
            self.doc_ids += [document.doc_id for document in block]
            vectors = encode_texts(
                self._encoder,
                [_read(document) for document in block],
                "document",
                truncate_dim=self._truncate_dim,
            )
            if isinstance(vectors, SparseVectors):
                counts = _count_terms(vectors)
                self.counts = counts if not len(self.counts) else self.counts + counts
            yield vectors
        if not self.doc_ids:
            raise DatasetError(f"{self._dataset.name}: the corpus is empty")


def _read(document: Document) -> str:
    """What an encoder reads of a document, as in BEIR and MTEB."""
    return f"{document.title} {document.text}".strip() if document.title else document.text


def _count_terms(vectors: SparseVectors) -> NDArray[np.float64]:
    return np.bincount(vectors.indices, minlength=vectors.size).astype(np.float64)


def _measure_sparsity(queries: SparseVectors, corpus: _Corpus) -> dict[str, float]:
    query_counts = _count_terms(queries) / len(queries)
    corpus_counts = corpus.counts / len(corpus.doc_ids)
    return {
        "query_active_dims": float(query_counts.sum()),
        "query_sparsity_ratio": 1 - float(query_counts.sum()) / queries.size,
        "corpus_active_dims": float(corpus_counts.sum()),
        "corpus_sparsity_ratio": 1 - float(corpus_counts.sum()) / queries.size,
        "avg_flops": float(query_counts @ corpus_counts),
    }

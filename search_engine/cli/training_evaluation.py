"""What scores an encoder on a judged data set while it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from search_engine.evaluation.evaluators.reranking import RerankingSample
    from search_engine.evaluation.retrieval_dataset import RetrievalDataset
    from search_engine.training.runs import Evaluator

# Documents of each query that a cross-encoder is to order.
_CANDIDATES = 50


def open_evaluator(
    kind: Literal["bi", "sparse", "cross"], directory: str, *, split: str, offline: bool
) -> Evaluator:
    """Search over the whole corpus, or, for a cross-encoder, the order of what a search found.

    Args:
        directory: a folder in the BEIR layout, or a hub data set in that form.
        split: which qrels.

    Raises:
        DatasetError: the data set is missing or malformed.
    """
    from search_engine.evaluation.datasets import load_dataset
    from search_engine.evaluation.evaluators.information_retrieval import (
        InformationRetrievalEvaluator,
    )
    from search_engine.evaluation.evaluators.reranking import RerankingEvaluator

    dataset = load_dataset(directory, split=split, offline=offline)
    if kind != "cross":
        return InformationRetrievalEvaluator(dataset, metrics=("ndcg@10", "mrr@10", "recall@10"))
    samples = _find_candidates(dataset, offline=offline)
    return RerankingEvaluator(samples, name=dataset.name)


def _find_candidates(dataset: RetrievalDataset, *, offline: bool) -> list[RerankingSample]:
    """The queries with the documents that the default bi-encoder puts first."""
    from search_engine.config import DEFAULT_MODEL
    from search_engine.embeddings.semantic_search import semantic_search
    from search_engine.encoders.bi_encoder import BiEncoder
    from search_engine.evaluation.evaluators.reranking import RerankingSample

    encoder = BiEncoder(DEFAULT_MODEL, offline=offline)
    texts = {
        document.doc_id: f"{document.title}\n{document.text}" if document.title else document.text
        for document in dataset.documents()
    }
    doc_ids = list(texts)
    queries = encoder.encode_query(list(dataset.queries.values()))
    corpus = encoder.encode_document(list(texts.values()))
    found = semantic_search(queries, corpus, top_k=_CANDIDATES, similarity=encoder.similarity)
    samples = []
    for (query_id, query), positions in zip(
        dataset.queries.items(), found.positions.tolist(), strict=True
    ):
        grades = {
            texts[doc_id]: grade
            for doc_id, grade in dataset.qrels[query_id].items()
            if doc_id in texts
        }
        candidates = [texts[doc_ids[position]] for position in positions]
        samples.append(RerankingSample(query, grades, candidates))
    return samples

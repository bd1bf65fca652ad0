"""Evaluators: scores of an encoder on labelled texts, while it is trained and after.

Names are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search_engine.evaluation.evaluators.binary_classification import (
        BinaryClassificationEvaluator,
    )
    from search_engine.evaluation.evaluators.classification import ClassificationEvaluator
    from search_engine.evaluation.evaluators.embedding_similarity import (
        EmbeddingSimilarityEvaluator,
    )
    from search_engine.evaluation.evaluators.information_retrieval import (
        InformationRetrievalEvaluator,
    )
    from search_engine.evaluation.evaluators.mse import MSEEvaluator
    from search_engine.evaluation.evaluators.reranking import RerankingEvaluator, RerankingSample
    from search_engine.evaluation.evaluators.translation import TranslationEvaluator
    from search_engine.evaluation.evaluators.triplet import TripletEvaluator

__all__ = [
    "BinaryClassificationEvaluator",
    "ClassificationEvaluator",
    "EmbeddingSimilarityEvaluator",
    "InformationRetrievalEvaluator",
    "MSEEvaluator",
    "RerankingEvaluator",
    "RerankingSample",
    "TranslationEvaluator",
    "TripletEvaluator",
]

_HOMES = {
    "BinaryClassificationEvaluator": "binary_classification",
    "ClassificationEvaluator": "classification",
    "EmbeddingSimilarityEvaluator": "embedding_similarity",
    "InformationRetrievalEvaluator": "information_retrieval",
    "MSEEvaluator": "mse",
    "RerankingEvaluator": "reranking",
    "RerankingSample": "reranking",
    "TranslationEvaluator": "translation",
    "TripletEvaluator": "triplet",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

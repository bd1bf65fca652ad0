"""Distillation: what teachers say of texts becomes the training data of a student.

Names are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search_engine.training.distillation.fewer_layers import distill_layers, write_fewer_layers
    from search_engine.training.distillation.labels import label_rows
    from search_engine.training.distillation.multilingual import distill_multilingual
    from search_engine.training.distillation.parallel_sentences import ParallelSentences
    from search_engine.training.distillation.projection import Projection, write_projected
    from search_engine.training.distillation.scores import distill_scores
    from search_engine.training.distillation.teachers import (
        CrossEncoderScores,
        Similarities,
        Teacher,
        Vectors,
    )

__all__ = [
    "CrossEncoderScores",
    "ParallelSentences",
    "Projection",
    "Similarities",
    "Teacher",
    "Vectors",
    "distill_layers",
    "distill_multilingual",
    "distill_scores",
    "label_rows",
    "write_fewer_layers",
    "write_projected",
]

_HERE = "search_engine.training.distillation"
_HOMES = {
    "CrossEncoderScores": "teachers",
    "ParallelSentences": "parallel_sentences",
    "Projection": "projection",
    "Similarities": "teachers",
    "Teacher": "teachers",
    "Vectors": "teachers",
    "distill_layers": "fewer_layers",
    "distill_multilingual": "multilingual",
    "distill_scores": "scores",
    "label_rows": "labels",
    "write_fewer_layers": "fewer_layers",
    "write_projected": "projection",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{_HERE}.{_HOMES[name]}"), name)

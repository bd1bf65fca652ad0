"""Fine-tuning of the three encoders: data, losses, the loop, mining and distillation.

Names are imported on first use, so that a loss can be imported without the loop.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search_engine.training.data.training_set import TrainingSet
    from search_engine.training.masked_language_model import pretrain_masked_language_model
    from search_engine.training.runs import TrainingReport, train
    from search_engine.training.settings import LoraSettings, TrainingSettings

__all__ = [
    "LoraSettings",
    "TrainingReport",
    "TrainingSet",
    "TrainingSettings",
    "pretrain_masked_language_model",
    "train",
]

_HOMES = {
    "LoraSettings": "search_engine.training.settings",
    "TrainingReport": "search_engine.training.runs",
    "TrainingSet": "search_engine.training.data.training_set",
    "TrainingSettings": "search_engine.training.settings",
    "pretrain_masked_language_model": "search_engine.training.masked_language_model",
    "train": "search_engine.training.runs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

"""The losses of a cross-encoder, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_engine.registry import Registry
from search_engine.training.losses.loss import Loss

_MODULES: Mapping[str, tuple[str, ...]] = {
    "adr_mse": ("ADRMSELoss",),
    "binary_cross_entropy": ("BinaryCrossEntropyLoss",),
    "cross_entropy": ("CrossEntropyLoss",),
    "lambda_loss": ("LambdaLoss",),
    "list_mle": ("ListMLELoss", "PListMLELoss"),
    "list_net": ("ListNetLoss",),
    "margin_mse": ("MarginMSELoss",),
    "mse": ("MSELoss",),
    "multiple_negatives_ranking": (
        "MultipleNegativesRankingLoss",
        "CachedMultipleNegativesRankingLoss",
    ),
    "rank_net": ("RankNetLoss",),
}
LOSSES: Registry[type[Loss]] = Registry(
    "cross-encoder loss",
    group="search_engine.cross_encoder_losses",
    builtin={
        name: f"search_engine.training.losses.cross_encoder.{module}:{name}"
        for module, names in _MODULES.items()
        for name in names
    },
)


def __getattr__(name: str) -> Any:
    if name not in LOSSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return LOSSES.get(name)

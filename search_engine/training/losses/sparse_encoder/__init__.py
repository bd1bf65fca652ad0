"""The losses of a sparse encoder, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_engine.registry import Registry
from search_engine.training.losses.loss import Loss

_HERE = "search_engine.training.losses.sparse_encoder"
# Losses whose defaults suit sparse vectors too.
_DENSE = "search_engine.training.losses.bi_encoder"
_MODULES: Mapping[str, tuple[str, ...]] = {
    f"{_HERE}.splade": ("SpladeLoss",),
    f"{_HERE}.multiple_negatives_ranking": (
        "MultipleNegativesRankingLoss",
        "CachedMultipleNegativesRankingLoss",
    ),
    f"{_HERE}.distill_kl_div": ("DistillKLDivLoss",),
    f"{_DENSE}.margin_mse": ("MarginMSELoss",),
    f"{_DENSE}.mse": ("MSELoss",),
    f"{_DENSE}.cosine_similarity": ("CosineSimilarityLoss",),
    f"{_DENSE}.cosent": ("CoSENTLoss",),
    f"{_DENSE}.triplet": ("TripletLoss",),
}
LOSSES: Registry[type[Loss]] = Registry(
    "sparse encoder loss",
    group="search_engine.sparse_encoder_losses",
    builtin={name: f"{module}:{name}" for module, names in _MODULES.items() for name in names},
)


def __getattr__(name: str) -> Any:
    if name not in LOSSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return LOSSES.get(name)

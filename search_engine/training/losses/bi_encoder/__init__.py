"""The losses of a bi-encoder, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_engine.registry import Registry
from search_engine.training.losses.loss import Loss

_MODULES: Mapping[str, tuple[str, ...]] = {
    "multiple_negatives_ranking": (
        "MultipleNegativesRankingLoss",
        "CachedMultipleNegativesRankingLoss",
    ),
    "gist_embed": ("GISTEmbedLoss",),
    "margin_mse": ("MarginMSELoss",),
    "distill_kl_div": ("DistillKLDivLoss",),
    "mse": ("MSELoss",),
    "triplet": ("TripletLoss",),
    "cosent": ("CoSENTLoss",),
    "cosine_similarity": ("CosineSimilarityLoss",),
    "contrastive": ("ContrastiveLoss",),
    "softmax": ("SoftmaxLoss",),
    "matryoshka": ("MatryoshkaLoss",),
}
LOSSES: Registry[type[Loss]] = Registry(
    "bi-encoder loss",
    group="search_engine.bi_encoder_losses",
    builtin={
        name: f"search_engine.training.losses.bi_encoder.{module}:{name}"
        for module, names in _MODULES.items()
        for name in names
    },
)


def __getattr__(name: str) -> Any:
    if name not in LOSSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return LOSSES.get(name)

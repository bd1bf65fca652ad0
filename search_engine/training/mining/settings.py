"""Which candidates become negatives."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Sampling: TypeAlias = Literal["top", "random"]


class MiningSettings(BaseModel):
    """Which candidates become negatives: frozen, checked when made.

    A candidate is looked at if its rank says so, and then has to pass every condition. Scores are
    the cross-encoder's where there is one, else those of retrieval. The positive's score is the
    lowest of the query's positives. A positive that retrieval did not find among its candidates
    scores below all of them, so that with a margin none of them becomes a negative.

    Attributes:
        negatives: of each query, at most.
        max_rank: so many of the best candidates are looked at, known positives not counted.
        min_rank: of those that pass every condition, so many of the best are passed over.
        min_score, max_score: a negative's score lies between them, ends included.
        margin: a negative scores at least so much less than the positive.
        relative_margin: a negative scores at least this share of the positive's score, without
            its sign, less than it: 0.05 keeps what scores at most 95 % ("TopK-PercPos", Moreira
            et al. 2024, "NV-Retriever", section 4.2).
        sampling: "top" takes the best that pass, "random" draws among them.
        seed: of the draw; the same query draws the same whatever stands before it.
        near_duplicate: least Jaccard similarity of the shingles (see `near_duplicates.shingles`)
            at which a candidate is a positive in other words. One that holds a positive or is a
            part of it never becomes a negative.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    negatives: int = Field(default=5, ge=1)
    max_rank: int = Field(default=100, ge=1)
    min_rank: int = Field(default=0, ge=0)
    min_score: float | None = Field(default=None, allow_inf_nan=False)
    max_score: float | None = Field(default=None, allow_inf_nan=False)
    margin: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    relative_margin: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    sampling: Sampling = "top"
    seed: int = Field(default=0, ge=0)
    near_duplicate: float = Field(default=0.8, gt=0, le=1)

    @model_validator(mode="after")
    def _leaves_enough(self) -> MiningSettings:
        left = self.max_rank - self.min_rank
        if left < self.negatives:
            raise ValueError(
                f"of the first {self.max_rank} candidates {max(0, left)} are left after the first "
                f"{self.min_rank}, and {self.negatives} negatives are wanted; raise max_rank, or "
                "lower min_rank or negatives"
            )
        if None not in (self.min_score, self.max_score) and self.min_score > self.max_score:  # type: ignore[operator]
            raise ValueError(
                f"min_score {self.min_score:g} is above max_score {self.max_score:g}; no score "
                "lies between them"
            )
        return self

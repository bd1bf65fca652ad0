"""All pairs of a query's documents: the more relevant is to have the higher score."""

from __future__ import annotations

from typing import ClassVar, Literal

from search_engine.training.data.formats import Format
from search_engine.training.losses.cross_encoder.activations import Activation
from search_engine.training.losses.cross_encoder.lambda_loss import LambdaLoss


class RankNetLoss(LambdaLoss):
    """`LambdaLoss` in which all pairs count alike (Burges et al. 2005).

    loss = -mean over pairs (i, j) of one query, i more relevant than j, of
    log sigmoid(sigma * (s_i - s_j)).

    Args:
        k: only pairs of which one is among the first so many by their scores count; None is all.
        sigma: the steepness of the sigmoid.
        reduction_log: the logarithm, "binary" or "natural".
        activation, mini_batch_size: as of `SingleScoreLoss`.
    """

    # Only the order of labels matters, and not how high they are.
    formats: ClassVar[tuple[Format, ...]] = ("lists", "tuples", "scored_tuples")

    def __init__(
        self,
        *,
        k: int | None = None,
        sigma: float = 1.0,
        reduction_log: Literal["binary", "natural"] = "binary",
        activation: Activation = "identity",
        mini_batch_size: int | None = None,
    ) -> None:
        super().__init__(
            weighting="none",
            k=k,
            sigma=sigma,
            reduction_log=reduction_log,
            activation=activation,
            mini_batch_size=mini_batch_size,
        )

"""What an evaluator finds: scores, and the values of single items that they are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_engine.errors import ConfigError

Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Statistic:
    """A score that all items make together, such as a rank correlation.

    Attributes:
        compute: predictions [items], gold [items] -> the score; NaN where it is not defined.
        rescale: predictions -> predictions of the same score that can be mixed with those of
            another system, whose cosines or logits may be on another scale.
    """

    compute: Callable[[Values, Values], float]
    rescale: Callable[[Values], Values]


@dataclass(frozen=True, slots=True)
class Measured:
    """What an evaluator found out about an encoder.

    Attributes:
        scores: by name; beside the metrics, what goes with them, such as thresholds.
        items: what was asked, in the order of the values: query ids, or the texts of each pair.
        per_item: by metric, float64 [items]: values whose mean is the score; predictions where
            the metric is one of `statistics`.
        statistics: metrics that are not means over items.
        gold: float64 [items], what the predictions are compared with; None without statistics.
    """

    scores: Mapping[str, float]
    items: Sequence[str | tuple[str, ...]]
    per_item: Mapping[str, Values]
    statistics: Mapping[str, Statistic] = field(default_factory=lambda: MappingProxyType({}))
    gold: Values | None = None

    @classmethod
    def means(
        cls, items: Sequence[str | tuple[str, ...]], per_item: Mapping[str, Values]
    ) -> Measured:
        """Scores that are the means of the values of the items."""
        scores = {name: float(values.mean()) for name, values in per_item.items()}
        return cls(scores, items, per_item)


class Evaluator(ABC):
    """Scores of an encoder on data that it is not trained on.

    Args:
        metrics: the names of its metrics.
        metric: which of them decides; None is the first.

    Attributes:
        name: put before the names of its scores in logs.
        metric: the score that decides which of several encoders is the best; higher is better.

    Raises:
        ConfigError: it has no metrics, or the deciding metric is not one of them.
    """

    def __init__(self, name: str, *, metrics: Sequence[str], metric: str | None) -> None:
        if not metrics:
            raise ConfigError(f"{name!r} is given no metrics; name at least one")
        if metric is not None and metric not in metrics:
            raise ConfigError(
                f"the metric {metric!r} is not measured by {name!r}; choose one of "
                f"{', '.join(metrics)}"
            )
        self.name = name
        self.metric = metric or metrics[0]

    def __call__(self, encoder: Any) -> Mapping[str, float]:
        """The scores by name."""
        return self.measure(encoder).scores

    @abstractmethod
    def measure(self, encoder: Any) -> Measured:
        """The scores, with the values of the items that they are made of.

        Args:
            encoder: an opened BiEncoder, SparseEncoder or CrossEncoder.

        Raises:
            ConfigError: this kind of encoder cannot be measured so.
        """

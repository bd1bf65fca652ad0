"""How far the vectors of a student are from those of its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from search_engine.errors import ConfigError
from search_engine.evaluation.evaluators.pairs import check_columns
from search_engine.evaluation.evaluators.vectors import (
    Vectors,
    encode_texts,
    take_rows,
    to_dense,
)
from search_engine.evaluation.measured import Evaluator, Measured

# Rows whose differences are held at a time; sparse ones are as wide as a vocabulary.
_ROWS = 256


class MSEEvaluator(Evaluator):
    """Minus the mean squared difference of two encoders' vectors, times 100.

    The mean is over all numbers of all vectors (Reimers and Gurevych 2020, eq. 1). The metric is
    called "negative_mse"; 0 is the best.

    Args:
        teacher: a BiEncoder, or a SparseEncoder for sparse students; used here and not kept.
        source: texts that the teacher reads.
        target: texts that the student reads, mostly the same or their translations.
        truncate_dim: how many of a vector's first numbers are compared; None is as the encoders
            have it.

    Raises:
        ConfigError: the teacher scores pairs.
        DatasetError: there are not as many of each.
    """

    def __init__(
        self,
        teacher: Any,
        source: Sequence[str],
        target: Sequence[str],
        *,
        name: str = "mse",
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__(name, metrics=("negative_mse",), metric=None)
        check_columns(name, {"source texts": source, "target texts": target})
        self._wanted = encode_texts(teacher, source, truncate_dim=truncate_dim)
        self._target = tuple(target)
        self._truncate_dim = truncate_dim

    def measure(self, encoder: Any) -> Measured:
        """The metric, and that of each text.

        Raises:
            ConfigError: the student scores pairs, or its vectors are not as long as the teacher's.
        """
        vectors = encode_texts(encoder, self._target, truncate_dim=self._truncate_dim)
        if _width(vectors) != _width(self._wanted):
            raise ConfigError(
                f"{self.name}: the student's vectors have {_width(vectors)} dimensions, the "
                f"teacher's {_width(self._wanted)}; set truncate_dim, or add a layer to one"
            )
        errors = np.empty(len(self._target))
        for start in range(0, len(errors), _ROWS):
            rows = np.arange(start, min(start + _ROWS, len(errors)))
            difference = to_dense(take_rows(vectors, rows)) - to_dense(
                take_rows(self._wanted, rows)
            )
            errors[rows] = np.mean(difference.astype(np.float64) ** 2, axis=1)
        return Measured.means(list(self._target), {"negative_mse": 0 - 100 * errors})


def _width(vectors: Vectors) -> int:
    return int(vectors.shape[1]) if isinstance(vectors, np.ndarray) else vectors.size

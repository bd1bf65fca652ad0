"""How often a text and its translation are nearest to each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.evaluation.evaluators.pairs import check_columns
from search_engine.evaluation.evaluators.vectors import (
    Vectors,
    encode_texts,
    find_nearest,
    take_rows,
)
from search_engine.evaluation.measured import Evaluator, Measured

# Vectors that the others are compared with at a time.
_BLOCK = 4_096


class TranslationEvaluator(Evaluator):
    """The share of texts whose nearest text of the other language, by cosine, is the translation.

    The metrics are "src2trg_accuracy", "trg2src_accuracy" and the mean of the two,
    "mean_accuracy". A text that equals the translation is as good.

    Args:
        source: texts of one language.
        target: the translation of each.
        metric: which score decides; None is "mean_accuracy".
        truncate_dim: how many of a vector's first numbers are kept; None is as the encoder has it.

    Raises:
        DatasetError: there are not as many of each.
    """

    def __init__(
        self,
        source: Sequence[str],
        target: Sequence[str],
        *,
        name: str = "translation",
        metric: str | None = None,
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__(
            name,
            metrics=("mean_accuracy", "src2trg_accuracy", "trg2src_accuracy"),
            metric=metric,
        )
        check_columns(name, {"source texts": source, "target texts": target})
        self._source = tuple(source)
        self._target = tuple(target)
        self._truncate_dim = truncate_dim

    def measure(self, encoder: Any) -> Measured:
        """The accuracies, and whether each text was found.

        Raises:
            ConfigError: the encoder scores pairs, or is sparse and is to be truncated.
        """
        source = encode_texts(encoder, self._source, truncate_dim=self._truncate_dim)
        target = encode_texts(encoder, self._target, truncate_dim=self._truncate_dim)
        forth = _find_translations(source, target, self._target)
        back = _find_translations(target, source, self._source)
        return Measured.means(
            list(zip(self._source, self._target, strict=True)),
            {
                "mean_accuracy": (forth + back) / 2,
                "src2trg_accuracy": forth,
                "trg2src_accuracy": back,
            },
        )


def _find_translations(a: Vectors, b: Vectors, texts: Sequence[str]) -> NDArray[np.float64]:
    """1 where the nearest of b is the translation, else 0; [n].

    Args:
        texts: of b.
    """
    nearest = find_nearest(a, _blocks(b), top_k=1, similarity="cosine").positions[:, 0]
    return np.array(
        [texts[found] == texts[place] for place, found in enumerate(nearest)], np.float64
    )


def _blocks(vectors: Vectors) -> Iterator[Vectors]:
    for start in range(0, len(vectors), _BLOCK):
        yield take_rows(vectors, np.arange(start, min(start + _BLOCK, len(vectors))))

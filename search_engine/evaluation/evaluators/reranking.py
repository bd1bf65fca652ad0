"""How well an encoder orders the candidates of each query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_engine.embeddings.similarity import SimilarityName
from search_engine.errors import ConfigError, DatasetError
from search_engine.evaluation.evaluators.pairs import score_pairs
from search_engine.evaluation.measured import Evaluator, Measured
from search_engine.evaluation.metrics import score_run, split_metric

METRICS = ("ndcg@10", "mrr@10", "map")
# Pairs that are scored at a time.
_PAIRS = 8_192


@dataclass(frozen=True, slots=True)
class RerankingSample:
    """A query and what there is to order.

    Attributes:
        grades: text -> grade; above 0 is relevant, and texts without a grade are not.
        candidates: what a first stage found, best first; none is the texts with a grade.
    """

    query: str
    grades: Mapping[str, int]
    candidates: Sequence[str] = ()

    @classmethod
    def of(
        cls, query: str, *, positives: Sequence[str], negatives: Sequence[str]
    ) -> RerankingSample:
        """A query with relevant texts and others; a text in both is relevant."""
        return cls(query, dict.fromkeys(negatives, 0) | dict.fromkeys(positives, 1))


class RerankingEvaluator(Evaluator):
    """nDCG, MRR and MAP of the order in which an encoder puts candidates.

    A cross-encoder scores the pairs; the vectors of the others are compared. Of candidates with
    equal scores, the one that the first stage had before ranks first, and without a first stage
    the one of the lower grade, so that an encoder that tells nothing apart gains nothing by it.
    Relevant texts that are not ranked count as not found.

    Args:
        samples: a query without a relevant text counts 0.
        metrics: as for `metrics.score_run`.
        metric: which of them decides; None is the first.
        always_rerank_positives: relevant texts that the candidates lack are put behind them, so
            that the encoder alone is measured, and not what the first stage has missed.
        similarity: of vectors; None is the encoder's own.
        truncate_dim: how many of a vector's first numbers are kept; None is as the encoder has it.

    Raises:
        ConfigError: there is no metric of a name.
        DatasetError: there are no samples, or one has no texts.
    """

    def __init__(
        self,
        samples: Sequence[RerankingSample],
        *,
        name: str = "reranking",
        metrics: Sequence[str] = METRICS,
        metric: str | None = None,
        always_rerank_positives: bool = True,
        similarity: SimilarityName | None = None,
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__(name, metrics=metrics, metric=metric)
        for each in metrics:
            split_metric(each)
        if not samples:
            raise DatasetError(f"{name}: there are no samples; give at least one")
        self._samples = tuple(samples)
        self._metrics = tuple(metrics)
        self._texts = [
            _order_texts(sample, always_rerank_positives=always_rerank_positives)
            for sample in samples
        ]
        for number, texts in enumerate(self._texts):
            if not texts:
                raise DatasetError(f"{name}: sample {number} has no texts; leave it out")
        self._similarities = () if similarity is None else (similarity,)
        self._truncate_dim = truncate_dim

    def measure(self, encoder: Any) -> Measured:
        """The metrics, per query; where all samples have candidates, also those of their order.

        The latter are called "base_" and the metric's name.
        """
        orders: list[Sequence[int]] = []
        for first, last in self._blocks():
            queries = [
                sample.query
                for sample, texts in zip(
                    self._samples[first:last], self._texts[first:last], strict=True
                )
                for _ in texts
            ]
            texts = [text for each in self._texts[first:last] for text in each]
            (scores,) = score_pairs(
                encoder,
                queries,
                texts,
                kinds=("query", "document"),
                similarities=self._similarities,
                truncate_dim=self._truncate_dim,
            ).values()
            ends = np.cumsum([len(each) for each in self._texts[first:last]])[:-1]
            orders += [np.argsort(-own, kind="stable").tolist() for own in np.split(scores, ends)]
        measured = self._score(orders)
        if not self._ordered:
            return measured
        base = {f"base_{name}": score for name, score in self.measure_candidates().scores.items()}
        return Measured({**measured.scores, **base}, measured.items, measured.per_item)

    def measure_candidates(self) -> Measured:
        """The same metrics of the order in which the samples have their candidates.

        Raises:
            ConfigError: a sample has no candidates.
        """
        if not self._ordered:
            raise ConfigError(f"{self.name}: a sample without candidates has no order to measure")
        return self._score([range(len(texts)) for texts in self._texts])

    @property
    def _ordered(self) -> bool:
        return all(sample.candidates for sample in self._samples)

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """Ranges of samples that have some `_PAIRS` texts together."""
        first = pairs = 0
        for number, texts in enumerate(self._texts):
            if pairs and pairs + len(texts) > _PAIRS:
                yield first, number
                first, pairs = number, 0
            pairs += len(texts)
        yield first, len(self._texts)

    def _score(self, orders: Sequence[Sequence[int]]) -> Measured:
        # Of equal length, so that ids are in the order of the samples.
        ids = [f"{number:09}" for number in range(len(self._samples))]
        run = {
            query_id: [texts[position] for position in order]
            for query_id, texts, order in zip(ids, self._texts, orders, strict=True)
        }
        qrels = {
            query_id: sample.grades for query_id, sample in zip(ids, self._samples, strict=True)
        }
        per_query = score_run(qrels, run, metrics=self._metrics)
        return Measured.means([sample.query for sample in self._samples], per_query)


def _order_texts(sample: RerankingSample, *, always_rerank_positives: bool) -> list[str]:
    """The texts that are ranked, once each, in the order that holds where scores are equal."""
    if not sample.candidates:
        return sorted(sample.grades, key=lambda text: sample.grades[text])
    missed = [text for text, grade in sample.grades.items() if grade > 0]
    return list(dict.fromkeys([*sample.candidates, *(missed if always_rerank_positives else ())]))

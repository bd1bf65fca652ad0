"""The same negatives as the reference library mines, whatever both can be told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from search_engine.training.mining.candidates import TextCandidates
from search_engine.training.mining.examples import make_examples
from search_engine.training.mining.mining import mine_negatives
from search_engine.training.mining.settings import MiningSettings
from tests.training.mining.corpus import PAIRS, TEXTS, to_queries

# What both libraries call by other names.
_NAMES = {
    "negatives": "num_negatives",
    "min_rank": "range_min",
    "max_rank": "range_max",
    "margin": "absolute_margin",
    "sampling": "sampling_strategy",
}
_FORMATS = {
    "triplets": "triplet",
    "tuples": "n-tuple",
    "pairs": "labeled-pair",
    "lists": "labeled-list",
}
# All of the corpus, so that every positive is among the candidates of both.
_ALL = len(TEXTS)


@pytest.fixture(scope="module")
def reference(bi_encoder_folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(bi_encoder_folder), device="cpu")


@pytest.fixture(scope="module")
def source(encoder) -> TextCandidates:
    return TextCandidates(TEXTS, encoder)


def mine_reference(model, pairs, format_, *, with_scores=False, cross_encoder=None, **options):
    from sentence_transformers.util import mine_hard_negatives

    dataset = Dataset.from_dict(
        {"query": [query for query, _ in pairs], "positive": [text for _, text in pairs]}
    )
    mined = mine_hard_negatives(
        dataset,
        model,
        corpus=TEXTS,
        output_format=_FORMATS[format_],
        output_scores=with_scores,
        cross_encoder=cross_encoder,
        verbose=False,
        **{_NAMES.get(name, name): value for name, value in options.items()},
    )
    # Theirs has one name for what is a positive in one format and a list of documents in another.
    rows = [list(row.values()) for row in mined]
    if format_ != "pairs":
        return rows
    # Theirs has the positives of a query without any negative, ours has no such query.
    positives = Counter(query for query, _ in pairs)
    found = Counter(row[0] for row in rows)
    return [row for row in rows if found[row[0]] > positives[row[0]]]


def mine_own(source, pairs, format_, *, with_scores=False, rescorer=None, **options):
    settings = MiningSettings(**options)
    mined = mine_negatives(to_queries(pairs), source, settings=settings, rescorer=rescorer)
    return [
        list(row.values())
        for each in mined
        for row in make_examples(
            each, format_, negatives=settings.negatives, with_scores=with_scores
        )
    ]


def assert_same(own: list[list[Any]], expected: list[list[Any]]) -> None:
    assert len(own) == len(expected) > 0
    for row, other in zip(own, expected, strict=True):
        assert len(row) == len(other)
        for value, wanted in zip(row, other, strict=True):
            if isinstance(wanted, str | int) or (isinstance(wanted, list) and _is(wanted, str)):
                assert value == wanted
            else:
                np.testing.assert_allclose(value, wanted, atol=2e-6)


def _is(values: list[Any], kind: type) -> bool:
    return all(isinstance(value, kind) for value in values)


@pytest.mark.parametrize(
    "options",
    [
        {"negatives": 3, "max_rank": _ALL},
        {"negatives": 2, "min_rank": 4, "max_rank": 9},
        {"negatives": 5, "min_rank": 0, "max_rank": 5},
        {"negatives": 3, "max_rank": _ALL, "margin": 0.0},
        {"negatives": 3, "max_rank": _ALL, "margin": 0.05},
        {"negatives": 3, "max_rank": _ALL, "relative_margin": 0.05},
        {"negatives": 3, "max_rank": _ALL, "margin": 0.02, "relative_margin": 0.01, "min_rank": 1},
        {"negatives": 4, "max_rank": _ALL, "max_score": 0.6},
        {"negatives": 20, "max_rank": _ALL, "min_score": 0.5},
        {"negatives": 6, "max_rank": _ALL, "min_score": 0.3, "max_score": 0.65, "min_rank": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("format_", list(_FORMATS))
def test_negatives_are_those_of_the_reference(reference, source, format_, options) -> None:
    # With several positives a query, both take the lowest score for the margins.
    expected = mine_reference(reference, PAIRS, "pairs", **options)
    assert_same(mine_own(source, PAIRS, "pairs", **options), expected)
    # Where a triplet has no negative it is no row, and a tuple has all or is none.
    expected = mine_reference(reference, PAIRS, format_, **options)
    assert_same(mine_own(source, PAIRS, format_, **options), expected)


@pytest.mark.parametrize("format_", list(_FORMATS))
def test_scores_are_those_of_the_reference(reference, source, format_) -> None:
    options = {"negatives": 3, "max_rank": _ALL, "margin": 0.01}
    own = mine_own(source, PAIRS, format_, with_scores=True, **options)
    assert_same(own, mine_reference(reference, PAIRS, format_, with_scores=True, **options))


@pytest.mark.parametrize(
    "options", [{"margin": 0.0}, {"margin": 0.05, "min_score": 0.2}, {"relative_margin": 0.1}]
)
def test_rescored_negatives_are_those_of_the_reference(
    reference, source, cross_encoder, classifier, options
) -> None:
    from sentence_transformers import CrossEncoder

    options = {"negatives": 3, "max_rank": _ALL, **options}
    expected = mine_reference(
        reference, PAIRS, "triplets", with_scores=True,
        cross_encoder=CrossEncoder(str(classifier), device="cpu"), **options,
    )  # fmt: skip
    own = mine_own(source, PAIRS, "triplets", with_scores=True, rescorer=cross_encoder, **options)
    assert_same(own, expected)


def test_random_negatives_are_drawn_among_those_that_pass(reference, source) -> None:
    conditions = {"max_rank": _ALL, "max_score": 0.9, "min_rank": 3}
    every = mine_reference(reference, PAIRS[:12], "pairs", negatives=30, **conditions)
    passing = {query: [] for query, _ in PAIRS}
    for query, text, label in every:
        if label == 0:
            passing[query].append(text)
    drawn = mine_own(source, PAIRS[:12], "lists", negatives=4, sampling="random", **conditions)
    differs = 0
    for query, (_, *texts), _ in drawn:
        places = [passing[query].index(text) for text in texts]
        # Best first, and each once.
        assert places == sorted(set(places))
        assert len(places) == min(4, len(passing[query]))
        differs += places != list(range(4))
    assert differs > 5

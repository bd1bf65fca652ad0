"""Short texts, all distinct and none a part of another, and the queries that some answer."""

from __future__ import annotations

import random

from search_engine.training.mining.queries import MiningQuery, Positive

_WORDS = ("cell", "membrane", "lipids", "x9", "fox", "of", "numbers", "the", "q7", "made", "jz")


def make_texts(count: int, *, seed: int) -> list[str]:
    generator = random.Random(seed)
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[" ".join(generator.choices(_WORDS, k=generator.randint(2, 6)))] = None
    return list(texts)


TEXTS = make_texts(40, seed=1)
QUERIES = [f"{text} ?" for text in make_texts(12, seed=2)]
# Each query has one answer, the first three another one.
PAIRS = [(query, TEXTS[3 * place]) for place, query in enumerate(QUERIES)]
PAIRS += [(query, TEXTS[3 * place + 1]) for place, query in enumerate(QUERIES[:3])]


def to_queries(pairs: list[tuple[str, str]]) -> list[MiningQuery]:
    positives: dict[str, list[Positive]] = {}
    for query, text in pairs:
        positives.setdefault(query, []).append(Positive(text))
    return [MiningQuery(query, tuple(texts)) for query, texts in positives.items()]

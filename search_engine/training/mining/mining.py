"""Queries in, queries with hard negatives out, a batch at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from search_engine.training.mining.candidates import Candidate, CandidateSource, Found, ScoredText
from search_engine.training.mining.exclusions import Exclusions
from search_engine.training.mining.queries import MiningQuery
from search_engine.training.mining.report import MiningReport
from search_engine.training.mining.selection import select_negatives
from search_engine.training.mining.settings import MiningSettings

if TYPE_CHECKING:
    from search_engine.encoders.cross_encoder import CrossEncoder

# Queries that are searched for, and whose candidates are rescored, together.
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Mined:
    """A query with its positives and its hard negatives.

    Attributes:
        positives: each once.
        negatives: best first, one at least.
    """

    query: str
    positives: tuple[ScoredText, ...]
    negatives: tuple[ScoredText, ...]


@dataclass(frozen=True, slots=True)
class _Pool:
    """A query whose candidates may become negatives."""

    query: str
    positives: tuple[ScoredText, ...]
    candidates: tuple[Candidate, ...]


def mine_negatives(
    queries: Iterable[MiningQuery],
    source: CandidateSource,
    *,
    settings: MiningSettings | None = None,
    rescorer: CrossEncoder | None = None,
    report: MiningReport | None = None,
) -> Iterator[Mined]:
    """Hard negatives of each query, in the order of the queries, which are read batch by batch.

    No known positive of a query, nothing that repeats one, and not the query's own text becomes a
    negative. Queries without a positive or without a negative are left out.

    Args:
        queries: each text once, with all that is known to answer it; see `group_pairs`.
        rescorer: scores positives and candidates anew. Candidates that it puts above a positive
            are dropped as false negatives, and its scores are those that the settings mean and
            that come out.
        report: is kept up to date.

    Raises:
        CheckpointError: the rescorer gives several labels.
    """
    settings = settings or MiningSettings()
    report = report if report is not None else MiningReport()
    remaining = iter(queries)
    while batch := list(islice(remaining, _BATCH)):
        report.queries += len(batch)
        found = source.find(batch, depth=settings.max_rank)
        pools = [
            pool
            for query, each in zip(batch, found, strict=True)
            if (pool := _make_pool(query, each, settings, report)) is not None
        ]
        if rescorer is not None:
            pools = _rescore(pools, rescorer)
        for pool in pools:
            mined = _choose(pool, settings, report, rescored=rescorer is not None)
            if mined is not None:
                yield mined


def _make_pool(
    query: MiningQuery, found: Found, settings: MiningSettings, report: MiningReport
) -> _Pool | None:
    """The candidates that are not excluded whatever they score; None without a positive."""
    report.missing_positives += found.missing
    if not found.positives:
        report.without_positive += 1
        return None
    # Several documents may have the same text.
    positives = tuple({each.text: each for each in reversed(found.positives)}.values())[::-1]
    report.positives += len(positives)
    report.positives_not_found += sum(each.score is None for each in positives)
    exclusions = Exclusions(
        query.text,
        positives=[each.text for each in positives],
        doc_ids={each.doc_id for each in query.positives if each.doc_id is not None},
        near_duplicate=settings.near_duplicate,
    )
    candidates = []
    looked_at = 0
    for candidate in found.candidates:
        if looked_at == settings.max_rank:
            break
        report.candidates += 1
        if exclusions.is_known_positive(candidate):
            report.skipped["known_positive"] += 1
            continue
        looked_at += 1
        reason = exclusions.reason_against(candidate)
        if reason is None:
            candidates.append(candidate)
        else:
            report.skipped[reason] += 1
    return _Pool(query.text, positives, tuple(candidates))


def _rescore(pools: Sequence[_Pool], rescorer: CrossEncoder) -> list[_Pool]:
    """The same with the cross-encoder's scores."""
    pairs = [
        (pool.query, text)
        for pool in pools
        for text in [
            *(each.text for each in pool.positives),
            *(each.text for each in pool.candidates),
        ]
    ]
    scores = iter(rescorer.predict(pairs).tolist())
    return [
        _Pool(
            pool.query,
            tuple(replace(each, score=next(scores)) for each in pool.positives),
            tuple(replace(each, score=next(scores)) for each in pool.candidates),
        )
        for pool in pools
    ]


def _choose(
    pool: _Pool, settings: MiningSettings, report: MiningReport, *, rescored: bool
) -> Mined | None:
    selection = select_negatives(
        [each.score for each in pool.candidates],
        settings,
        query=pool.query,
        positive_score=min(
            -math.inf if each.score is None else each.score for each in pool.positives
        ),
        rescored=rescored,
    )
    report.skipped.update(selection.skipped.values())
    chosen = [pool.candidates[position] for position in selection.chosen]
    if not chosen:
        report.without_negative += 1
        return None
    report.negatives += len(chosen)
    report.with_fewer += len(chosen) < settings.negatives
    negatives = tuple(ScoredText(each.text, each.score) for each in chosen)
    return Mined(pool.query, pool.positives, negatives)

"""What was mined, what was not, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, get_args

from search_engine.training.mining.selection import Reason

_REASONS: dict[Reason, str] = {
    "known_positive": "known positive of the query",
    "query_text": "the query's own text",
    "repeated": "text of a better candidate",
    "near_duplicate": "near-duplicate or part of a positive",
    "margin": "scores too close to the positive, or above it",
    "false_negative": "false negative by the cross-encoder",
    "max_score": "score above the highest allowed",
    "min_score": "score below the lowest allowed",
    "min_rank": "rank above the first allowed",
    "not_needed": "passed, and not needed",
}


@dataclass(slots=True)
class MiningReport:
    """What mining has come to so far; every candidate is counted once.

    Attributes:
        queries: that were read.
        without_positive: of them, those with no positive in the corpus; they are left out.
        without_negative: those of which no candidate became a negative; they are left out.
        with_fewer: those with fewer negatives than were wanted, but some.
        positives: of the queries that were searched for.
        missing_positives: that are of documents that the corpus does not have.
        positives_not_found: that were not among the candidates, and so have no score.
        candidates: that were found.
        negatives: that were chosen.
        skipped: by reason, candidates that were not chosen.
        examples: rows that were written.
    """

    queries: int = 0
    without_positive: int = 0
    without_negative: int = 0
    with_fewer: int = 0
    positives: int = 0
    missing_positives: int = 0
    positives_not_found: int = 0
    candidates: int = 0
    negatives: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    examples: int = 0

    def to_json(self) -> dict[str, Any]:
        """The counts by name; those of `skipped` have every reason."""
        counts = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "skipped"
        }
        return {**counts, "skipped": {reason: self.skipped[reason] for reason in get_args(Reason)}}

    def to_table(self) -> str:
        """The counts as lines of text; reasons for which nothing was skipped are left out."""
        rows = [
            ("queries", self.queries),
            ("  left out: no positive in the corpus", self.without_positive),
            ("  left out: no negative", self.without_negative),
            ("  with fewer negatives than wanted", self.with_fewer),
            ("positives", self.positives),
            ("  left out: not in the corpus", self.missing_positives),
            ("  not among the candidates", self.positives_not_found),
            ("candidates", self.candidates),
            *((f"  {words}", self.skipped[reason]) for reason, words in _REASONS.items()),
            ("negatives", self.negatives),
            ("examples written", self.examples),
        ]
        shown = [(name, f"{count:,}") for name, count in rows if count or name[0] != " "]
        left = max(len(name) for name, _ in shown)
        right = max(len(count) for _, count in shown)
        return "\n".join(f"{name:<{left}}  {count:>{right}}" for name, count in shown)

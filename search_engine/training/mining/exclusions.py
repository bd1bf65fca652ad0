"""Which candidates of a query are its answers, or the query itself, whatever they score."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

from search_engine.near_duplicates.shingles import Shingles, jaccard, shingles_of
from search_engine.training.mining.candidates import Candidate
from search_engine.training.mining.selection import Reason

# The same texts are candidates of many queries.
_shingles_of = lru_cache(maxsize=10_000)(shingles_of)


class Exclusions:
    """What may not become a negative of one query.

    Args:
        query: its text.
        positives: the texts of all its known positives.
        doc_ids: their documents, as far as they are known.
        near_duplicate: least Jaccard similarity at which a text repeats a positive.
    """

    def __init__(
        self,
        query: str,
        *,
        positives: Sequence[str],
        doc_ids: Collection[str],
        near_duplicate: float,
    ) -> None:
        self._query = folded(query)
        self._positives = {folded(text) for text in positives}
        self._doc_ids = doc_ids
        self._shingles = [_shingles_of(text) for text in positives]
        self._threshold = near_duplicate
        self._seen: set[str] = set()

    def is_known_positive(self, candidate: Candidate) -> bool:
        """Whether it is of a positive document, or has a positive's text.

        Texts are the same where they differ in white space and case alone.
        """
        return candidate.doc_id in self._doc_ids or not self._positives.isdisjoint(
            (folded(candidate.text), folded(candidate.body))
        )

    def reason_against(self, candidate: Candidate) -> Reason | None:
        """Why a candidate that is no known positive cannot be a negative; None if it can.

        To be asked of each candidate once, in their order: the later of equal texts is left out.
        """
        text = folded(candidate.text)
        if self._query in (text, folded(candidate.body)):
            return "query_text"
        if text in self._seen:
            return "repeated"
        self._seen.add(text)
        # A chunk is a part of its document without the title that an encoder sees before it.
        for shingles in map(_shingles_of, {candidate.text, candidate.body}):
            if any(self._repeats(shingles, each) for each in self._shingles):
                return "near_duplicate"
        return None

    def _repeats(self, shingles: Shingles, positive: Shingles) -> bool:
        # A part of a positive document, or a chunk that holds a positive passage, answers too.
        if shingles <= positive or positive <= shingles:
            return True
        return jaccard(shingles, positive) >= self._threshold


def folded(text: str) -> str:
    """The text without regard to white space and case."""
    return " ".join(text.split()).casefold()

"""Which candidates of a query are its answers, or the query itself, whatever they score."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from functools import lru_cache

import regex

from search_engine.near_duplicates.shingles import (
    CHARACTERS,
    WORDS,
    Shingles,
    jaccard,
    shingles_of,
)
from search_engine.scripts import SPACED_CHARACTER, UNSPACED_CHARACTER
from search_engine.training.mining.candidates import Candidate
from search_engine.training.mining.selection import Reason

# The same texts are candidates of many queries.
_shingles_of = lru_cache(maxsize=10_000)(shingles_of)
_UNSPACED = regex.compile(UNSPACED_CHARACTER, regex.V1)
_TOKEN = regex.compile(rf"{UNSPACED_CHARACTER}|{SPACED_CHARACTER}+", regex.V1)


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
        self._sequences = [_sequence_of(text) for text in positives]
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
        for part in {candidate.text, candidate.body}:
            shingles, sequence = _shingles_of(part), _sequence_of(part)
            if any(self._repeats(shingles, each) for each in self._shingles):
                return "near_duplicate"
            # A short text is one shingle as a whole, which tells nothing of what holds it.
            if any(_holds(sequence, each) or _holds(each, sequence) for each in self._sequences):
                return "near_duplicate"
        return None

    def _repeats(self, shingles: Shingles, positive: Shingles) -> bool:
        # A part of a positive document, or a chunk that holds a positive passage, answers too.
        if shingles <= positive or positive <= shingles:
            return True
        return jaccard(shingles, positive) >= self._threshold


@lru_cache(maxsize=10_000)
def _sequence_of(text: str) -> str:
    """The words of a text, or characters of scripts without spaces, each between spaces.

    "" where they are fewer than a shingle has: so few are a part of many texts that do not answer.
    """
    tokens = _TOKEN.findall(unicodedata.normalize("NFC", text).casefold())
    spaced = any(_UNSPACED.match(token) is None for token in tokens)
    if len(tokens) < (WORDS if spaced else CHARACTERS):
        return ""
    return f" {' '.join(tokens)} "


def _holds(whole: str, part: str) -> bool:
    return bool(part) and part in whole


def folded(text: str) -> str:
    """The text without regard to white space and case."""
    return " ".join(text.split()).casefold()

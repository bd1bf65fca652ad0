"""Why a hit matched: the passage that shares most with the query, and the shared words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from semantic_text_splitter import TextSplitter

from search_engine.index.analysis import Analyzer, Token
from search_engine.phrases import find_phrase
from search_engine.types import Highlight

PASSAGE_CHARACTERS = 320


@lru_cache(maxsize=1)
def _splitter() -> TextSplitter:
    return TextSplitter(PASSAGE_CHARACTERS)


def highlight(
    text: str,
    query_terms: frozenset[str],
    analyzer: Analyzer,
    *,
    language: str | None = None,
    phrases: Sequence[str] = (),
) -> Highlight:
    """The passage of a text that has most of the query's phrases and terms.

    Passages are runs of whole sentences of at most 320 characters. More distinct phrases win, then
    more distinct terms, then more occurrences, then the earlier passage. Without anything shared it
    is the first passage.

    Args:
        query_terms: terms of the query, as the analyzer makes them.
        language: of the text, an ISO 639-1 code; None where it is not known.
        phrases: quoted ones of the query.
    """
    quoted = [Token(each, *span) for each in phrases for span in find_phrase(text, each)]
    shared = [*quoted, *analyzer.tokens(text, language=language, among=query_terms)]
    best, best_tokens, best_score = (0, ""), [], (-1, -1, -1)
    for start, passage in _splitter().chunk_indices(text):
        tokens = [each for each in shared if start <= each.start < start + len(passage)]
        held = {each.term for each in quoted if each in tokens}
        score = (len(held), len({each.term for each in tokens}), len(tokens))
        if score > best_score:
            best, best_tokens, best_score = (start, passage), tokens, score
    start, passage = best
    return Highlight(passage, start, _spans(best_tokens, start, start + len(passage)))


def _spans(tokens: list[Token], start: int, end: int) -> tuple[tuple[int, int], ...]:
    """Places of the tokens in their passage; overlapping ones (an identifier's parts) as one."""
    spans: list[tuple[int, int]] = []
    for token in sorted(tokens, key=lambda each: (each.start, -each.end)):
        first, last = token.start - start, min(token.end, end) - start
        if spans and first < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last))
        else:
            spans.append((first, last))
    return tuple(spans)

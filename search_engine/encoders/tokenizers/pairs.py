"""Pairs of texts: with a prompt, and cut to a number of tokens."""

from __future__ import annotations

from typing import TypeAlias

from tokenizers import Encoding

Tokens: TypeAlias = tuple[list[int], list[int]]


class PromptedPair(tuple[str, str]):
    """A query and a text, with what is put before the query.

    Attributes:
        prompt: before the query as it is; where a chat template renders the pair, the system's
            message.
    """

    prompt: str

    def __new__(cls, query: str, text: str, *, prompt: str) -> PromptedPair:
        """Make the pair."""
        pair = super().__new__(cls, (query, text))
        pair.prompt = prompt
        return pair


def cut_encoding(encoding: Encoding, max_tokens: int, *, side: str) -> Tokens:
    """At most so many ids of an encoding, and as many type ids.

    Of a pair, the second text alone loses tokens; where the first leaves no room for any of them,
    the longer text does, then both, as with transformers' "longest_first".

    Args:
        encoding: of a text or a pair, whole, with special tokens, which stay as long as they fit.
        side: "right" or "left", where a text loses tokens.
    """
    ids, type_ids = encoding.ids, encoding.type_ids
    places: tuple[list[int], list[int]] = ([], [])
    for place, sequence in enumerate(encoding.sequence_ids):
        if sequence is not None:
            places[sequence].append(place)
    lengths = len(places[0]), len(places[1])
    room = max(0, max_tokens - (len(ids) - sum(lengths)))
    for each, kept in reversed(tuple(zip(places, _share(room, lengths), strict=True))):
        # A text's tokens lie together, so that one slice is left out.
        surplus = each[: len(each) - kept] if side == "left" else each[kept:]
        if surplus:
            del ids[surplus[0] : surplus[-1] + 1]
            del type_ids[surplus[0] : surplus[-1] + 1]
    return ids[:max_tokens], type_ids[:max_tokens]


def _share(room: int, lengths: tuple[int, int]) -> tuple[int, int]:
    """How many tokens each text of a pair keeps."""
    first, second = lengths
    if first + second <= room:
        return lengths
    if room > first:
        return first, room - first
    shorter = min(first, second, room // 2)
    return (room - shorter, shorter) if first > second else (shorter, room - shorter)

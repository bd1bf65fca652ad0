"""Texts sorted by length and cut into batches of about equal work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """One text as a model reads it.

    Attributes:
        ids: token ids, special tokens included; at least one.
        type_ids: which text of a pair each token belongs to.
        skipped: how many tokens at the start (the prompt) are left out of the pooling.
        unknown: whether more than a fiftieth of the tokens are words that the vocabulary lacks.
    """

    ids: Sequence[int]
    type_ids: Sequence[int]
    skipped: int = 0
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts that are computed together.

    Attributes:
        positions: intp [b], where each text stood in the caller's order.
        inputs: by name, int64 [b, longest], padded on the right.
    """

    positions: NDArray[np.intp]
    inputs: Mapping[str, NDArray[np.int64]]


def plan_batches(lengths: Sequence[int], *, token_budget: int) -> Iterator[NDArray[np.intp]]:
    """Cut texts into batches, longest first, each text in exactly one.

    Longest first, so that running out of memory shows at once and what remains goes faster than
    expected, not slower.

    Args:
        lengths: tokens of each text.
        token_budget: most tokens of a batch, padding included; a longer text is alone.

    Yields:
        intp [b], positions in `lengths`.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.intp), kind="stable")
    start = 0
    while start < len(order):
        count = max(1, token_budget // max(1, lengths[order[start]]))
        yield order[start : start + count]
        start += count


def pad_batch(
    texts: Sequence[TokenizedText],
    positions: NDArray[np.intp],
    *,
    input_names: Sequence[str],
    pad_id: int,
) -> Batch:
    """Put the texts at some positions into padded arrays.

    Right padding for every model: a causal one never looks right, and for all others the mask
    hides it, so that a text's output is the same as alone.
    """
    chosen = [texts[position] for position in positions]
    shape = (len(chosen), max(len(text.ids) for text in chosen))
    inputs = {name: np.zeros(shape, np.int64) for name in input_names}
    inputs["input_ids"][:] = pad_id
    for row, text in enumerate(chosen):
        length = len(text.ids)
        inputs["input_ids"][row, :length] = text.ids
        inputs["attention_mask"][row, :length] = 1
        if "token_type_ids" in inputs:
            inputs["token_type_ids"][row, :length] = text.type_ids
        if "pooling_mask" in inputs:
            inputs["pooling_mask"][row, text.skipped : length] = 1
    return Batch(positions, inputs)

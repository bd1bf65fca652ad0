"""A table of vectors that takes its size from the weights that are read into it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class EmbeddingTable(nn.Embedding):
    """One float32 vector per id; rows and width become those of the weights that are loaded.

    The configs of static and word embeddings do not say how large the table is.
    """

    def __init__(self, weight: Tensor) -> None:
        rows, width = weight.shape
        super().__init__(rows, width, _weight=weight.float())
        self.register_load_state_dict_pre_hook(_take_size)  # type: ignore[no-untyped-call]


def _take_size(table: EmbeddingTable, state: dict[str, Any], prefix: str, *_others: Any) -> None:
    weight = state.get(f"{prefix}weight")
    if weight is None:
        return
    if weight.ndim != 2:
        raise ValueError(f"{prefix}weight must have two dimensions, not {tuple(weight.shape)}")
    # Taken over, not copied: a table of words can be a gigabyte.
    table.weight = nn.Parameter(weight.float())
    table.num_embeddings, table.embedding_dim = weight.shape
    state[f"{prefix}weight"] = table.weight.data

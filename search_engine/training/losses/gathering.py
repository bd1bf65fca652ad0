"""The vectors of all processes, for losses that compare within a batch."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def gather(vectors: Tensor) -> tuple[Tensor, int]:
    """The vectors of all processes [processes * b, d], and where this process's own begin.

    Gradients go through this process's own and those that others hold of them. Every process must
    have as many.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return vectors, 0
    from torch.distributed.nn.functional import all_gather

    gathered = all_gather(vectors)  # type: ignore[no-untyped-call]
    return torch.cat(list(gathered)), distributed.get_rank() * len(vectors)

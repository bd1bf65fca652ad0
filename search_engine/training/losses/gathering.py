"""The vectors of all processes, for losses that compare within a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional


def gather(vectors: Tensor) -> tuple[Tensor, int]:
    """The vectors of all processes [of all of them, d], and where this process's own begin.

    Gradients go to the process that a vector is of. Some processes may have fewer vectors, as at
    the end of a data set.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return vectors, 0
    own = torch.tensor([len(vectors)], device=vectors.device)
    counted = [torch.zeros_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counted, own)
    counts = [int(count) for count in counted]
    begin = sum(counts[: distributed.get_rank()])
    return _Gathering.apply(vectors, counts, begin), begin  # type: ignore[no-untyped-call]


class _Gathering(torch.autograd.Function):
    """torch's own gathering with gradients is deprecated, and the new one differs by version."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, counts: list[int], begin: int) -> Tensor:
        ctx.own = slice(begin, begin + len(vectors))
        # The collective wants as many rows from each process.
        padded = functional.pad(vectors, (0, 0, 0, max(counts) - len(vectors)))
        gathered = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(gathered, padded)
        return torch.cat([rows[:count] for rows, count in zip(gathered, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        summed = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(summed)
        return summed[ctx.own], None, None

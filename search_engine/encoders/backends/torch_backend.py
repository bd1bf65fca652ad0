"""The torch backend: any device, any architecture that transformers knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from search_engine.encoders.backends.tracing import probe_batch
from search_engine.encoders.batching import Batch
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.modules.graph import Graph, load_graph
from search_engine.errors import CheckpointError, ConfigError

_DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class GraphBackend:
    """A graph run by torch as it is.

    Args:
        graph: the modules.
        name: what runs its first module.
        dtype: what that computes in.
        device: a torch device.

    Attributes:
        graph: the modules.
    """

    def __init__(self, graph: Graph, *, name: str, dtype: str, device: str) -> None:
        self.name = name
        self.dtype = dtype
        self.graph = graph
        self._device = torch.device(device)
        self.graph.to(self._device)

    @cached_property
    def width(self) -> int:
        """Numbers in one output, the last dimension."""
        try:
            return int(self.run_one(probe_batch(self.graph.input_names)).shape[-1])
        except (IndexError, NotImplementedError, RuntimeError, TypeError) as error:
            raise CheckpointError(f"the modules do not fit together: {error}") from error

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """The output of each batch, float32 [b, ..., width], in order."""
        for batch in batches:
            yield batch, self.run_one(batch)

    @torch.inference_mode()
    def run_one(self, batch: Batch) -> NDArray[np.float32]:
        """The output of one batch, float32 [b, ..., width]."""
        inputs = [
            torch.from_numpy(batch.inputs[name]).to(self._device) for name in self.graph.input_names
        ]
        output: NDArray[np.float32] = self.graph(*inputs).float().cpu().numpy()
        return output


class TorchBackend(GraphBackend):
    """All modules of a checkpoint, the trunk in the given dtype and what follows in float32."""

    def __init__(self, layout: Layout, *, dtype: str, device: str) -> None:
        graph = load_graph(layout)
        graph.trunk.to(_DTYPES[dtype])
        super().__init__(graph, name="torch", dtype=dtype, device=device)


def check_device(device: str) -> None:
    """See that a torch device can be used on this machine.

    Raises:
        ConfigError: torch does not know it, or it is not there.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(
            f"the device {device!r} cannot be used here: {str(error).splitlines()[0]}"
        ) from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found.type == "cuda" and (found.index or 0) >= count:
        raise ConfigError(
            f"the device {device!r} cannot be used here: torch finds {count} CUDA devices. "
            "Is the driver there, and was torch installed for CUDA? Leave the device out for "
            "the CPU."
        )
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(
            f"the device {device!r} cannot be used here: torch finds no Metal, which Macs with "
            "Apple's processors have. Leave the device out for the CPU."
        )

"""The torch backend: any device, any architecture that transformers knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from search_engine.encoders.batching import Batch
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.modules.graph import load_graph

_DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class TorchBackend:
    """A graph run by torch, its trunk in the given dtype and what follows in float32.

    Attributes:
        graph: the modules.
    """

    name = "torch"

    def __init__(self, layout: Layout, *, dtype: str, device: str) -> None:
        self.dtype = dtype
        self._device = torch.device(device)
        self.graph = load_graph(layout)
        self.graph.trunk.to(_DTYPES[dtype])
        self.graph.to(self._device)
        self._width: int | None = None

    @property
    def width(self) -> int:
        """Numbers in one output."""
        if self._width is None:
            ones = np.ones((1, 1), np.int64)
            inputs = dict.fromkeys(self.graph.input_names, ones)
            probe = Batch(np.zeros(1, np.intp), inputs | {"token_type_ids": ones * 0})
            self._width = self.run_one(probe).shape[1]
        return self._width

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """The output of each batch, float32 [b, width], in order."""
        for batch in batches:
            yield batch, self.run_one(batch)

    @torch.inference_mode()
    def run_one(self, batch: Batch) -> NDArray[np.float32]:
        """The output of one batch, float32 [b, width]."""
        inputs = [
            torch.from_numpy(batch.inputs[name]).to(self._device) for name in self.graph.input_names
        ]
        output: NDArray[np.float32] = self.graph(*inputs).float().cpu().numpy()
        return output

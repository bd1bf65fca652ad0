"""The table backend: weights of tokens looked up, with nothing but NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.batching import Batch
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.checkpoints.token_weights import read_token_weights
from search_engine.errors import CheckpointError


class TableBackend:
    """A checkpoint, or a route of one, that is a SparseStaticEmbedding and nothing else.

    Questions are then asked without torch and without a graph.
    """

    name = "table"
    dtype = "float32"

    def __init__(self, layout: Layout) -> None:
        self._folder = layout.trunk.folder
        self._weights = read_token_weights(self._folder, layout.trunk.config)

    @property
    def width(self) -> int:
        """Terms in the vocabulary."""
        return len(self._weights)

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """The output of each batch, float32 [b, width], in order."""
        for batch in batches:
            yield batch, self.run_one(batch)

    def run_one(self, batch: Batch) -> NDArray[np.float32]:
        """The output of one batch, float32 [b, width].

        Raises:
            CheckpointError: the tokenizer has a token that there is no weight for.
        """
        ids = batch.inputs["input_ids"]
        # A text without any word is a token below 0.
        rows, columns = np.nonzero((batch.inputs["attention_mask"] > 0) & (ids >= 0))
        terms = ids[rows, columns]
        if (highest := terms.max(initial=0)) >= self.width:
            raise CheckpointError(
                f"{self._folder}: token {highest} of the tokenizer has no weight among the "
                f"{self.width} that there are; the files do not belong together."
            )
        outputs = np.zeros((len(ids), self.width), np.float32)
        outputs[rows, terms] = self._weights[terms]
        return outputs

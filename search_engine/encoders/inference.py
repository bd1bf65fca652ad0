"""A checkpoint, its tokenizer and a backend: texts in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.backends.selection import BackendName, DtypeName, open_backend
from search_engine.encoders.batching import Batch, TokenizedText, pad_batch, plan_batches
from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.encoders.checkpoints.layout import Task, read_layout
from search_engine.encoders.tokenizers.text_tokenizer import TextTokenizer

# So many texts are tokenized and sorted together: enough to sort well, few enough for memory.
WINDOW = 16_384


class Inference:
    """What the three encoders have in common.

    Args:
        model: name or folder of a checkpoint.
        task: what the checkpoint is loaded for.
        token_budget: most tokens of a batch, padding included.

    Attributes:
        layout: what the checkpoint says.
        tokenizer: its tokenizer.
        backend: what runs it.
        fingerprint: of the weights and every setting that changes an output.
    """

    def __init__(
        self,
        model: str,
        *,
        task: Task,
        token_budget: int,
        backend: BackendName,
        dtype: DtypeName,
        device: str | None,
        offline: bool,
    ) -> None:
        self.layout = read_layout(find_checkpoint(model, offline=offline), task=task)
        self.tokenizer = TextTokenizer(self.layout)
        self.fingerprint = self.layout.fingerprint(max_tokens=self.tokenizer.max_tokens)
        self.backend = open_backend(
            self.layout,
            fingerprint=self.fingerprint,
            backend=backend,
            dtype=dtype,
            device=device,
        )
        self._token_budget = token_budget

    def run(
        self,
        texts: Sequence[str] | Sequence[tuple[str, str]],
        *,
        prompt: str = "",
        on_unknown: Callable[[int], None] | None = None,
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        """Outputs batch by batch, in whatever order they are finished.

        Args:
            texts: texts, or pairs of texts.
            prompt: put before each text as it is.
            on_unknown: called with the position of each text that has too many words which the
                tokenizer does not know.

        Yields:
            positions intp [b] in `texts`, and their outputs float32 [b, width].
        """
        skips = bool(prompt) and self.layout.excludes_prompt
        skipped = self.tokenizer.count_prompt(prompt) if skips else 0
        for start in range(0, len(texts), WINDOW):
            window = texts[start : start + WINDOW]
            if prompt:
                window = [f"{prompt}{text}" for text in window]
            tokenized = self.tokenizer.tokenize(window, skipped=skipped)
            if on_unknown is not None:
                for position, text in enumerate(tokenized, start):
                    if text.unknown:
                        on_unknown(position)
            batches = [
                self._pad(tokenized, positions)
                for positions in plan_batches(
                    [len(text.ids) for text in tokenized], token_budget=self._token_budget
                )
            ]
            if len(batches) == 1:
                yield start + batches[0].positions, self.backend.run_one(batches[0])
                continue
            for batch, outputs in self.backend.run(batches):
                yield start + batch.positions, outputs

    def _pad(self, tokenized: Sequence[TokenizedText], positions: NDArray[np.intp]) -> Batch:
        return pad_batch(
            tokenized,
            positions,
            input_names=self.layout.input_names,
            pad_id=self.tokenizer.pad_id,
        )

"""A checkpoint, its tokenizers and backends: texts in, arrays out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.backends.export_cache import graph_fingerprint, graph_layout
from search_engine.encoders.backends.selection import Backend, BackendName, DtypeName, open_backend
from search_engine.encoders.batching import Batch, TokenizedText, pad_batch, plan_batches
from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.encoders.checkpoints.fingerprint import fingerprint_of
from search_engine.encoders.checkpoints.layout import Layout, Output, Task, read_layout
from search_engine.encoders.checkpoints.module_specs import TRUNK, Input
from search_engine.encoders.tokenizers.opening import InputTokenizer, open_tokenizer
from search_engine.encoders.tokenizers.pairs import PromptedPair

# So many texts are tokenized and sorted together: enough to sort well, few enough for memory.
WINDOW = 16_384
# A GPU is only busy with many tokens at once; chosen by arithmetic, not measured.
GPU_TOKEN_BUDGET = 32_768


class Inference:
    """The modules that one kind of text takes, ready to run.

    Attributes:
        layout: what the checkpoint says, with these modules.
        tokenizer: of the first of them.
        backend: what runs them.
    """

    def __init__(
        self, layout: Layout, tokenizer: InputTokenizer, backend: Backend, *, token_budget: int
    ) -> None:
        self.layout = layout
        self.tokenizer = tokenizer
        self.backend = backend
        self._token_budget = token_budget

    def run(
        self,
        texts: Sequence[str] | Sequence[tuple[str, str]],
        *,
        prompt: str = "",
        on_unknown: Callable[[int], None] | None = None,
    ) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """Outputs batch by batch, in whatever order they are finished.

        Args:
            texts: texts, or pairs of texts.
            prompt: put before each text as it is.
            on_unknown: called with the position of each text that has too many words which the
                tokenizer does not know.

        Yields:
            the batch, whose positions are those in `texts`, and its outputs: float32 [b, width],
            of tokens [b, longest, width].
        """
        for start, tokenized in self._tokenize_windows(texts, prompt):
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
                finished = iter([(batches[0], self.backend.run_one(batches[0]))])
            else:
                finished = iter(self.backend.run(batches))
            for batch, outputs in finished:
                yield replace(batch, positions=start + batch.positions), outputs

    def _tokenize_windows(
        self, texts: Sequence[str] | Sequence[tuple[str, str]], prompt: str
    ) -> Iterator[tuple[int, list[TokenizedText]]]:
        """Windows of texts, each tokenized while the one before it is computed."""
        skips = bool(prompt) and self.layout.excludes_prompt
        skipped = self.tokenizer.count_prompt(prompt) if skips else 0

        def tokenize(start: int) -> list[TokenizedText]:
            window: Sequence[str | tuple[str, str]] = texts[start : start + WINDOW]
            if prompt:
                window = [
                    PromptedPair(*text, prompt=prompt) if isinstance(text, tuple) else prompt + text
                    for text in window
                ]
            return self.tokenizer.tokenize(window, skipped=skipped)

        if len(texts) <= WINDOW:
            if len(texts):
                yield 0, tokenize(0)
            return
        starts = range(0, len(texts), WINDOW)
        with ThreadPoolExecutor(1, "tokenizer") as executor:
            following = executor.submit(tokenize, 0)
            for start in starts:
                tokenized = following.result()
                if start != starts[-1]:
                    following = executor.submit(tokenize, start + WINDOW)
                yield start, tokenized

    def _pad(self, tokenized: Sequence[TokenizedText], positions: NDArray[np.intp]) -> Batch:
        return pad_batch(
            tokenized,
            positions,
            input_names=self.layout.input_names,
            pad_id=self.tokenizer.pad_id,
        )


class CheckpointInference:
    """What the three encoders have in common: a checkpoint, opened for each kind of text.

    Most checkpoints treat all texts alike and are opened once, here. One with a Router may have
    a way for queries and another for documents: one that begins with a table is opened at once, one
    that begins with a transformer when the first text takes it, so that a process which only asks
    need not hold what documents are read with.

    Args:
        model: name or folder of a checkpoint.
        task: what the checkpoint is loaded for.
        token_budget: most tokens of a batch on the processor, padding included.
        num_layers: of the transformer that are used, from the bottom; None is all.
        truncate_dim: instead of the checkpoint's own.

    Attributes:
        layout: what the checkpoint says, for texts that are neither query nor document.
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
        num_layers: int | None = None,
        truncate_dim: int | None = None,
    ) -> None:
        self.layout = read_layout(
            find_checkpoint(model, offline=offline),
            task=task,
            num_layers=num_layers,
            truncate_dim=truncate_dim,
        )
        on_cpu = device is None or device == "cpu"
        self._token_budget = token_budget if on_cpu else GPU_TOKEN_BUDGET
        self._backend: BackendName = backend
        self._dtype: DtypeName = dtype
        self._device = device
        self._opened: dict[str, Inference] = {}
        self._tokenizers: dict[str, InputTokenizer] = {}
        self._opening = threading.RLock()
        self.tokenizer = self._tokenizer(self.layout)
        self.fingerprint = fingerprint_of(self.layout, max_tokens=self.tokenizer.max_tokens)
        self._graphs = fingerprint_of(
            graph_layout(self.layout), max_tokens=self.tokenizer.max_tokens
        )
        for kind in ("query", "document") if self.layout.is_routed else (None,):
            if not self.layout.is_routed or self.layout.along(kind).trunk.type != TRUNK:
                self.opened(kind)

    @property
    def first(self) -> Inference:
        """One that is open; of a routed checkpoint without any, that of no particular kind."""
        with self._opening:
            return next(iter(self._opened.values()), None) or self.opened(None)

    @property
    def truncated(self) -> int:
        """How many texts were cut so far."""
        return sum(tokenizer.truncated for tokenizer in self._tokenizers.values())

    @property
    def truncated_tokens(self) -> int:
        """How many tokens of them were left out."""
        return sum(tokenizer.truncated_tokens for tokenizer in self._tokenizers.values())

    @property
    def unknown(self) -> int:
        """How many texts so far had too many words that the tokenizer does not know."""
        return sum(tokenizer.unknown for tokenizer in self._tokenizers.values())

    def opened(self, kind: Input, *, output: Output = "vector") -> Inference:
        """What runs queries, documents, or (None) texts that are neither.

        Raises:
            CheckpointError: the checkpoint has no route for that kind, or its weights cannot be
                read.
        """
        layout = replace(self.layout.along(kind), output=output)
        fingerprint = graph_fingerprint(layout, checkpoint=self._graphs)
        with self._opening:
            if fingerprint not in self._opened:
                self._opened[fingerprint] = Inference(
                    layout,
                    self._tokenizer(layout),
                    open_backend(
                        layout,
                        fingerprint=fingerprint,
                        backend=self._backend,
                        dtype=self._dtype,
                        device=self._device,
                    ),
                    token_budget=self._token_budget,
                )
            return self._opened[fingerprint]

    def _tokenizer(self, layout: Layout) -> InputTokenizer:
        folder = str(layout.trunk.folder)
        if folder not in self._tokenizers:
            self._tokenizers[folder] = open_tokenizer(layout)
        return self._tokenizers[folder]

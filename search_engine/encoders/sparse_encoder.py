"""The sparse encoder: one weight per term of the vocabulary (SPLADE)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from search_engine.encoders.backends.selection import BackendName, DtypeName
from search_engine.encoders.inference import CheckpointInference
from search_engine.types import SparseVectors

# Every token has a logit per term: 30,522 of them, times 4 bytes, times this, is 125 MB.
TOKEN_BUDGET = 1024


class SparseEncoder:
    """Texts to sparse vectors over the tokenizer's vocabulary (SPLADE; Formal et al. 2021).

    weight(term) = max over the text's tokens of log(1 + relu(logit of the term)).

    Args:
        model: name or folder of any checkpoint with a masked-language-model head, bare or in the
            Sentence Transformers layout.
        backend: "auto" is OpenVINO on the CPU where it is installed, else torch.
        dtype: what the transformer computes in; "auto" is bfloat16 where the hardware has it.
        device: a torch device such as "cuda"; None is the CPU.
        offline: never ask the network for the model.

    Attributes:
        name: the model as it was asked for.
        size: terms in the vocabulary.
        max_tokens: longest text that is read, special tokens included; the rest is cut.
        fingerprint: SHA-256 in hex over the weights and every setting that changes a vector;
            not over backend, dtype and device.
        backend, dtype: what "auto" became.
        tokenizer: without truncation and padding.

    Raises:
        ModelNotFoundError: no model of that name anywhere.
        CheckpointError: the checkpoint cannot be read, or has no masked-language-model head.
        ConfigError: backend, dtype and device contradict each other.
    """

    def __init__(
        self,
        model: str,
        *,
        backend: BackendName = "auto",
        dtype: DtypeName = "auto",
        device: str | None = None,
        offline: bool = False,
    ) -> None:
        self._inference = CheckpointInference(
            model,
            task="sparse",
            token_budget=TOKEN_BUDGET,
            backend=backend,
            dtype=dtype,
            device=device,
            offline=offline,
        )
        self.name = model
        self.size = self._inference.first.backend.width
        self.max_tokens = self._inference.tokenizer.max_tokens
        self.fingerprint = self._inference.fingerprint
        self.backend = self._inference.first.backend.name
        self.dtype = self._inference.first.backend.dtype
        self.tokenizer: Tokenizer = self._inference.tokenizer.whole

    @property
    def truncated_texts(self) -> int:
        """How many texts this encoder has cut at `max_tokens` so far."""
        return self._inference.truncated

    def encode_query(
        self, texts: Sequence[str], *, on_batch: Callable[[int], None] | None = None
    ) -> SparseVectors:
        """Vectors of queries, in their order, with the prompt "query" if there is one."""
        return self._encode(texts, "query", on_batch)

    def encode_document(
        self, texts: Sequence[str], *, on_batch: Callable[[int], None] | None = None
    ) -> SparseVectors:
        """Vectors of documents, in their order, with the prompt "document" if there is one."""
        return self._encode(texts, "document", on_batch)

    def decode(self, vectors: SparseVectors, top_k: int) -> list[list[tuple[str, float]]]:
        """The `top_k` heaviest terms of each vector with their weights, heaviest first."""
        decoded = []
        for position in range(len(vectors)):
            indices, weights = vectors.row(position)
            best = np.lexsort((indices, -weights))[:top_k]
            names = self.tokens(indices[best])
            decoded.append(list(zip(names, weights[best].tolist(), strict=True)))
        return decoded

    def tokens(self, term_ids: Sequence[int] | NDArray[np.int32]) -> list[str]:
        """What each term is called in the tokenizer's vocabulary; empty for one without a name."""
        return [self.tokenizer.id_to_token(int(term_id)) or "" for term_id in term_ids]

    def _encode(
        self,
        texts: Sequence[str],
        kind: Literal["query", "document"],
        on_batch: Callable[[int], None] | None,
    ) -> SparseVectors:
        rows: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = [
            (np.empty(0, np.int32), np.empty(0, np.float32))
        ] * len(texts)
        prompt = self._inference.layout.prompts[kind]
        for batch, outputs in self._inference.opened(kind).run(texts, prompt=prompt):
            for position, output in zip(batch.positions, outputs, strict=True):
                indices = np.flatnonzero(output).astype(np.int32)
                rows[position] = (indices, output[indices])
            if on_batch is not None:
                on_batch(len(batch.positions))
        counts = [len(indices) for indices, _ in rows]
        return SparseVectors(
            indptr=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
            indices=np.concatenate([np.empty(0, np.int32), *(indices for indices, _ in rows)]),
            weights=np.concatenate([np.empty(0, np.float32), *(weights for _, weights in rows)]),
            size=self.size,
        )

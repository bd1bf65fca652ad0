"""The sparse encoder: one weight per term of the vocabulary (SPLADE), or per latent (CSR)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from search_engine.encoders.backends.selection import BackendName, DtypeName
from search_engine.encoders.checkpoints.fingerprint import fingerprint_of
from search_engine.encoders.checkpoints.layout import Layout, Similarity
from search_engine.encoders.checkpoints.module_specs import Input
from search_engine.encoders.inference import CheckpointInference
from search_engine.encoders.prompts import Prompts
from search_engine.encoders.sparse_vectors import (
    Sparsity,
    compare_all,
    compare_pairs,
    intersect,
    keep_heaviest,
    measure_sparsity,
    stack_rows,
)
from search_engine.encoders.tokenizers.input_checks import check_texts
from search_engine.errors import CheckpointError, ConfigError
from search_engine.types import SparseVectors

# Measured on two cores: as fast as 2,048, and a third less memory with OpenVINO.
TOKEN_BUDGET = 1024


class SparseEncoder:
    """Texts to sparse vectors, mostly over the tokenizer's vocabulary, as the checkpoint says.

    SPLADE (Formal et al. 2021): weight(term) = max over the text's tokens of
    log(1 + relu(logit of the term)). Queries may be looked up in a table of weights instead, and
    CSR (Wen et al. 2025) gives weights of latents, which have no names.

    Args:
        model: name or folder of a sparse checkpoint in the Sentence Transformers layout, or of any
            bare transformers checkpoint with a masked-language-model head.
        backend: "auto" is OpenVINO on the CPU where it is installed, else torch.
        dtype: what the transformer computes in; "auto" is bfloat16 where the hardware has it.
        device: a torch device such as "cuda"; None is the CPU.
        offline: never ask the network for the model.
        max_active_dims: how many terms of a vector are kept, the heaviest, those of lower ids
            where weights are equal; None is what the checkpoint says, mostly all.

    Attributes:
        name: the model as it was asked for.
        size: terms in the vocabulary.
        max_tokens: longest text that is read, special tokens included; the rest is cut.
        max_active_dims: how many terms of a vector are kept where a call does not say; None is
            what the way of the text through the checkpoint says, mostly all.
        similarity: how two vectors are compared.
        fingerprint: SHA-256 in hex over the weights and every setting that changes a vector;
            not over backend, dtype and device.
        backend, dtype: what "auto" became.
        tokenizer: without truncation and padding.

    Raises:
        ModelNotFoundError: no model of that name anywhere.
        CheckpointError: the checkpoint cannot be read, or has no masked-language-model head.
        ConfigError: backend, dtype and device contradict each other, or max_active_dims is less
            than 1.
    """

    def __init__(
        self,
        model: str,
        *,
        backend: BackendName = "auto",
        dtype: DtypeName = "auto",
        device: str | None = None,
        offline: bool = False,
        max_active_dims: int | None = None,
    ) -> None:
        _check_positive("max_active_dims", max_active_dims)
        self._inference = CheckpointInference(
            model,
            task="sparse",
            token_budget=TOKEN_BUDGET,
            backend=backend,
            dtype=dtype,
            device=device,
            offline=offline,
        )
        self._layout = self._inference.layout
        _check_last_modules(self._layout)
        self._prompts = Prompts(
            model, self._layout.prompts, default_name=self._layout.default_prompt_name
        )
        self.name = model
        self.size = self._inference.first.backend.width
        self.max_tokens = self._inference.tokenizer.max_tokens
        self.fingerprint = self._inference.fingerprint
        if max_active_dims is not None:
            self._layout = replace(self._layout, max_active_dims=max_active_dims)
            self.fingerprint = fingerprint_of(self._layout, max_tokens=self.max_tokens)
        self.max_active_dims = self._layout.max_active_dims
        self.similarity: Similarity = self._layout.similarity
        self.backend = self._inference.first.backend.name
        self.dtype = self._inference.first.backend.dtype
        self.tokenizer: Tokenizer = self._inference.tokenizer.whole

    @property
    def truncated_texts(self) -> int:
        """How many texts this encoder has cut at `max_tokens` so far."""
        return self._inference.truncated

    def encode(
        self,
        texts: Sequence[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        max_active_dims: int | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> SparseVectors:
        """One vector per text, in the order of the texts.

        Args:
            prompt_name: of a prompt of the checkpoint; None is its default prompt, if any.
            prompt: put before each text as it is, instead of a prompt of the checkpoint.
            max_active_dims: how many terms are kept, the heaviest; None is `max_active_dims`.
            on_batch: called with the number of texts that each finished batch had.

        Raises:
            ConfigError: the checkpoint has no prompt of that name, or max_active_dims is less
                than 1.
        """
        before = self._prompts.resolve(None, name=prompt_name, prompt=prompt)
        return self._encode(texts, None, before, max_active_dims=max_active_dims, on_batch=on_batch)

    def encode_query(
        self,
        texts: Sequence[str],
        *,
        max_active_dims: int | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> SparseVectors:
        """Vectors of queries, in their order, with the prompt "query" if there is one."""
        prompt = self._layout.prompts["query"]
        return self._encode(
            texts, "query", prompt, max_active_dims=max_active_dims, on_batch=on_batch
        )

    def encode_document(
        self,
        texts: Sequence[str],
        *,
        max_active_dims: int | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> SparseVectors:
        """Vectors of documents, in their order, with the prompt "document" if there is one."""
        prompt = self._layout.prompts["document"]
        return self._encode(
            texts, "document", prompt, max_active_dims=max_active_dims, on_batch=on_batch
        )

    def decode(
        self, vectors: SparseVectors, top_k: int | None = None
    ) -> list[list[tuple[str, float]]]:
        """The heaviest terms of each vector with their weights, heaviest first.

        Args:
            top_k: how many; None is all. Of equal weights, the lower term comes first.

        Raises:
            ConfigError: top_k is less than 1.
        """
        _check_positive("top_k", top_k)
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

    def compare(self, queries: SparseVectors, documents: SparseVectors) -> NDArray[np.float32]:
        """The similarity of each query with each document, float32 [queries, documents].

        Raises:
            ConfigError: the vectors are of different vocabularies.
        """
        return compare_all(queries, documents, similarity=self.similarity)

    def compare_pairs(
        self, queries: SparseVectors, documents: SparseVectors
    ) -> NDArray[np.float32]:
        """The similarity of each query with the document at its place, float32 [documents].

        Raises:
            ConfigError: the vectors are of different vocabularies, or there are not as many
                queries as documents, nor just one.
        """
        return compare_pairs(queries, documents, similarity=self.similarity)

    @staticmethod
    def intersection(query: SparseVectors, documents: SparseVectors) -> SparseVectors:
        """What each term that both have adds to their dot product; to be read with `decode`.

        Args:
            query: one vector, which is compared with each document, or as many as documents.

        Raises:
            ConfigError: as for `compare_pairs`.
        """
        return intersect(query, documents)

    @staticmethod
    def sparsity(vectors: SparseVectors) -> Sparsity:
        """How many terms have a weight, on average, and what share has none."""
        return measure_sparsity(vectors)

    def save(self, folder: str | Path) -> None:
        """Write the checkpoint, in float32, where Sentence Transformers and we can load it.

        Raises:
            ConfigError: the folder exists and is not empty.
        """
        from search_engine.encoders.saving import save_checkpoint

        save_checkpoint(self._layout, Path(folder))

    def _encode(
        self,
        texts: Sequence[str],
        kind: Input,
        prompt: str,
        *,
        max_active_dims: int | None,
        on_batch: Callable[[int], None] | None,
    ) -> SparseVectors:
        check_texts(texts)
        _check_positive("max_active_dims", max_active_dims)
        inference = self._inference.opened(kind)
        most = max_active_dims or self.max_active_dims or _own_limit(inference.layout)
        rows: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = [
            (np.empty(0, np.int32), np.empty(0, np.float32))
        ] * len(texts)
        for batch, outputs in inference.run(texts, prompt=prompt):
            for position, output in zip(batch.positions, outputs, strict=True):
                indices = np.flatnonzero(output).astype(np.int32)
                weights = output[indices]
                if most is not None:
                    indices, weights = keep_heaviest(indices, weights, most)
                rows[position] = (indices, weights)
            if on_batch is not None:
                on_batch(len(batch.positions))
        return stack_rows(rows, inference.backend.width)


def _check_positive(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ConfigError(f"{name} is {value}, and must be at least 1; leave it out for no limit.")


def _own_limit(layout: Layout) -> int | None:
    """How many latents a CSR checkpoint keeps of a vector; None of any other."""
    last = layout.modules[-1]
    return int(last.config.get("k", 8)) if last.type == "SparseAutoEncoder" else None


def _check_last_modules(layout: Layout) -> None:
    # How many latents are kept is known here alone, so that nothing may have read them before.
    for way in layout.every_way():
        if any(module.type == "SparseAutoEncoder" for module in way.modules[:-1]):
            raise CheckpointError(
                f"{layout.folder / 'modules.json'}: a SparseAutoEncoder must be the last module, "
                "since whatever followed would see latents that are not kept."
            )

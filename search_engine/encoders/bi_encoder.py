"""The bi-encoder: one dense vector per text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from search_engine.encoders.backends.selection import BackendName, DtypeName
from search_engine.encoders.checkpoints.fingerprint import fingerprint_of
from search_engine.encoders.checkpoints.layout import Similarity
from search_engine.encoders.checkpoints.module_specs import Input
from search_engine.encoders.dense_outputs import (
    Vectors,
    collect_codes,
    collect_tokens,
    collect_vectors,
    stream_vectors,
)
from search_engine.encoders.inference import CheckpointInference
from search_engine.encoders.prompts import Prompts
from search_engine.encoders.tokenizers.input_checks import check_texts
from search_engine.errors import CheckpointError, ConfigError
from search_engine.quantization import Codes, Precision, check_quantization

# Measured on two cores: fastest for 15 and for 240 tokens a text, with both backends.
TOKEN_BUDGET = 2048
# Modules that give a text one vector and its tokens none.
_WITHOUT_TOKENS = ("StaticEmbedding", "BoW")


class BiEncoder:
    """Texts to dense vectors, as the checkpoint says: prompts, pooling, normalization, length.

    Args:
        model: name or folder of a checkpoint in the Sentence Transformers layout, or of a bare
            transformers checkpoint, which is mean-pooled.
        backend: "auto" is OpenVINO on the CPU where it is installed, else torch.
        dtype: what the transformer computes in; "auto" is bfloat16 where the hardware has it.
            Outputs are float32 in any case.
        device: a torch device such as "cuda"; None is the CPU.
        offline: never ask the network for the model.
        num_layers: of the transformer that are used, from the bottom; None is all.
        truncate_dim: how many of a vector's first numbers are kept (Matryoshka), before
            `normalize` scales them; None is what the checkpoint says, mostly all.
        prompts: by name, beside and instead of those of the checkpoint.
        default_prompt_name: of the prompt that `encode` uses; None is what the checkpoint says.

    Attributes:
        name: the model as it was asked for.
        dimension: of a vector.
        max_tokens: longest text that is read, special tokens included; the rest is cut.
        similarity: how two vectors are compared.
        prompts: by name; "query" and "document" are always there.
        default_prompt_name: of the prompt that `encode` uses, or None.
        fingerprint: SHA-256 in hex over the weights and every setting that changes a vector;
            not over backend, dtype and device.
        backend, dtype: what "auto" became.
        tokenizer: without truncation and padding.

    Raises:
        ModelNotFoundError: no model of that name anywhere.
        CheckpointError: the checkpoint cannot be read or is not supported.
        ConfigError: backend, dtype and device contradict each other, `truncate_dim` is less
            than 1, or there is no prompt of the default's name.
    """

    def __init__(
        self,
        model: str,
        *,
        backend: BackendName = "auto",
        dtype: DtypeName = "auto",
        device: str | None = None,
        offline: bool = False,
        num_layers: int | None = None,
        truncate_dim: int | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
    ) -> None:
        _check_truncation(truncate_dim)
        self._inference = CheckpointInference(
            model,
            task="embedding",
            token_budget=TOKEN_BUDGET,
            backend=backend,
            dtype=dtype,
            device=device,
            offline=offline,
            num_layers=num_layers,
            truncate_dim=truncate_dim,
        )
        self.name = model
        layout = self._inference.layout
        self._prompts = Prompts(
            model,
            {**layout.prompts, **(prompts or {})},
            default_name=default_prompt_name or layout.default_prompt_name,
        )
        self._layout = replace(
            layout,
            prompts=dict(self._prompts.named),
            default_prompt_name=self._prompts.default_name,
        )
        self.prompts = self._prompts.named
        self.default_prompt_name = self._prompts.default_name
        width = self._inference.first.backend.width
        self.dimension = min(width, self._layout.truncate_dim or width)
        self.max_tokens = self._inference.tokenizer.max_tokens
        self.similarity: Similarity = self._layout.similarity
        self.fingerprint = fingerprint_of(self._layout, max_tokens=self.max_tokens)
        self.backend = self._inference.first.backend.name
        self.dtype = self._inference.first.backend.dtype
        self.tokenizer: Tokenizer = self._inference.tokenizer.whole

    @property
    def truncated_texts(self) -> int:
        """How many texts this encoder has cut at `max_tokens` so far."""
        return self._inference.truncated

    @property
    def truncated_tokens(self) -> int:
        """How many tokens of them it has left out."""
        return self._inference.truncated_tokens

    @property
    def unknown_texts(self) -> int:
        """How many texts so far had too many words that the tokenizer does not know.

        Such words are more than a fiftieth of its tokens. All of them are the same to the encoder,
        so that the vector says little of the text.
        """
        return self._inference.unknown

    def encode(
        self,
        texts: Sequence[str],
        *,
        kind: Input = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize: bool = False,
        truncate_dim: int | None = None,
        on_batch: Callable[[int], None] | None = None,
        on_unknown: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """One vector per text, float32 [n, dimension], in the order of the texts.

        Args:
            kind: "query" or "document"; None is a text that is neither.
            prompt_name: of one of `prompts`; None is the one of the kind, and without a kind the
                default prompt, if any.
            prompt: put before each text as it is, instead of one of `prompts`.
            normalize: scale each vector to length 1, after it was cut to `truncate_dim`.
            truncate_dim: how many of a vector's first numbers are kept; None is as the encoder
                was opened.
            on_batch: called with the number of texts that each finished batch had.
            on_unknown: called with the position of each text that `unknown_texts` counts.

        Raises:
            ConfigError: there is no prompt of that name, or `truncate_dim` is less than 1.
        """
        check_texts(texts)
        dimension, batches = self._stream(
            texts,
            kind,
            prompt=self._prompts.resolve(kind, name=prompt_name, prompt=prompt),
            normalize=normalize,
            truncate_dim=truncate_dim,
            on_batch=on_batch,
            on_unknown=on_unknown,
        )
        return collect_vectors(batches, len(texts), dimension=dimension)

    def encode_query(
        self,
        texts: Sequence[str],
        *,
        normalize: bool = False,
        truncate_dim: int | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """`encode` of queries, with the prompt "query" if there is one."""
        return self.encode(
            texts,
            kind="query",
            normalize=normalize,
            truncate_dim=truncate_dim,
            on_batch=on_batch,
        )

    def encode_document(
        self,
        texts: Sequence[str],
        *,
        normalize: bool = False,
        truncate_dim: int | None = None,
        on_batch: Callable[[int], None] | None = None,
        on_unknown: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """`encode` of documents, with the prompt "document" if there is one."""
        return self.encode(
            texts,
            kind="document",
            normalize=normalize,
            truncate_dim=truncate_dim,
            on_batch=on_batch,
            on_unknown=on_unknown,
        )

    async def aencode(
        self,
        texts: Sequence[str],
        *,
        kind: Input = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize: bool = False,
        truncate_dim: int | None = None,
    ) -> NDArray[np.float32]:
        """`encode` in another thread, so that the event loop goes on; several at once are safe."""
        return await asyncio.to_thread(
            self.encode,
            texts,
            kind=kind,
            prompt_name=prompt_name,
            prompt=prompt,
            normalize=normalize,
            truncate_dim=truncate_dim,
        )

    def encode_tokens(
        self,
        texts: Sequence[str],
        *,
        kind: Input = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> list[NDArray[np.float32]]:
        """The vectors of each text's tokens, float32 [tokens, width], in the order of the texts.

        Special tokens and those of the prompt are among them, padding is not. They are what the
        pooling reads: as wide as the model makes them, which may be other than `dimension`.

        Args:
            kind, prompt_name, prompt, on_batch: as in `encode`.

        Raises:
            ConfigError: there is no prompt of that name.
            CheckpointError: the model has vectors of whole texts only.
        """
        check_texts(texts)
        before = self._prompts.resolve(kind, name=prompt_name, prompt=prompt)
        first = self._layout.along(kind).trunk.type
        if first in _WITHOUT_TOKENS:
            raise CheckpointError(
                f"{self.name} begins with {first}, which gives a text one vector and its tokens "
                "none; use encode."
            )
        inference = self._inference.opened(kind, output="tokens")
        return collect_tokens(inference, texts, prompt=before, on_batch=on_batch)

    def encode_quantized(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        ranges: NDArray[np.float32] | None = None,
        kind: Input = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize: bool = False,
        truncate_dim: int | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Codes:
        """The vectors of `encode` as `quantize_embeddings` codes them, batch by batch.

        Only 8-bit codes without `ranges` need the vectors of all texts at once.

        Args:
            precision: "float32", "float16", "int8", "uint8", "binary" or "ubinary"; also of the
                result's type, where "binary" is int8 and "ubinary" uint8, eight dimensions to a
                byte.
            ranges: float32 [2, dimension], the bounds of 8-bit codes, as `calibrate` takes them;
                None takes them from these texts.
            kind, prompt_name, prompt, normalize, truncate_dim, on_batch: as in `encode`.

        Returns:
            [n, dimension], or [n, ceil(dimension / 8)] of the binary precisions.

        Raises:
            ConfigError: as in `encode`; an unknown precision, ranges of another shape, or 8-bit
                codes without ranges of fewer than 100 texts.
        """
        check_texts(texts)
        dimension, batches = self._stream(
            texts,
            kind,
            prompt=self._prompts.resolve(kind, name=prompt_name, prompt=prompt),
            normalize=normalize,
            truncate_dim=truncate_dim,
            on_batch=on_batch,
            on_unknown=None,
        )
        try:
            check_quantization(precision, shape=(len(texts), dimension), ranges=ranges)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        return collect_codes(
            batches, len(texts), dimension=dimension, precision=precision, ranges=ranges
        )

    def save(self, folder: str | Path) -> None:
        """Write the checkpoint, in float32, where Sentence Transformers and we can load it.

        Raises:
            ConfigError: the folder exists and is not empty.
        """
        from search_engine.encoders.saving import save_checkpoint

        save_checkpoint(self._layout, Path(folder))

    def _stream(
        self,
        texts: Sequence[str],
        kind: Input,
        *,
        prompt: str,
        normalize: bool,
        truncate_dim: int | None,
        on_batch: Callable[[int], None] | None,
        on_unknown: Callable[[int], None] | None,
    ) -> tuple[int, Vectors]:
        """The dimension of the vectors of texts, and the vectors as they are finished."""
        _check_truncation(truncate_dim)
        inference = self._inference.opened(kind)
        width = inference.backend.width
        dimension = min(width, truncate_dim or self._layout.truncate_dim or width)
        return dimension, stream_vectors(
            inference,
            texts,
            prompt=prompt,
            dimension=dimension,
            normalize=normalize,
            on_batch=on_batch,
            on_unknown=on_unknown,
        )


def _check_truncation(truncate_dim: int | None) -> None:
    if truncate_dim is not None and truncate_dim < 1:
        raise ConfigError(f"truncate_dim is {truncate_dim}, and must be at least 1.")

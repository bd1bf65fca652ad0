"""The bi-encoder: one dense vector per text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from search_engine.encoders.backends.selection import BackendName, DtypeName
from search_engine.encoders.checkpoints.layout import Similarity
from search_engine.encoders.checkpoints.module_specs import Input
from search_engine.encoders.inference import CheckpointInference
from search_engine.errors import ConfigError

# Measured on two cores: fastest for 15 and for 240 tokens a text, with both backends.
TOKEN_BUDGET = 2048


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

    Attributes:
        name: the model as it was asked for.
        dimension: of a vector.
        max_tokens: longest text that is read, special tokens included; the rest is cut.
        similarity: how two vectors are compared.
        fingerprint: SHA-256 in hex over the weights and every setting that changes a vector;
            not over backend, dtype and device.
        backend, dtype: what "auto" became.
        tokenizer: without truncation and padding.

    Raises:
        ModelNotFoundError: no model of that name anywhere.
        CheckpointError: the checkpoint cannot be read or is not supported.
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
        num_layers: int | None = None,
        truncate_dim: int | None = None,
    ) -> None:
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
        width = self._inference.first.backend.width
        self.dimension = min(width, self._inference.layout.truncate_dim or width)
        self.max_tokens = self._inference.tokenizer.max_tokens
        self.similarity: Similarity = self._inference.layout.similarity
        self.fingerprint = self._inference.fingerprint
        self.backend = self._inference.first.backend.name
        self.dtype = self._inference.first.backend.dtype
        self.tokenizer: Tokenizer = self._inference.tokenizer.whole

    @property
    def truncated_texts(self) -> int:
        """How many texts this encoder has cut at `max_tokens` so far."""
        return self._inference.truncated

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
        prompt_name: str | None = None,
        prompt: str | None = None,
        on_batch: Callable[[int], None] | None = None,
        on_unknown: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """One vector per text, float32 [n, dimension], in the order of the texts.

        Args:
            prompt_name: of a prompt of the checkpoint; None is its default prompt, if any.
            prompt: put before each text as it is, instead of a prompt of the checkpoint.
            on_batch: called with the number of texts that each finished batch had.
            on_unknown: called with the position of each text that `unknown_texts` counts.

        Raises:
            ConfigError: the checkpoint has no prompt of that name.
        """
        before = prompt if prompt is not None else self._prompt_named(prompt_name)
        return self._encode(texts, None, before, on_batch=on_batch, on_unknown=on_unknown)

    def _encode(
        self,
        texts: Sequence[str],
        kind: Input,
        prompt: str,
        *,
        on_batch: Callable[[int], None] | None,
        on_unknown: Callable[[int], None] | None,
    ) -> NDArray[np.float32]:
        inference = self._inference.opened(kind)
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for batch, outputs in inference.run(texts, prompt=prompt, on_unknown=on_unknown):
            vectors[batch.positions] = outputs[:, : self.dimension]
            if on_batch is not None:
                on_batch(len(batch.positions))
        return vectors

    def encode_query(
        self, texts: Sequence[str], *, on_batch: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Vectors of queries, float32 [n, dimension], with the prompt "query" if there is one."""
        prompt = self._inference.layout.prompts["query"]
        return self._encode(texts, "query", prompt, on_batch=on_batch, on_unknown=None)

    def encode_document(
        self,
        texts: Sequence[str],
        *,
        on_batch: Callable[[int], None] | None = None,
        on_unknown: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Vectors of documents, float32 [n, dimension], with the prompt "document" if any."""
        prompt = self._inference.layout.prompts["document"]
        return self._encode(texts, "document", prompt, on_batch=on_batch, on_unknown=on_unknown)

    def save(self, folder: str | Path) -> None:
        """Write the checkpoint, in float32, where Sentence Transformers and we can load it.

        Raises:
            ConfigError: the folder exists and is not empty.
        """
        from search_engine.encoders.saving import save_checkpoint

        save_checkpoint(self._inference.layout, self._inference.tokenizer, Path(folder))

    def _prompt_named(self, name: str | None) -> str:
        layout = self._inference.layout
        name = layout.default_prompt_name if name is None else name
        if name is None:
            return ""
        if name not in layout.prompts:
            raise ConfigError(
                f"the checkpoint {self.name} has no prompt named {name!r}; it has "
                f"{', '.join(sorted(layout.prompts))}."
            )
        return layout.prompts[name]

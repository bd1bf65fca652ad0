"""The cross-encoder: one score per pair of texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from search_engine.encoders.backends.selection import BackendName, DtypeName
from search_engine.encoders.inference import CheckpointInference
from search_engine.errors import CheckpointError

# Measured on two cores: fastest for 15 and for 240 tokens a text, with both backends.
TOKEN_BUDGET = 2048


class CrossEncoder:
    """Pairs of texts to scores; higher is more relevant.

    Args:
        model: name or folder of any sequence-classification checkpoint with one label.
        backend: "auto" is OpenVINO on the CPU where it is installed, else torch.
        dtype: what the transformer computes in; "auto" is bfloat16 where the hardware has it.
        device: a torch device such as "cuda"; None is the CPU.
        offline: never ask the network for the model.

    Attributes:
        name: the model as it was asked for.
        max_tokens: longest pair that is read, special tokens included; of a longer one, the
            longer text is cut first.
        fingerprint: SHA-256 in hex over the weights and every setting that changes a score;
            not over backend, dtype and device.
        backend, dtype: what "auto" became.
        tokenizer: without truncation and padding.

    Raises:
        ModelNotFoundError: no model of that name anywhere.
        CheckpointError: the checkpoint cannot be read, has no classification head, or has
            another number of labels than one.
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
            task="score",
            token_budget=TOKEN_BUDGET,
            backend=backend,
            dtype=dtype,
            device=device,
            offline=offline,
        )
        self.name = model
        self.max_tokens = self._inference.tokenizer.max_tokens
        self.fingerprint = self._inference.fingerprint
        self.backend = self._inference.first.backend.name
        self.dtype = self._inference.first.backend.dtype
        self.tokenizer: Tokenizer = self._inference.tokenizer.whole
        labels = self._inference.first.backend.width
        if labels != 1:
            raise CheckpointError(
                f"{model} has {labels} labels; a cross-encoder needs exactly one, whose logit is "
                "the score. Take a model that was trained for reranking."
            )

    @property
    def truncated_texts(self) -> int:
        """How many pairs this encoder has cut at `max_tokens` so far."""
        return self._inference.truncated

    def predict(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        on_batch: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """The score of each (query, text), float32 [n], in the order of the pairs.

        The checkpoint's activation is applied; a sigmoid where it names none.

        Args:
            on_batch: called with the number of pairs that each finished batch had.
        """
        scores = np.empty(len(pairs), np.float32)
        # Tuples, since the tokenizer would take a list for a text that is already split.
        whole = [(query, text) for query, text in pairs]
        for batch, outputs in self._inference.opened(None).run(whole):
            scores[batch.positions] = outputs[:, 0]
            if on_batch is not None:
                on_batch(len(batch.positions))
        return scores

    def rank(
        self, query: str, texts: Sequence[str], *, top_k: int | None = None
    ) -> list[tuple[int, float]]:
        """(position in `texts`, score), best first, ties in the order of the texts."""
        scores = self.predict([(query, text) for text in texts])
        best = np.argsort(-scores, kind="stable")[:top_k]
        return [(int(position), float(scores[position])) for position in best]

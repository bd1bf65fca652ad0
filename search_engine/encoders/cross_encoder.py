"""The cross-encoder: a score, or one for each label, per pair of texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from search_engine.encoders.backends.selection import BackendName, DtypeName
from search_engine.encoders.inference import CheckpointInference
from search_engine.encoders.prompts import Prompts
from search_engine.encoders.tokenizers.input_checks import check_pairs, check_texts
from search_engine.encoders.tokenizers.pairs import PromptedPair
from search_engine.errors import CheckpointError, ConfigError

# Measured on two cores: fastest for 15 and for 240 tokens a text, with both backends.
TOKEN_BUDGET = 2048


class CrossEncoder:
    """Pairs of texts to scores; higher is more relevant.

    Args:
        model: name or folder of a sequence-classification checkpoint, of a causal language model
            that answers "yes" or "no", or of a cross-encoder that Sentence Transformers saved.
        backend: "auto" is OpenVINO on the CPU where it is installed, else torch.
        dtype: what the transformer computes in; "auto" is bfloat16 where the hardware has it.
        device: a torch device such as "cuda"; None is the CPU.
        offline: never ask the network for the model.

    Attributes:
        name: the model as it was asked for.
        prompts: by name; "query" and "document" are always there.
        default_prompt_name: of the prompt of pairs that are given none, or None.
        num_labels: scores of each pair; a reranker has one.
        labels: what the checkpoint calls them, in the order of the scores.
        max_tokens: longest pair that is read, special tokens included; a longer one loses the
            end of its second text.
        fingerprint: SHA-256 in hex over the weights and every setting that changes a score;
            not over backend, dtype and device.
        backend, dtype: what "auto" became.
        tokenizer: without truncation and padding.

    Raises:
        ModelNotFoundError: no model of that name anywhere.
        CheckpointError: the checkpoint cannot be read, or has no head that gives scores.
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
        layout = self._inference.layout
        self._prompts = Prompts(model, layout.prompts, default_name=layout.default_prompt_name)
        self.name = model
        self.prompts = self._prompts.named
        self.default_prompt_name = self._prompts.default_name
        self.num_labels = self._inference.first.backend.width
        self.labels = self._label_names()
        self.max_tokens = self._inference.tokenizer.max_tokens
        self.fingerprint = self._inference.fingerprint
        self.backend = self._inference.first.backend.name
        self.dtype = self._inference.first.backend.dtype
        self.tokenizer: Tokenizer = self._inference.tokenizer.whole

    @property
    def truncated_texts(self) -> int:
        """How many pairs this encoder has cut at `max_tokens` so far."""
        return self._inference.truncated

    @property
    def truncated_tokens(self) -> int:
        """How many tokens of them were left out."""
        return self._inference.truncated_tokens

    def predict(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """The score of each (query, text), float32 [n], in the order of the pairs.

        The checkpoint's activation is applied; a sigmoid where it names none.

        Args:
            prompt_name: of a prompt of the checkpoint; None is its default prompt, if any.
            prompt: put before each query as it is, instead of a prompt of the checkpoint.
            on_batch: called with the number of pairs that each finished batch had.

        Raises:
            CheckpointError: the checkpoint gives several labels.
            ConfigError: these are not pairs of texts, or there is no prompt of that name.
        """
        self.check_single_label()
        return self._score(pairs, prompt_name, prompt, on_batch)[:, 0]

    def predict_labels(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        apply_softmax: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """The scores of each (query, text), float32 [n, num_labels], in the order of the pairs.

        The checkpoint's activation is applied; where it names none, a sigmoid to a single label,
        and nothing to several.

        Args:
            apply_softmax: make the scores of a pair sum to 1; a single label stays as it is.
            prompt_name: of a prompt of the checkpoint; None is its default prompt, if any.
            prompt: put before each query as it is, instead of a prompt of the checkpoint.
            on_batch: called with the number of pairs that each finished batch had.

        Raises:
            ConfigError: these are not pairs of texts, or there is no prompt of that name.
        """
        scores = self._score(pairs, prompt_name, prompt, on_batch)
        if not apply_softmax or self.num_labels == 1:
            return scores
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        normalized: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
        return normalized

    def rank(
        self,
        query: str,
        texts: Sequence[str],
        *,
        top_k: int | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
    ) -> list[tuple[int, float]]:
        """(position in `texts`, score), best first, ties in the order of the texts.

        Args:
            top_k: how many at most; None is all.
            prompt_name: of a prompt of the checkpoint; None is its default prompt, if any.
            prompt: put before the query as it is, instead of a prompt of the checkpoint.

        Raises:
            CheckpointError: the checkpoint gives several labels.
            ConfigError: these are not texts, or there is no prompt of that name.
        """
        check_texts(texts)
        if top_k is not None and top_k < 1:
            raise ConfigError(
                f"top_k is {top_k}, and must be at least 1; leave it out for no limit."
            )
        pairs = [(query, text) for text in texts]
        scores = self.predict(pairs, prompt_name=prompt_name, prompt=prompt)
        best = np.argsort(-scores, kind="stable")[:top_k]
        return [(int(position), float(scores[position])) for position in best]

    def check_single_label(self) -> None:
        """Make sure that there is one score to rank by.

        Raises:
            CheckpointError: the checkpoint gives several labels.
        """
        if self.num_labels != 1:
            raise CheckpointError(
                f"{self.name} has {self.num_labels} labels ({', '.join(self.labels[:5])}"
                f"{' ...' if self.num_labels > 5 else ''}), and a ranking needs one score. Take a "
                "model that was trained for reranking; predict_labels gives the scores of all "
                "labels."
            )

    def save(self, folder: str | Path) -> None:
        """Write the checkpoint, in float32, where Sentence Transformers and we can load it.

        Raises:
            ConfigError: the folder exists and is not empty.
        """
        from search_engine.encoders.saving import save_checkpoint

        save_checkpoint(self._inference.layout, Path(folder))

    def _score(
        self,
        pairs: Sequence[tuple[str, str]],
        prompt_name: str | None,
        prompt: str | None,
        on_batch: Callable[[int], None] | None,
    ) -> NDArray[np.float32]:
        check_pairs(pairs)
        before = self._prompts.resolve(None, name=prompt_name, prompt=prompt)
        prompted = [PromptedPair(query, text, prompt=before) for query, text in pairs]
        scores = np.empty((len(prompted), self.num_labels), np.float32)
        for batch, outputs in self._inference.opened(None).run(prompted):
            scores[batch.positions] = outputs
            if on_batch is not None:
                on_batch(len(batch.positions))
        return scores

    def _label_names(self) -> tuple[str, ...]:
        names = self._inference.layout.trunk_config.get("id2label")
        stated = names if isinstance(names, dict) else {}
        return tuple(str(stated.get(str(i), f"LABEL_{i}")) for i in range(self.num_labels))

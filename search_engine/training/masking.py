"""Texts with words taken out, for a model to guess: who sees which is the same every time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from search_engine.encoders.batching import TokenizedText, pad_batch
from search_engine.encoders.tokenizers.opening import InputTokenizer

# What the label of a token is that is not to be guessed, as cross-entropy has it.
UNMASKED = -100
# Instead of an epoch, where the masks are the same in all of them.
ALL_EPOCHS = -1
_TEXTS_AT_A_TIME = 1000

# (epoch, number of the text)
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class MaskedBatch:
    """Texts with some of their tokens masked.

    Attributes:
        set_name: what the texts are called.
        rows: their numbers.
        inputs: by name, int64 [b, tokens].
        labels: int64 [b, tokens], the token that is to be guessed, elsewhere UNMASKED.
    """

    set_name: str
    rows: tuple[int, ...]
    inputs: dict[str, Tensor]
    labels: Tensor


class TokenizedTexts(Dataset[tuple[int, int, NDArray[np.int32]]]):
    """Texts as token ids, four bytes each, in memory; blank ones are left out.

    Attributes:
        blank: how many were.
        fingerprint: SHA-256 in hex over the token ids.
    """

    def __init__(self, texts: Iterable[str], tokenizer: InputTokenizer) -> None:
        self.blank = 0
        ids: list[NDArray[np.int32]] = []
        lengths = []
        for some in _groups(texts):
            kept = [text for text in some if text.strip()]
            self.blank += len(some) - len(kept)
            for tokenized in tokenizer.tokenize(kept):
                ids.append(np.asarray(tokenized.ids, np.int32))
                lengths.append(len(tokenized.ids))
        self._ids = np.concatenate(ids) if ids else np.empty(0, np.int32)
        self._starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self.fingerprint = sha256(self._starts.tobytes() + self._ids.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitems__(self, places: Sequence[Place]) -> list[tuple[int, int, NDArray[np.int32]]]:
        """Epoch, number and token ids of some texts."""
        return [
            (epoch, row, self._ids[self._starts[row] : self._starts[row + 1]])
            for epoch, row in places
        ]


class Masking:
    """Takes tokens out of texts as BERT does (Devlin et al. 2019, section 3.1).

    Each token that is not special is chosen with a probability of `share`. Of those, 80 % become
    the mask token, 10 % any token that is not special, and 10 % stay, all to be guessed.

    Args:
        tokenizer: with all special tokens marked as such.
        mask_id: the mask token.
        share: from 0 to 1.
        seed: of the choice, with the epoch and the number of the text.
    """

    def __init__(self, tokenizer: Tokenizer, *, mask_id: int, share: float, seed: int) -> None:
        added = tokenizer.get_added_tokens_decoder()
        special = {token_id for token_id, token in added.items() if token.special} | {mask_id}
        vocabulary = set(tokenizer.get_vocab().values())
        self._special = np.array(sorted(special))
        self._words = np.array(sorted(vocabulary - special))
        self._mask_id = mask_id
        self._share = share
        self._seed = seed

    def mask(
        self, ids: Sequence[int] | NDArray[np.int32], *, epoch: int, row: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Token ids with some of them masked, and their labels, int64 [tokens] each."""
        # Shifted by one, since a seed is not below 0.
        generator = np.random.default_rng((self._seed, epoch + 1, row))
        original = np.asarray(ids, np.int64)
        chosen = generator.random(len(original)) < self._share
        chosen &= ~np.isin(original, self._special)
        fate = generator.random(len(original))
        words = generator.choice(self._words, len(original))
        masked = np.where(chosen & (fate < 0.8), self._mask_id, original)
        masked = np.where(chosen & (fate >= 0.8) & (fate < 0.9), words, masked)
        return masked, np.where(chosen, original, UNMASKED)


class MaskingCollator:
    """Token ids to masked batches.

    Args:
        input_names: of the arrays that the model takes.
        pad_id: the token that fills a batch.
    """

    def __init__(
        self, masking: Masking, *, name: str, input_names: Sequence[str], pad_id: int
    ) -> None:
        self._masking = masking
        self._name = name
        self._input_names = input_names
        self._pad_id = pad_id

    def __call__(
        self, texts: Sequence[tuple[int, int, NDArray[np.int32]]]
    ) -> dict[str, MaskedBatch]:
        """The batch under the name by which the model takes it."""
        masked = [self._masking.mask(ids, epoch=epoch, row=row) for epoch, row, ids in texts]
        tokenized = [TokenizedText(ids.tolist(), [0] * len(ids)) for ids, _ in masked]
        places = np.arange(len(texts))
        batch = pad_batch(tokenized, places, input_names=self._input_names, pad_id=self._pad_id)
        labels = np.full(batch.inputs["input_ids"].shape, UNMASKED)
        for place, (_, wanted) in enumerate(masked):
            labels[place, : len(wanted)] = wanted
        inputs = {name: torch.from_numpy(batch.inputs[name]) for name in self._input_names}
        rows = tuple(row for _, row, _ in texts)
        return {"batch": MaskedBatch(self._name, rows, inputs, torch.from_numpy(labels))}


class ShuffledTexts(Sampler[list[Place]]):
    """The batches of an epoch, the same for the same seed and epoch.

    Args:
        rows: numbers of the texts.
        rank, processes: this process takes each `processes`-th batch; what does not go round is
            left out.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self._rows = rows
        self._batch_size = batch_size
        self._seed = seed
        self._rank = rank
        self._processes = processes
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Give the batches of another epoch from now on."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch_size) // self._processes

    def __iter__(self) -> Iterator[list[Place]]:
        epoch = self._epoch
        order = np.random.default_rng((self._seed, epoch)).permutation(self._rows)
        starts = range(0, len(order), self._batch_size)
        mine = list(starts)[self._rank : len(self) * self._processes : self._processes]
        for start in mine:
            yield [(epoch, int(row)) for row in order[start : start + self._batch_size]]


def _groups(texts: Iterable[str]) -> Iterator[list[str]]:
    group: list[str] = []
    for text in texts:
        group.append(text)
        if len(group) == _TEXTS_AT_A_TIME:
            yield group
            group = []
    if group:
        yield group

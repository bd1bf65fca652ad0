"""How a training goes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from search_engine.training.data.batches import Mixing


class LoraSettings(BaseModel):
    """Low-rank adapters in place of all weights (Hu et al. 2021), by peft.

    Attributes:
        rank: of the two matrices beside each weight.
        alpha: what their product is scaled with, over the rank.
        dropout: before them.
        modules: ends of the names of the layers that get them; none is all linear layers of the
            transformer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32, gt=0)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    modules: tuple[str, ...] = ()


class TrainingSettings(BaseModel):
    """How a training goes: frozen, checked when made, written into the model card.

    Attributes:
        epochs: passes over the data.
        max_steps: instead of epochs; a data set that streams needs it.
        batch_size: examples in a batch, on each device.
        accumulation: batches whose gradients are added up for one step.
        learning_rate: the highest, after warm-up.
        learning_rates: other ones, by regular expressions that the names of parameters are searched
            for; the first that is found counts, and each must be found in one. 0 leaves them as
            they are.
        weight_decay: of all weights but biases and normalizations.
        warmup: share of the steps in which the learning rate rises.
        schedule: how it falls after that, by the names of transformers.
        max_grad_norm: longer gradients are cut to it; 0 leaves them.
        precision: what the transformer computes in; weights stay in float32.
        gradient_checkpointing: keep no activations within a layer, and compute them twice.
        max_tokens: longest text that is read; None is what the checkpoint says.
        lora: adapters instead of all weights; None trains all.
        mixing: how several sets take turns.
        save_every: steps after which it is evaluated and saved; None is at the end of each epoch.
        patience: evaluations without a better score after which it stops; None never does.
        keep_checkpoints: how many; the latest and the best are always among them.
        log_every: steps.
        workers: processes that tokenize; 0 does so between the steps.
        seed: of order, dropout and new weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: float = Field(default=1, gt=0, allow_inf_nan=False)
    max_steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=32, ge=1)
    accumulation: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=2e-5, gt=0, allow_inf_nan=False)
    learning_rates: Mapping[str, float] = Field(default_factory=dict)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    max_grad_norm: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    gradient_checkpointing: bool = False
    max_tokens: int | None = Field(default=None, ge=4)
    lora: LoraSettings | None = None
    mixing: Mixing = "proportional"
    save_every: int | None = Field(default=None, ge=1)
    patience: int | None = Field(default=None, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1)
    log_every: int = Field(default=10, ge=1)
    workers: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @field_validator("learning_rates")
    @classmethod
    def _check_learning_rates(cls, rates: Mapping[str, float]) -> Mapping[str, float]:
        for pattern, rate in rates.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
            if not 0 <= rate < math.inf:
                raise ValueError(
                    f"the learning rate of {pattern!r} is {rate}, and must be at least 0"
                )
        return rates

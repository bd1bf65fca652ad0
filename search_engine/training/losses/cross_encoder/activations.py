"""What logits go through before a loss compares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from search_engine.training.losses.options import check_choice

Activation: TypeAlias = Literal["identity", "sigmoid", "tanh"]

_FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda logits: logits,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def check_activation(name: Activation) -> None:
    """Refuse what is no activation.

    Raises:
        ConfigError: there is no activation of that name.
    """
    check_choice("activation", name, tuple(_FUNCTIONS))


def activate(logits: Tensor, name: Activation) -> Tensor:
    """The logits, each through the activation, in the same shape."""
    return _FUNCTIONS[name](logits)

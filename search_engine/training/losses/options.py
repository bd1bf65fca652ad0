"""Checks of the options that losses are made with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search_engine.errors import ConfigError


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse what is not among the choices.

    Raises:
        ConfigError: it is none of them; the message says which there are.
    """
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}, and not one of {', '.join(choices)}.")


def check_above_zero(name: str, value: float) -> None:
    """Refuse what is not a finite number above 0.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigError(f"{name} is {value!r}, and must be a number above 0.")

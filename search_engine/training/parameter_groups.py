"""Which parameters have which learning rate."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from torch import nn

from search_engine.errors import ConfigError
from search_engine.training.settings import TrainingSettings

# What distributed training puts into the names of parameters.
_WRAPPERS = re.compile(r"\b(?:module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


def check_learning_rates(settings: TrainingSettings, model: nn.Module) -> None:
    """See that each learning rate is of some parameter.

    Raises:
        ConfigError: one is of none.
    """
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for pattern in settings.learning_rates:
        if not any(re.search(pattern, name) for name in names):
            raise ConfigError(
                f"learning_rates: {pattern!r} is found in the name of no trained parameter; some "
                f"of them are {', '.join(names[:: max(1, len(names) // 5)])}."
            )


def group_parameters(
    parameters: Iterable[tuple[str, nn.Parameter]],
    settings: TrainingSettings,
    *,
    decayed: Collection[str],
) -> list[dict[str, Any]]:
    """The trained parameters as an optimizer takes them, those of the usual learning rate first.

    Args:
        parameters: by name.
        decayed: names of those that weight decay is for.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters:
        if parameter.requires_grad:
            decay = settings.weight_decay if name in decayed else 0.0
            rate = _learning_rate_of(_WRAPPERS.sub("", name), settings)
            groups.setdefault((rate, decay), []).append(parameter)
    # The log shows the learning rate of the first.
    ordered = sorted(groups, key=lambda group: group[0] != settings.learning_rate)
    return [
        {"params": groups[rate, decay], "lr": rate, "weight_decay": decay}
        for rate, decay in ordered
    ]


def _learning_rate_of(name: str, settings: TrainingSettings) -> float:
    for pattern, rate in settings.learning_rates.items():
        if re.search(pattern, name):
            return rate
    return settings.learning_rate

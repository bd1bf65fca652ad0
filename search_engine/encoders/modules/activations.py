"""Activations by the names that checkpoints give them."""

from __future__ import annotations

from torch import nn

from search_engine.errors import CheckpointError

_OVER_LABELS = (nn.Softmax, nn.LogSoftmax, nn.Softmin)


def activation_named(dotted: str | None, *, default: nn.Module, source: str) -> nn.Module:
    """An activation of torch.nn by its dotted path, such as "torch.nn.modules.activation.Tanh".

    Args:
        source: the file that names it, for the message.

    Raises:
        CheckpointError: the path is not of torch.nn (code elsewhere is never run), or is a
            module that cannot be made without settings.
    """
    if dotted is None:
        return default
    known = "write one such as 'torch.nn.modules.activation.Sigmoid'."
    is_torch = isinstance(dotted, str) and dotted.startswith("torch.")
    kind = getattr(nn, dotted.rpartition(".")[2], None) if is_torch else None
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise CheckpointError(
            f"{source}: activation {dotted!r} is not one of torch.nn, and is not run; {known}"
        )
    try:
        # Without a dimension these warn, and take that of the labels all the same.
        return kind(dim=1) if issubclass(kind, _OVER_LABELS) else kind()
    except TypeError as error:
        raise CheckpointError(
            f"{source}: activation {dotted!r} cannot be made without settings ({error}); {known}"
        ) from error

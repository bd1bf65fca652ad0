"""What a module of a checkpoint is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from torch import Tensor, nn

Features: TypeAlias = dict[str, Tensor]


class Module(Protocol):
    """What the registry of modules holds: a class whose instances are torch modules too."""

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> nn.Module:
        """Make the module from its folder and config; `width` is what reaches it."""

    def config(self) -> dict[str, Any]:
        """The settings, as Sentence Transformers writes them."""

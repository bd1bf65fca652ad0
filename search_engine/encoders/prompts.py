"""What is put before a text: the prompts of a checkpoint, and which of them is meant."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from search_engine.encoders.checkpoints.module_specs import Input
from search_engine.errors import ConfigError


class Prompts:
    """The prompts of a model, "query" and "document" among them.

    Args:
        model: what error messages call it.
        named: the prompts by name.
        default_name: of the prompt of texts that are neither query nor document; None is none.

    Raises:
        ConfigError: there is no prompt of the default's name.
    """

    def __init__(self, model: str, named: Mapping[str, str], *, default_name: str | None) -> None:
        self._model = model
        self.named: Mapping[str, str] = MappingProxyType(dict(named))
        self.default_name = default_name
        self.resolve(None, name=None, prompt=None)

    def resolve(self, kind: Input, *, name: str | None, prompt: str | None) -> str:
        """The prompt itself where it is given; else that of the name, of the kind, or the default.

        Raises:
            ConfigError: there is no prompt of that name.
        """
        if prompt is not None:
            return prompt
        if name is None:
            name = kind or self.default_name
        if name is None:
            return ""
        if name not in self.named:
            raise ConfigError(
                f"the checkpoint {self._model} has no prompt named {name!r}; it has "
                f"{', '.join(sorted(self.named))}."
            )
        return self.named[name]

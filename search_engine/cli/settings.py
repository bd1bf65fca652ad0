"""Settings of an index that were asked for on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from search_engine.errors import ConfigError, IndexExistsError

if TYPE_CHECKING:
    from search_engine.cli.options import Chunking, Kind, Precision
    from search_engine.config import Compute, Config
    from search_engine.search import SearchEngine

Asked: TypeAlias = dict[str, dict[str, str]]
"""What was asked for, by part of the configuration."""


def asked_settings(
    *,
    model: str | None = None,
    kind: Kind | None = None,
    precision: Precision | None = None,
    splade: str | None = None,
    reranker: str | None = None,
    chunking: Chunking | None = None,
) -> Asked:
    """The options that were given."""
    given = (
        ("dense", "model", model),
        ("dense", "kind", kind),
        ("dense", "precision", precision),
        ("splade", "model", splade),
        ("rerank", "model", reranker),
        ("chunking", "strategy", chunking),
    )
    asked: Asked = {}
    for part, name, value in given:
        if value is not None:
            asked.setdefault(part, {})[name] = str(value)
    return asked


def changed_settings(config: Config, asked: Asked) -> Config:
    """The settings with those that were asked for in their place."""
    values = config.model_dump()
    for part, settings in asked.items():
        values[part] = {**(values[part] or {}), **settings}
    return type(config).model_validate(values)


def open_or_create(folder: Path, asked: Asked, options: Compute) -> SearchEngine:
    """The index at a folder, made with the settings asked for if there is none.

    Raises:
        ConfigError: there is one, and its settings are others.
    """
    from search_engine.config import Config
    from search_engine.search import SearchEngine

    if not (folder / "index.db").exists():
        try:
            return SearchEngine.create(
                folder, config=changed_settings(Config(), asked), compute=options
            )
        except IndexExistsError:
            # Another process may have made it meanwhile.
            if not (folder / "index.db").exists():
                raise
    engine = SearchEngine.open(folder, compute=options)
    has = engine.config.model_dump()
    for part, settings in asked.items():
        for name, value in settings.items():
            found = (has[part] or {}).get(name)
            if found != value:
                engine.close()
                raise ConfigError(
                    f"the index at {folder} was made with {part} {name} = {found}, not {value}; "
                    "leave the option out to add to this index, choose another name for --index, "
                    f"or change it by `search-cli rebuild --index {folder}`"
                )
    return engine

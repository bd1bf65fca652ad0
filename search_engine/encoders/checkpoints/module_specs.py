"""The list of modules that a checkpoint's modules.json holds, and the routes of its Routers."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from search_engine.encoders.checkpoints.json_files import read_json, read_setting
from search_engine.errors import CheckpointError

Input: TypeAlias = Literal["query", "document"] | None

TRUNK = "Transformer"
ROUTER = "Router"

# Names that a module had in other versions, and those of classes that are the same here.
_RENAMED = {"MLMTransformer": TRUNK, "Asym": ROUTER, "IDF": "SparseStaticEmbedding"}
# Sentence Transformers writes the trunk's settings under the name of its architecture's family.
_TRUNK_CONFIGS = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_CONFIGS = {
    TRUNK: _TRUNK_CONFIGS,
    ROUTER: ("router_config.json", "config.json"),
    "CNN": ("cnn_config.json", "config.json"),
    "LSTM": ("lstm_config.json", "config.json"),
    "WordEmbeddings": ("wordembedding_config.json", "config.json"),
}
# Modules that cannot be made without their settings.
_CONFIGURED = frozenset({"Pooling", "Dense", "LayerNorm", "WeightedLayerPooling", "WordEmbeddings",
                         "WordWeights", "BoW", "CNN", "LSTM", "SparseAutoEncoder",
                         "LogitScore", ROUTER})  # fmt: skip
# Older names of the routes for queries and documents.
_ALIASES = {
    "query": ("query", "text"),
    "document": ("document", "doc", "passage", "corpus", "text"),
}


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """One module of a checkpoint.

    Attributes:
        type: its name in the registry of modules: "Pooling" for Sentence Transformers' own
            (whatever package path the checkpoint gives), else the dotted path as written.
        folder: where its config and weights are.
        config: its settings, as written.
        routes: of a Router, the modules of each route by its name; else empty.
        mappings: of a Router, the route for a kind of text and a modality, each None for any.
    """

    type: str
    folder: Path
    config: Mapping[str, Any]
    routes: Mapping[str, tuple[ModuleSpec, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    mappings: Mapping[tuple[str | None, str | None], str] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def route_for(self, kind: Input) -> tuple[ModuleSpec, ...]:
        """The modules that a query, a document, or (None) any other text takes through a Router.

        Raises:
            CheckpointError: the Router has no route for it.
        """
        parameters = self.config.get("parameters") or {}
        wanted = [
            self.mappings.get(key)
            for key in ((kind, "text"), (kind, None), (None, "text"), (None, None))
        ]
        wanted += _ALIASES[kind] if kind else ["text"]
        wanted.append(parameters.get("default_route"))
        if kind is None and parameters.get("allow_empty_key", True):
            wanted.append(next(iter(self.routes)))
        for name in wanted:
            if name is not None and name in self.routes:
                return self.routes[name]
        raise CheckpointError(
            f"{self.folder}: no route for a {kind or 'text that is neither query nor document'}; "
            f"it has {', '.join(self.routes)}."
        )


def read_module_specs(root: Path, entries: list[Any]) -> tuple[ModuleSpec, ...]:
    """The modules that the entries of a modules.json name, in order.

    Raises:
        CheckpointError: an entry is malformed, or its path leads out of the checkpoint.
    """
    specs = []
    for entry in entries:
        try:
            dotted, path = str(entry["type"]), str(entry["path"])
        except (TypeError, KeyError) as error:
            raise CheckpointError(
                f"{root / 'modules.json'}: every entry needs a 'type' and a 'path'; found "
                f"{entry!r}."
            ) from error
        specs.append(_read_spec(dotted, root / path, root=root, named_in=root / "modules.json"))
    return tuple(specs)


def read_trunk_settings(folder: Path) -> Mapping[str, Any]:
    """What Sentence Transformers adds to a transformer: longest text, lower casing, task.

    Raises:
        CheckpointError: a setting is of the wrong kind.
    """
    for name in _TRUNK_CONFIGS:
        settings = read_json(folder / name, kind=dict)
        if settings is not None:
            longest = read_setting(settings, "max_seq_length", path=folder / name, kind=int)
            if longest is not None and longest < 1:
                raise CheckpointError(
                    f"{folder / name}: max_seq_length is {longest}, and must be at least 1; "
                    "correct it, or remove it to take the tokenizer's."
                )
            return settings
    return {}


def _read_spec(dotted: str, folder: Path, *, root: Path, named_in: Path) -> ModuleSpec:
    if "\0" in str(folder) or not folder.resolve().is_relative_to(root.resolve()):
        raise CheckpointError(
            f"{named_in}: path {os.path.relpath(folder, root)!r} leads out of the folder."
        )
    name = dotted
    if dotted.startswith("sentence_transformers."):
        name = dotted.rpartition(".")[2]
        name = _RENAMED.get(name, name)
    if name == TRUNK:
        return ModuleSpec(name, folder, read_trunk_settings(folder))
    config: Mapping[str, Any] = {}
    for file in _CONFIGS.get(name, ("config.json",)):
        found = read_json(folder / file, kind=dict)
        if found is not None:
            config = found
            break
    if not config and name in _CONFIGURED:
        raise CheckpointError(
            f"{folder} lacks the {name}'s {_CONFIGS.get(name, ('config.json',))[0]}. Is the "
            "download complete?"
        )
    if name != ROUTER:
        return ModuleSpec(name, folder, config)
    routes = _read_routes(folder, config, root=root)
    return ModuleSpec(name, folder, config, routes, _read_mappings(folder, config, routes))


def _read_routes(
    folder: Path, config: Mapping[str, Any], *, root: Path
) -> Mapping[str, tuple[ModuleSpec, ...]]:
    path = folder / "router_config.json"
    types = read_setting(config, "types", path=path, kind=dict) or {}
    structure = read_setting(config, "structure", path=path, kind=dict) or {}
    # A module is saved into a folder of its route's name.
    for name in (*types, *structure):
        if not name or "\0" in name or Path(name).name != name or "\\" in name:
            raise CheckpointError(f"{path}: {name!r} leads out of the folder, or is no name.")
    if any(str(type_).rpartition(".")[2] in (ROUTER, "Asym") for type_ in types.values()):
        raise CheckpointError(f"{path}: a Router within a Router is not supported.")
    try:
        # Routes may share a module, which is then one.
        specs = {
            key: _read_spec(str(type_), folder / key, root=root, named_in=path)
            for key, type_ in types.items()
        }
        routes = {str(name): tuple(specs[key] for key in keys) for name, keys in structure.items()}
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: 'structure' must list for each route names that 'types' has: {error!r}."
        ) from error
    if not routes or not all(routes.values()):
        raise CheckpointError(f"{path}: a Router needs at least one route, and a module in each.")
    return routes


def _read_mappings(
    folder: Path, config: Mapping[str, Any], routes: Mapping[str, tuple[ModuleSpec, ...]]
) -> Mapping[tuple[str | None, str | None], str]:
    path = folder / "router_config.json"
    parameters = read_setting(config, "parameters", path=path, kind=dict) or {}
    stated = read_setting(parameters, "route_mappings", path=path, kind=dict) or {}
    try:
        # Written as Python writes a tuple, which this reads without running anything.
        mappings = {ast.literal_eval(key): name for key, name in stated.items()}
    except (TypeError, ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: a key of 'route_mappings' is no pair such as \"('query', 'text')\": {error}."
        ) from error
    for name in (*mappings.values(), parameters.get("default_route")):
        if name is not None and not (isinstance(name, str) and name in routes):
            raise CheckpointError(
                f"{path}: there is no route {name!r}; it has {', '.join(routes)}."
            )
    return mappings

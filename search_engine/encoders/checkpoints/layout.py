"""The Sentence Transformers checkpoint layout, read without torch.

A checkpoint is a folder with `modules.json`, which lists the modules that a text passes through,
each with its own folder and config; a folder with only a transformers `config.json` is a trunk to
which the task adds its usual head (mean pooling for dense vectors).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, cast

from search_engine.encoders.checkpoints.finding import sha256_of
from search_engine.errors import CheckpointError

Task: TypeAlias = Literal["embedding", "sparse", "score"]
Similarity: TypeAlias = Literal["cosine", "dot", "euclidean", "manhattan"]
_Kind = TypeVar("_Kind")

TRUNK = "Transformer"
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")

# Sentence Transformers writes the trunk's settings under the name of its architecture's family.
_TRUNK_CONFIGS = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# What a bare transformers checkpoint is taken to go on with.
_DEFAULT_HEADS: dict[Task, tuple[str, ...]] = {
    "embedding": ("Pooling",),
    "sparse": ("SpladePooling",),
    "score": (),
}
# What JSON calls the kinds that a file or a setting can be of.
_JSON_NAMES: Mapping[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
}
# Keys of config.json that say who wrote it, not what it computes.
_NOTES = frozenset({"_name_or_path", "transformers_version", "architectures", "dtype",
                    "torch_dtype", "use_cache", "gradient_checkpointing"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """One module of a checkpoint.

    Attributes:
        type: its name in the registry of modules: "Pooling" for Sentence Transformers' own
            (whatever package path the checkpoint gives), else the dotted path as written.
        folder: where its config and weights are.
        config: its settings, as written.
    """

    type: str
    folder: Path
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a checkpoint folder says, before any weight is read.

    Attributes:
        folder: the checkpoint.
        task: what it is loaded for.
        modules: the trunk first.
        trunk_config: the transformers config.json of the trunk.
        prompts: by name; "query" and "document" are always there, empty when not given.
        default_prompt_name: of texts that are encoded as neither query nor document.
        similarity: how two vectors are compared.
        activation: dotted path of a cross-encoder's activation, or None where not given.
    """

    folder: Path
    task: Task
    modules: tuple[ModuleSpec, ...]
    trunk_config: Mapping[str, Any]
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    similarity: Similarity
    activation: str | None

    @property
    def trunk(self) -> ModuleSpec:
        """The module that turns token ids into token vectors."""
        return self.modules[0]

    @property
    def has_token_types(self) -> bool:
        """Whether the trunk tells the two texts of a pair apart by type ids."""
        return int(self.trunk_config.get("type_vocab_size") or 0) > 1

    @property
    def excludes_prompt(self) -> bool:
        """Whether the prompt's tokens are left out of the pooling."""
        return any(not module.config.get("include_prompt", True) for module in self.modules)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The arrays that the graph of this checkpoint takes, int64 [batch, tokens], in order."""
        return (
            "input_ids",
            "attention_mask",
            *(("token_type_ids",) if self.has_token_types else ()),
            *(("pooling_mask",) if self.excludes_prompt else ()),
        )

    def fingerprint(self, *, max_tokens: int) -> str:
        """SHA-256, in hex, over the weights and every setting that changes an output."""
        tokenizer = {
            name: sha256_of(self.trunk.folder / name)
            for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "merges.txt")
            if (self.trunk.folder / name).is_file()
        }
        settings = {
            "task": self.task,
            "modules": [
                [module.type, dict(module.config), [sha256_of(p) for p in weight_files(module)]]
                for module in self.modules
            ],
            "trunk": {k: v for k, v in self.trunk_config.items() if k not in _NOTES},
            "tokenizer": tokenizer,
            "prompts": dict(self.prompts),
            "default_prompt_name": self.default_prompt_name,
            "similarity": self.similarity,
            "activation": self.activation,
            "max_tokens": max_tokens,
        }
        return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def read_layout(folder: Path, *, task: Task) -> Layout:
    """Read the layout of a checkpoint folder.

    Raises:
        CheckpointError: a file is missing or malformed, or a path leads out of the folder.
    """
    entries = read_json(folder / "modules.json", kind=list)
    if entries is None:
        heads = [ModuleSpec(head, folder / f"1_{head}", {}) for head in _DEFAULT_HEADS[task]]
        modules = [ModuleSpec(TRUNK, folder, _trunk_settings(folder)), *heads]
    else:
        modules = [_module_spec(folder, entry) for entry in entries]
    if not modules or modules[0].type != TRUNK:
        found = modules[0].type if modules else "none"
        raise CheckpointError(
            f"{folder / 'modules.json'}: the first module must be a {TRUNK}, not {found!r}; this "
            "kind of model is not supported."
        )
    trunk_path = modules[0].folder / "config.json"
    trunk_config = read_json(trunk_path, kind=dict)
    if trunk_config is None:
        raise CheckpointError(
            f"{modules[0].folder}: config.json of the transformer is missing. Is the download "
            "complete, or is this an adapter without its base model?"
        )
    path = folder / "config_sentence_transformers.json"
    settings = read_json(path, kind=dict) or {}
    prompts = _setting(settings, "prompts", path=path, kind=dict) or {}
    for name in prompts:
        _setting(prompts, name, path=path, kind=str)
    trunk_notes = _setting(trunk_config, "sentence_transformers", path=trunk_path, kind=dict) or {}
    similarity = settings.get("similarity_fn_name")
    return Layout(
        folder=folder,
        task=task,
        modules=tuple(modules),
        trunk_config=trunk_config,
        prompts={"query": "", "document": ""}
        | {name: prompt or "" for name, prompt in prompts.items()},
        default_prompt_name=_setting(settings, "default_prompt_name", path=path, kind=str),
        similarity=cast(Similarity, similarity) if similarity in SIMILARITIES else "cosine",
        activation=settings.get("activation_fn")
        or trunk_notes.get("activation_fn")
        or trunk_config.get("sbert_ce_default_activation_function"),
    )


def read_json(path: Path, *, kind: type[_Kind]) -> _Kind | None:
    """The content of a JSON file of a checkpoint, or None where there is no such file.

    Raises:
        CheckpointError: it cannot be read, or is of another kind than `kind` (dict or list).
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read as JSON: {error}. Download or save the model again."
        ) from error
    if not isinstance(content, kind):
        raise CheckpointError(
            f"{path} must hold {_JSON_NAMES[kind]}, not {str(content)[:80]!r}. Download or save "
            "the model again."
        )
    return content


def weight_files(module: ModuleSpec) -> list[Path]:
    """The files that a module's weights are read from: safetensors, else pickles of tensors."""
    for pattern in ("model*.safetensors", "pytorch_model*.bin"):
        if found := sorted(module.folder.glob(pattern)):
            return found
    return []


def _module_spec(root: Path, entry: Any) -> ModuleSpec:
    try:
        dotted, path = str(entry["type"]), str(entry["path"])
    except (TypeError, KeyError) as error:
        raise CheckpointError(
            f"{root / 'modules.json'}: every entry needs a 'type' and a 'path'; found {entry!r}."
        ) from error
    folder = root / path
    if not folder.resolve().is_relative_to(root.resolve()):
        raise CheckpointError(f"{root / 'modules.json'}: path {path!r} leads out of the folder.")
    if not dotted.startswith("sentence_transformers."):
        return ModuleSpec(dotted, folder, read_json(folder / "config.json", kind=dict) or {})
    name = dotted.rpartition(".")[2]
    if name in (TRUNK, "MLMTransformer"):
        return ModuleSpec(TRUNK, folder, _trunk_settings(folder))
    return ModuleSpec(name, folder, read_json(folder / "config.json", kind=dict) or {})


def _trunk_settings(folder: Path) -> Mapping[str, Any]:
    for name in _TRUNK_CONFIGS:
        settings = read_json(folder / name, kind=dict)
        if settings is not None:
            longest = _setting(settings, "max_seq_length", path=folder / name, kind=int)
            if longest is not None and longest < 1:
                raise CheckpointError(
                    f"{folder / name}: max_seq_length is {longest}, and must be at least 1; "
                    "correct it, or remove it to take the tokenizer's."
                )
            return settings
    return {}


def _setting(
    settings: Mapping[str, Any], key: str, *, path: Path, kind: type[_Kind]
) -> _Kind | None:
    """A setting of the kind that it must be of, or None where it is absent or null."""
    value = settings.get(key)
    # In Python, though not in JSON, true and false are integers.
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise CheckpointError(
        f"{path}: {key!r} must be {_JSON_NAMES[kind]}, not {value!r}; correct it or remove it."
    )

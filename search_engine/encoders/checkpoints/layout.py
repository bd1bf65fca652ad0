"""The Sentence Transformers checkpoint layout, read without torch.

A checkpoint is a folder with `modules.json`, which lists the modules that a text passes through,
each with its own folder and config; a folder with only a transformers `config.json` is a trunk to
which the task adds its usual head (mean pooling for dense vectors).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

from search_engine.encoders.checkpoints.json_files import read_json, read_setting
from search_engine.encoders.checkpoints.module_specs import (
    ROUTER,
    TRUNK,
    Input,
    ModuleSpec,
    read_module_specs,
    read_trunk_settings,
)
from search_engine.errors import CheckpointError

Task: TypeAlias = Literal["embedding", "sparse", "score"]
Output: TypeAlias = Literal["vector", "tokens", "logits"]
Similarity: TypeAlias = Literal["cosine", "dot", "euclidean", "manhattan"]
# What the transformer is loaded with: nothing, or one of the heads that transformers knows.
TrunkTask: TypeAlias = Literal[
    "feature-extraction", "fill-mask", "sequence-classification", "text-generation"
]

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
# Modules that read texts, so that one of them has to come first.
INPUT_MODULES = (TRUNK, "StaticEmbedding", "SparseStaticEmbedding", "WordEmbeddings", "BoW")

# Modules that make a vector, or a sparse vector, of a text.
VECTOR_MODULES = ("Pooling", "StaticEmbedding", "BoW")
SPARSE_MODULES = ("SpladePooling", "SparseStaticEmbedding", "SparseAutoEncoder")

# What a bare transformers checkpoint is taken to go on with.
_DEFAULT_HEADS: dict[Task, tuple[str, ...]] = {
    "embedding": ("Pooling",),
    "sparse": ("SpladePooling",),
    "score": (),
}
# What Sentence Transformers calls the kinds of models, and what each is called here.
MODEL_TYPES: dict[Task, str] = {
    "embedding": "SentenceTransformer",
    "sparse": "SparseEncoder",
    "score": "CrossEncoder",
}
_OURS = {"SentenceTransformer": "BiEncoder"}
DEFAULT_SIMILARITY: dict[Task, Similarity] = {
    "embedding": "cosine",
    "sparse": "dot",
    "score": "cosine",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a checkpoint folder says, before any weight is read.

    Attributes:
        folder: the checkpoint.
        task: what it is loaded for.
        tree: all its modules, Routers with all their routes.
        modules: those that a text passes through, the one that reads it first.
        trunk_config: the transformers config.json of the trunk; empty where the first module is
            not a transformer.
        prompts: by name; "query" and "document" are always there, empty when not given.
        default_prompt_name: of texts that are encoded as neither query nor document.
        similarity: how two vectors are compared.
        truncate_dim: how many of a vector's first numbers are kept; None keeps all.
        max_active_dims: how many terms of a sparse vector are kept, the heaviest; None keeps all.
        activation: dotted path of a cross-encoder's activation, or None where not given.
        num_layers: of the trunk that are used, from the bottom; None is all.
        output: one vector a text, or one for each of its tokens; of a pair, its score, or the
            logits that the activation makes the score of.
    """

    folder: Path
    task: Task
    tree: tuple[ModuleSpec, ...]
    modules: tuple[ModuleSpec, ...]
    trunk_config: Mapping[str, Any]
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    similarity: Similarity
    truncate_dim: int | None
    max_active_dims: int | None
    activation: str | None
    num_layers: int | None = None
    output: Output = "vector"

    @property
    def trunk(self) -> ModuleSpec:
        """The module that reads the text; mostly the transformer, which gives token vectors."""
        return self.modules[0]

    @property
    def trunk_task(self) -> TrunkTask:
        """The head that the transformer is loaded with."""
        stated = self.trunk.config.get("transformer_task")
        if stated in get_args(TrunkTask):
            return cast(TrunkTask, stated)
        types = [module.type for module in self.modules]
        if "SpladePooling" in types:
            return "fill-mask"
        if "LogitScore" in types:
            return "text-generation"
        alone = self.task == "score" and types == [TRUNK]
        return "sequence-classification" if alone else "feature-extraction"

    @property
    def model_type(self) -> str:
        """What Sentence Transformers calls a model for this task."""
        return MODEL_TYPES[self.task]

    @property
    def is_routed(self) -> bool:
        """Whether queries and documents may take different ways."""
        return any(module.type == ROUTER for module in self.tree)

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

    def along(self, kind: Input) -> Layout:
        """The layout whose modules are those that a query or a document takes.

        Raises:
            CheckpointError: a Router has no route for it, or the route begins with a module that
                does not read texts.
        """
        modules = _expand(self.tree, kind)
        _check_modules(self, [module.type for module in modules])
        return replace(self, modules=modules, trunk_config=_read_trunk_config(modules[0]))

    def every_way(self) -> Iterator[Layout]:
        """One layout for each route, so that each of the tree's modules is in one of them."""
        names = dict.fromkeys(name for module in self.tree for name in module.routes)
        for name in names or (None,):
            modules: list[ModuleSpec] = []
            for module in self.tree:
                modules += module.routes.get(name or "", ()) if module.routes else (module,)
            yield replace(self, modules=tuple(modules), trunk_config=_read_trunk_config(modules[0]))


def read_layout(
    folder: Path, *, task: Task, num_layers: int | None = None, truncate_dim: int | None = None
) -> Layout:
    """Read the layout of a checkpoint folder, with the modules of texts of no particular kind.

    Args:
        num_layers, truncate_dim: instead of the checkpoint's own.

    Raises:
        CheckpointError: a file is missing or malformed, or a path leads out of the folder.
    """
    path = folder / "config_sentence_transformers.json"
    settings = read_json(path, kind=dict) or {}
    model_type = read_setting(settings, "model_type", path=path, kind=str)
    if model_type not in (None, "SentenceTransformer", MODEL_TYPES[task]):
        raise CheckpointError(
            f"{path}: this is a {model_type}, not a {MODEL_TYPES[task]}; open it with "
            f"{_OURS.get(model_type, model_type)}."
        )
    entries = read_json(folder / "modules.json", kind=list)
    # A list of modules of another kind of model is about vectors, which a score does not need.
    if task == "score" and model_type != "CrossEncoder":
        entries = None
    tree = _bare_modules(folder, task) if entries is None else read_module_specs(folder, entries)
    if not tree:
        raise CheckpointError(f"{folder / 'modules.json'}: there is no module in it.")
    prompts = read_setting(settings, "prompts", path=path, kind=dict) or {}
    for name in prompts:
        read_setting(prompts, name, path=path, kind=str)
    similarity = settings.get("similarity_fn_name") or DEFAULT_SIMILARITY[task]
    if similarity not in SIMILARITIES:
        raise CheckpointError(
            f"{path}: 'similarity_fn_name' is {similarity!r}, and not one of "
            f"{', '.join(SIMILARITIES)}."
        )
    layout = Layout(
        folder=folder,
        task=task,
        tree=tree,
        modules=tree,
        trunk_config={},
        prompts={"query": "", "document": ""}
        | {name: prompt or "" for name, prompt in prompts.items()},
        default_prompt_name=read_setting(settings, "default_prompt_name", path=path, kind=str),
        similarity=cast(Similarity, similarity),
        truncate_dim=truncate_dim or _read_limit(settings, "truncate_dim", path=path),
        max_active_dims=_read_limit(settings, "max_active_dims", path=path),
        activation=settings.get("activation_fn"),
        num_layers=num_layers,
    ).along(None)
    return replace(layout, activation=layout.activation or _older_activation(layout))


def _read_limit(settings: Mapping[str, Any], key: str, *, path: Path) -> int | None:
    limit = read_setting(settings, key, path=path, kind=int)
    if limit is not None and limit < 1:
        raise CheckpointError(f"{path}: {key!r} is {limit}, and must be at least 1; correct it.")
    return limit


def _bare_modules(folder: Path, task: Task) -> tuple[ModuleSpec, ...]:
    """What a checkpoint without a modules.json consists of."""
    config = read_json(folder / "config.json", kind=dict) or {}
    if config.get("model_type") == "model2vec":
        static = ModuleSpec("StaticEmbedding", folder, config)
        heads = [ModuleSpec("Normalize", folder, {})] if config.get("normalize") else []
        return (static, *heads)
    trunk = ModuleSpec(TRUNK, folder, read_trunk_settings(folder))
    heads = [ModuleSpec(head, folder / f"1_{head}", {}) for head in _DEFAULT_HEADS[task]]
    architectures = config.get("architectures") or [""]
    if task == "score" and str(architectures[0]).endswith("ForCausalLM"):
        heads = [ModuleSpec("LogitScore", folder / "1_LogitScore", {})]
    return (trunk, *heads)


def _check_modules(layout: Layout, types: Sequence[str]) -> None:
    """See that the first module reads texts, and that what the task asks for comes out.

    What a third party's module does is not known, so that with one among them only the rest of
    the modules is looked at.
    """
    path = layout.folder / "modules.json"
    if types[0] not in INPUT_MODULES and "." not in types[0]:
        raise CheckpointError(
            f"{path}: the first module must read texts, which {types[0]!r} does not; those that "
            f"do are {', '.join(INPUT_MODULES)}."
        )
    if any("." in type_ for type_ in types):
        return
    if layout.task == "sparse" and not set(SPARSE_MODULES) & set(types):
        raise CheckpointError(
            f"{path}: this is no sparse encoder, since none of its modules ({', '.join(types)}) "
            f"is {' or '.join(SPARSE_MODULES)}; open it with BiEncoder."
        )
    if layout.task == "embedding" and not {*VECTOR_MODULES, *SPARSE_MODULES} & set(types):
        raise CheckpointError(
            f"{path}: none of the modules ({', '.join(types)}) makes one vector of a text; add "
            f"one of {', '.join(VECTOR_MODULES)}."
        )


def _expand(tree: tuple[ModuleSpec, ...], kind: Input) -> tuple[ModuleSpec, ...]:
    modules: list[ModuleSpec] = []
    for module in tree:
        if module.type == ROUTER:
            modules += _expand(module.route_for(kind), kind)
        else:
            modules.append(module)
    return tuple(modules)


def _read_trunk_config(trunk: ModuleSpec) -> Mapping[str, Any]:
    if trunk.type != TRUNK:
        return {}
    if (path := trunk.folder / "adapter_config.json").is_file():
        raise CheckpointError(
            f"{path}: this is an adapter of another model. Merge it into its base model "
            "(merge_and_unload of peft) and save that."
        )
    config = read_json(trunk.folder / "config.json", kind=dict)
    if config is None:
        raise CheckpointError(
            f"{trunk.folder}: config.json of the transformer is missing. Is the download complete?"
        )
    path = trunk.folder / "config.json"
    read_setting(config, "model_type", path=path, kind=str)
    read_setting(config, "type_vocab_size", path=path, kind=int)
    if "transformers_weights" in config:
        raise CheckpointError(
            f"{path} names a file of its own for the weights, which is not supported; name that "
            "file model.safetensors and remove 'transformers_weights'."
        )
    return config


def _older_activation(layout: Layout) -> str | None:
    """The activation of a cross-encoder as versions before 5 wrote it, into the trunk's config."""
    path = layout.trunk.folder / "config.json"
    notes = read_setting(layout.trunk_config, "sentence_transformers", path=path, kind=dict) or {}
    activation: str | None = notes.get("activation_fn") or layout.trunk_config.get(
        "sbert_ce_default_activation_function"
    )
    return activation

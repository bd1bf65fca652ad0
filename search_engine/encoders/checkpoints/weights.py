"""Reading weights: safetensors, or a pickle that holds nothing but tensors."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, cast

import torch
from torch import Tensor, nn

from search_engine.encoders.checkpoints.fingerprint import weight_files
from search_engine.encoders.checkpoints.json_files import read_json, read_setting
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.checkpoints.windowed_attention import let_padding_see_itself
from search_engine.errors import CheckpointError, ConfigError

_AUTO_CLASSES = {
    "feature-extraction": "AutoModel",
    "fill-mask": "AutoModelForMaskedLM",
    "sequence-classification": "AutoModelForSequenceClassification",
    "text-generation": "AutoModelForCausalLM",
}
_HEADS = {
    "fill-mask": "masked-language-model head",
    "sequence-classification": "classification head",
    "text-generation": "language-model head",
}
# Of a model with a decoder, what reads the text; its config may or may not mention the decoder.
_ENCODERS = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "longt5": "LongT5EncoderModel",
    "switch_transformers": "SwitchTransformersEncoderModel",
    "t5gemma": "T5GemmaEncoderModel",
}
# In the order in which transformers looks for them.
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Settings with one entry a layer.
PER_LAYER = ("layer_types", "mlp_layer_types", "attention_window")


def load_pretrained(layout: Layout) -> nn.Module:
    """The transformer of a checkpoint in float32, with the head that the task needs.

    Of its layers, the first `layout.num_layers`; the others are not read.

    Raises:
        CheckpointError: the weights cannot be read, are not those of the config, are not finite,
            hold code, or are of an architecture that transformers knows only through code in the
            checkpoint.
        ConfigError: the model has not as many layers, or cannot do with fewer.
    """
    import transformers

    folder = layout.trunk.folder
    weights = _find_weights(folder)
    with quiet_transformers():
        config = _read_config(layout)
        name = _class_name(layout, config)
        _keep_layers(config, layout)
        try:
            model, report = getattr(transformers, name).from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # they are in the report
                output_loading_info=True,
            )
        # Everything that can be wrong with a stranger's folder ends up here, as many classes.
        except Exception as error:
            damaged = _first_unreadable(layout) or weights
            raise CheckpointError(f"{damaged} cannot be loaded as {name}: {error}") from error
        _check_report(model, report, layout=layout, name=name, weights=weights)
        check_finite(model, weights)
        let_padding_see_itself(model)
    return cast(nn.Module, model)


def load_weights(module: nn.Module, folder: Path) -> None:
    """Fill a small module from model.safetensors, else pytorch_model.bin, every key matched.

    Raises:
        CheckpointError: no weights, unreadable ones, ones of another shape, or not finite.
    """
    path = folder / "model.safetensors"
    path = path if path.is_file() else folder / "pytorch_model.bin"
    try:
        module.load_state_dict(_read_state(path))
    except Exception as error:  # unpickling, safetensors and torch raise many classes
        raise CheckpointError(
            f"{path}: the weights of {type(module).__name__} cannot be read: {error}"
        ) from error
    check_finite(module, path)


def check_finite(module: nn.Module, path: Path) -> None:
    """Find the weights that would make every output not a number.

    Args:
        path: where they were read from.

    Raises:
        CheckpointError: a weight is NaN or infinite.
    """
    for name, weight in module.named_parameters():
        # The sum reads each weight once and keeps nothing; what it finds is looked at again.
        if not weight.sum().isfinite() and not weight.isfinite().all():
            raise CheckpointError(
                f"{path}: {name} holds NaN or infinity, so that no output could be a number. "
                "Download or save the model again."
            )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without progress bars, load reports and warnings: what is wrong is raised instead."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _find_weights(folder: Path) -> Path:
    """The file that the weights are in, or the index of those that they are in."""
    path = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(
            f"{folder} has no weights: neither {_WEIGHTS[0]} nor {_WEIGHTS[2]} is there. Is the "
            "download complete?"
        )
    if path.suffix == ".json":
        _check_shards(path)
    return path


def _check_shards(index: Path) -> None:
    settings = read_json(index, kind=dict) or {}
    shards = read_setting(settings, "weight_map", path=index, kind=dict) or {}
    for shard in sorted({str(name) for name in shards.values()}):
        if PurePosixPath(shard).name != shard or "\\" in shard:
            raise CheckpointError(f"{index}: {shard!r} leads out of the folder.")
        if not (index.parent / shard).is_file():
            raise CheckpointError(
                f"{index}: the file {shard!r} that it names is missing. Is the download complete?"
            )
    if not shards:
        raise CheckpointError(f"{index}: 'weight_map' names no file. Download the model again.")


def _read_config(layout: Layout) -> Any:
    from transformers import AutoConfig

    path = layout.trunk.folder / "config.json"
    try:
        config = AutoConfig.from_pretrained(
            path.parent, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        if "auto_map" in layout.trunk_config:
            raise CheckpointError(
                f"{path}: 'auto_map' says that this model is made by code in the checkpoint, "
                "which is never run, and transformers has no "
                f"{layout.trunk_config.get('model_type')!r} of its own."
            ) from error
        raise CheckpointError(f"{path}: transformers cannot read it: {error}") from error
    # Attention changes no output, and its name might be that of code to be downloaded.
    config._attn_implementation = None
    return config


def _class_name(layout: Layout, config: Any) -> str:
    if layout.trunk_task != "feature-extraction":
        return _AUTO_CLASSES[layout.trunk_task]
    if config.model_type in _ENCODERS:
        config.is_encoder_decoder = False
        return _ENCODERS[config.model_type]
    if config.is_encoder_decoder:
        raise CheckpointError(
            f"{layout.trunk.folder / 'config.json'}: of an encoder-decoder, the encoder is used, "
            f"and that of {config.model_type!r} is not supported; supported are "
            f"{', '.join(_ENCODERS)}."
        )
    return _AUTO_CLASSES[layout.trunk_task]


def _keep_layers(config: Any, layout: Layout) -> None:
    """Take the layers above `layout.num_layers` out of a config."""
    kept = layout.num_layers
    if kept is None:
        return
    there = getattr(config, "num_hidden_layers", None)
    # Groups of layers that share their weights are spread over the layers, however many.
    grouped = getattr(config, "num_hidden_groups", 1) != 1
    fixed = ConfigError(
        f"num_layers is {kept}, but {config.model_type!r} in {layout.trunk.folder} is of an "
        "architecture that cannot do with fewer layers; leave num_layers out."
    )
    if not isinstance(there, int) or grouped or config.sub_configs:
        raise fixed
    if not 1 <= kept <= there:
        raise ConfigError(
            f"num_layers is {kept}, but the model in {layout.trunk.folder} has {there} layers; "
            f"give a number from 1 to {there}."
        )
    try:
        config.num_hidden_layers = kept
    except NotImplementedError as error:
        # So does transformers refuse, of a number that it derives from other settings.
        raise fixed from error
    for name in PER_LAYER:
        entries = getattr(config, name, None)
        if isinstance(entries, list):
            setattr(config, name, entries[:kept])


def _check_report(
    model: Any, report: Mapping[str, Any], *, layout: Layout, name: str, weights: Path
) -> None:
    """Refuse weights that are missing, of another shape, or of more layers than the config has.

    Other weights that the model does not use are those of its other heads.
    """
    # The pooler feeds no vector of ours, and many checkpoints leave it out; scores come through it.
    scored = layout.trunk_task == "sequence-classification"
    if missing := sorted(k for k in report["missing_keys"] if scored or "pooler." not in k):
        head = _HEADS.get(layout.trunk_task)
        hint = f" A {layout.task} model needs a {head}." if head else ""
        raise CheckpointError(f"{weights} lacks weights that {name} needs: {_some(missing)}.{hint}")
    if any("pooler." in key for key in report["missing_keys"]) and hasattr(model, "pooler"):
        # Else random numbers would be saved with the rest.
        model.pooler = None
    if mismatched := sorted(report["mismatched_keys"]):
        key, found, expected = mismatched[0]
        raise CheckpointError(
            f"{weights}: {key} is of shape {tuple(found)}, and by config.json it must be "
            f"{tuple(expected)}. Download or save the model again."
        )
    extra = _extra_layers(model, report["unexpected_keys"])
    if extra and layout.num_layers is None:
        raise CheckpointError(
            f"{weights} has layers that its config.json does not count: {_some(extra)}. Correct "
            "the number of layers there, or download the model again."
        )


def _extra_layers(model: nn.Module, unexpected: set[str]) -> list[str]:
    """Of the weights without a place, those that continue one of the model's stacks of layers."""
    found = []
    for stack, layers in model.named_modules():
        if isinstance(layers, nn.ModuleList) and stack:
            # In the file, the name may begin with that of the model inside its heads.
            numbered = re.compile(rf"(?:\w+\.)?{re.escape(stack)}\.(\d+)\.")
            for key in unexpected:
                if (match := numbered.match(key)) and int(match[1]) >= len(layers):
                    found.append(key)
    return sorted(found)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def _first_unreadable(layout: Layout) -> Path | None:
    for path in weight_files(layout.trunk):
        if path.suffix == ".json":
            continue
        try:
            _read_state(path)
        except Exception:  # the classes of three libraries
            return path
    return None


def _read_state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return cast(dict[str, Tensor], torch.load(path, map_location="cpu", weights_only=True))

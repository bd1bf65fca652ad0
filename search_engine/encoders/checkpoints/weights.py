"""Reading weights: safetensors, or a pickle that holds nothing but tensors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from search_engine.encoders.checkpoints.layout import Layout
from search_engine.errors import CheckpointError

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


def load_pretrained(layout: Layout) -> nn.Module:
    """The transformer of a checkpoint in float32, with the head that the task needs.

    Raises:
        CheckpointError: the weights cannot be read, are incomplete, hold code, or are of an
            architecture that transformers knows only through code in the checkpoint.
    """
    import transformers

    folder = layout.trunk.folder
    name = _AUTO_CLASSES[layout.trunk_task]
    if name == "AutoModel" and layout.trunk_config.get("is_encoder_decoder"):
        name = "AutoModelForTextEncoding"
    with quiet_transformers():
        try:
            model, report = getattr(transformers, name).from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        # Everything that can be wrong with a stranger's folder ends up here, as many classes.
        except Exception as error:
            raise CheckpointError(f"{folder} cannot be loaded as {name}: {error}") from error
    # The pooler feeds no output of ours, and many checkpoints leave it out.
    missing = sorted(key for key in report["missing_keys"] if "pooler." not in key)
    if missing or report["mismatched_keys"]:
        head = _HEADS.get(layout.trunk_task)
        hint = f" A {layout.task} model needs a {head}." if head else ""
        wrong = missing or sorted(str(key) for key in report["mismatched_keys"])
        raise CheckpointError(
            f"{folder} lacks weights that {name} needs: {', '.join(wrong[:5])}"
            f"{' ...' if len(wrong) > 5 else ''}.{hint}"
        )
    return cast(nn.Module, model)


def load_weights(module: nn.Module, folder: Path) -> None:
    """Fill a small module from model.safetensors, else pytorch_model.bin, every key matched.

    Raises:
        CheckpointError: no weights, unreadable ones, or ones of another shape.
    """
    try:
        if (folder / "model.safetensors").is_file():
            from safetensors.torch import load_file

            state = load_file(folder / "model.safetensors")
        else:
            state = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
        module.load_state_dict(state)
    except Exception as error:  # unpickling, safetensors and torch raise many classes
        raise CheckpointError(
            f"the weights of {type(module).__name__} in {folder} cannot be read: {error}"
        ) from error


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

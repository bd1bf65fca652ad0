"""The weight that each token has by itself, as a checkpoint gives it: a tensor or an idf.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from search_engine.encoders.checkpoints.json_files import read_json, read_setting
from search_engine.errors import CheckpointError


def token_weights_file(folder: Path, config: Mapping[str, Any]) -> Path:
    """Where the weights of a SparseStaticEmbedding are.

    A JSON file that the config names is looked for by its name alone, in the module's folder and
    those above it up to the checkpoint's own; paths of the machine that it was made on mean
    nothing here.

    Raises:
        CheckpointError: there is none.
    """
    named = read_setting(config, "path", path=folder / "config.json", kind=str) or ""
    names = ("model.safetensors", "pytorch_model.bin")
    places = [folder]
    if named.endswith(".json"):
        names = (Path(named.replace("\\", "/")).name, "idf.json")
        while not (places[-1] / "modules.json").is_file() and len(places) < 3:
            places.append(places[-1].parent)
    for place in places:
        for name in names:
            if (place / name).is_file():
                return place / name
    raise CheckpointError(
        f"{folder} has no weights of tokens, neither {' nor '.join(names)}; download or save the "
        "model again."
    )


def read_token_weights(folder: Path, config: Mapping[str, Any]) -> NDArray[np.float32]:
    """The weight of each token of a SparseStaticEmbedding, float32 [vocabulary].

    Of a JSON file, tokens that the tokenizer does not know are left out, and those that it does
    not give weigh nothing.

    Raises:
        CheckpointError: the weights are missing or cannot be read.
    """
    path = token_weights_file(folder, config)
    try:
        is_idf = path.suffix == ".json"
        weights = _read_idf(path, folder / "tokenizer.json") if is_idf else _read_tensor(path)
        if weights.ndim != 1:
            raise ValueError(f"it has {weights.ndim} dimensions and not one")
        if not np.isfinite(weights).all():
            raise ValueError("it holds NaN or infinity")
    except CheckpointError:
        raise
    except Exception as error:  # unpickling, safetensors and torch raise many classes
        raise CheckpointError(
            f"the weights of SparseStaticEmbedding in {path} cannot be read: {error!r}."
        ) from error
    return weights.astype(np.float32)


def _read_tensor(path: Path) -> NDArray[Any]:
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        try:
            return load_file(path)["weight"]
        except TypeError:  # bfloat16, which NumPy lacks
            from safetensors.torch import load_file as load_tensors

            state = load_tensors(path)
    else:
        import torch

        state = torch.load(path, map_location="cpu", weights_only=True)
    weights: NDArray[np.float32] = state["weight"].float().numpy()
    return weights


def _read_idf(path: Path, tokenizer_path: Path) -> NDArray[np.float32]:
    idf = read_json(path, kind=dict) or {}
    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_path))
    except Exception as error:  # tokenizers raises bare Exception
        raise CheckpointError(
            f"{tokenizer_path} cannot be read: {error}. {path.name} needs it to tell which token "
            "each weight belongs to."
        ) from error
    weights = np.zeros(tokenizer.get_vocab_size(), np.float32)
    for token, weight in idf.items():
        if not isinstance(weight, int | float):
            raise CheckpointError(f"{path}: the weight of {token!r} is no number: {weight!r}.")
        token_id = tokenizer.token_to_id(token)
        if token_id is not None:
            weights[token_id] = weight
    return weights

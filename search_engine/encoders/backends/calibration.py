"""An 8-bit graph for OpenVINO, calibrated on texts like those that it will read."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.backends.export_cache import (
    graph_fingerprint,
    graph_folder,
    graph_layout,
    read_graph,
    write_graph,
)
from search_engine.encoders.batching import pad_batch
from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.encoders.checkpoints.fingerprint import fingerprint_of
from search_engine.encoders.checkpoints.layout import Layout, Task, read_layout
from search_engine.encoders.checkpoints.module_specs import TRUNK, Input
from search_engine.encoders.tokenizers.input_checks import check_texts
from search_engine.encoders.tokenizers.opening import InputTokenizer, open_tokenizer
from search_engine.errors import ConfigError

# As many as NNCF takes where nothing is said.
MOST_EXAMPLES = 300


def calibrate_int8(
    model: str,
    texts: Sequence[str] | Sequence[tuple[str, str]],
    *,
    task: Task = "embedding",
    offline: bool = False,
    num_layers: int | None = None,
) -> Path:
    """Quantize a model to 8 bits for OpenVINO and keep the graph for `dtype="int8"`.

    A graph that was calibrated before is replaced. Of a Router, every route that begins with a
    transformer is quantized, on the same texts.

    Args:
        model: name or folder of a checkpoint.
        texts: texts, or pairs of them for `task="score"`; of more than 300, that many are taken
            from all over.
        task: what the model will be loaded for.
        offline: never ask the network for the model.
        num_layers: what the encoder will be opened with.

    Returns:
        the folder of the quantized graph; of the last one, if there are several.

    Raises:
        ConfigError: NNCF or OpenVINO is not installed, or there are no texts.
        ModelNotFoundError: no model of that name anywhere.
        CheckpointError: the checkpoint cannot be read, is no transformer, or cannot be converted.
    """
    check_texts(texts)
    check_int8_installed()
    whole = read_layout(
        find_checkpoint(model, offline=offline),
        task=task,
        num_layers=num_layers,
    )
    fingerprint = fingerprint_of(graph_layout(whole), max_tokens=open_tokenizer(whole).max_tokens)
    kinds: tuple[Input, ...] = ("query", "document") if whole.is_routed else (None,)
    layouts = [whole.along(kind) for kind in kinds]
    folders = [
        _calibrate(
            layout,
            texts,
            fingerprint=graph_fingerprint(layout, checkpoint=fingerprint),
            prompt="" if task == "score" else layout.prompts[kind or "document"],
        )
        for kind, layout in zip(kinds, layouts, strict=True)
        if layout.trunk.type == TRUNK
    ]
    if not folders:
        raise ConfigError(f"{whole.folder} has no transformer, so that int8 changes nothing.")
    return folders[-1]


def calibration_inputs(
    layout: Layout,
    tokenizer: InputTokenizer,
    texts: Sequence[str] | Sequence[tuple[str, str]],
    *,
    prompt: str = "",
) -> list[dict[str, NDArray[np.int64]]]:
    """What a graph reads of each example, int64 [1, tokens] by name, one text at a time.

    One at a time, since padding would count for the ranges of activations, too.

    Raises:
        ConfigError: there are no texts.
    """
    if not texts:
        raise ConfigError("int8 for OpenVINO is calibrated on texts, and there are none.")
    count = min(len(texts), MOST_EXAMPLES)
    chosen = [texts[position * len(texts) // count] for position in range(count)]
    if prompt:
        chosen = [f"{prompt}{text}" for text in chosen]
    skipped = tokenizer.count_prompt(prompt) if prompt and layout.excludes_prompt else 0
    tokenized = tokenizer.tokenize(chosen, skipped=skipped)
    return [
        dict(
            pad_batch(
                tokenized,
                np.array([position]),
                input_names=layout.input_names,
                pad_id=tokenizer.pad_id,
            ).inputs
        )
        for position in range(count)
    ]


def _calibrate(
    layout: Layout,
    texts: Sequence[str] | Sequence[tuple[str, str]],
    *,
    fingerprint: str,
    prompt: str,
) -> Path:
    from search_engine.encoders.backends.openvino_backend import read_openvino
    from search_engine.encoders.backends.openvino_conversion import (
        convert_graph,
        quantize_openvino,
        save_openvino,
    )

    examples = calibration_inputs(layout, open_tokenizer(layout), texts, prompt=prompt)
    kept = graph_folder(fingerprint, backend="openvino") / "graph.xml"
    model = read_graph(kept, read_openvino) or convert_graph(layout, fingerprint=fingerprint)
    quantized = quantize_openvino(
        model, [[example[name] for name in layout.input_names] for example in examples]
    )
    folder = graph_folder(fingerprint, backend="openvino", variant="int8")
    try:
        write_graph(folder, lambda into: save_openvino(quantized, into / "graph.xml"), replace=True)
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"the quantized graph cannot be written to {folder}: {error}. Give another cache "
            "folder by the environment variable XDG_CACHE_HOME."
        ) from error
    return folder


def check_int8_installed() -> None:
    """See that a graph can be quantized for OpenVINO here.

    Raises:
        ConfigError: OpenVINO or NNCF is not installed.
    """
    missing = [name for name in ("openvino", "nncf") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} not installed: pip install 'search-engine[int8]'."
        )

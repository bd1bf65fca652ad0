"""Exported files added to a checkpoint, where Sentence Transformers looks for them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from search_engine.encoders.backends.calibration import calibration_inputs, check_int8_installed
from search_engine.encoders.backends.exported_files import (
    ONNX_FLOAT,
    OPENVINO_FLOAT,
    OPENVINO_INT8,
    onnx_int8_name,
)
from search_engine.encoders.backends.onnx_variants import own_variant
from search_engine.encoders.backends.selection import check_installed
from search_engine.encoders.checkpoints.layout import Layout, Task, read_layout
from search_engine.encoders.checkpoints.module_specs import TRUNK
from search_engine.encoders.checkpoints.weights import load_pretrained
from search_engine.encoders.tokenizers.opening import open_tokenizer
from search_engine.errors import CheckpointError, ConfigError


class _BareTransformer(nn.Module):
    """A transformer with nothing after it, as Optimum exports it."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.model = load_pretrained(layout)
        self.names = [name for name in layout.input_names if name != "pooling_mask"]
        vectors = layout.trunk_task == "feature-extraction"
        self.output = "last_hidden_state" if vectors else "logits"
        self.eval()

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs = self.model(**dict(zip(self.names, inputs, strict=True)))
        output: Tensor = getattr(outputs, self.output)
        return output


def export_checkpoint(
    folder: str | Path,
    *,
    backend: Literal["openvino", "onnx"],
    dtype: Literal["float32", "int8"] = "float32",
    task: Task = "embedding",
    texts: Sequence[str] | Sequence[tuple[str, str]] = (),
) -> Path:
    """Add the transformer, exported for a runtime, to a checkpoint that was saved.

    The file holds what `SentenceTransformer(folder, backend=...)` expects: the transformer alone,
    which gives `last_hidden_state`, or with its head `logits`. A file of that name is replaced.

    Args:
        folder: the checkpoint.
        dtype: "int8" is quantized: for OpenVINO calibrated on the texts, for ONNX as Sentence
            Transformers does it for this processor, without any.
        task: what the checkpoint is loaded for.
        texts: for OpenVINO's int8; pairs of texts for `task="score"`.

    Returns:
        the file: `onnx/model.onnx`, `onnx/model_qint8_avx512_vnni.onnx`,
        `openvino/openvino_model.xml` (its weights are in the .bin beside it), and so on.

    Raises:
        ConfigError: the runtime is not installed, or texts are missing.
        CheckpointError: the checkpoint cannot be read or exported, has no transformer, or has
            several.
    """
    if backend not in ("openvino", "onnx"):
        raise ConfigError(f"a checkpoint is exported for openvino or onnx, not for {backend!r}.")
    if dtype not in ("float32", "int8"):
        raise ConfigError(f"a checkpoint is exported in float32 or int8, not in {dtype!r}.")
    check_installed(backend)
    folder = Path(folder)
    layout = read_layout(folder, task=task)
    if layout.is_routed or layout.trunk.type != TRUNK:
        raise CheckpointError(
            f"{folder} does not begin with one transformer for all texts; only such a checkpoint "
            "can be exported."
        )
    if layout.trunk_task == "text-generation":
        raise CheckpointError(
            f"{folder} scores by a causal language model, whose exported form is not supported."
        )
    quantized = dtype == "int8"
    examples: list[dict[str, NDArray[np.int64]]] = []
    if quantized and backend == "openvino":
        check_int8_installed()
        examples = calibration_inputs(layout, open_tokenizer(layout), texts)
    transformer = _BareTransformer(layout)
    place = layout.trunk.folder / backend
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=place) as temporary:
        if backend == "onnx":
            path = _write_onnx(transformer, Path(temporary), source=folder, quantized=quantized)
        else:
            path = _write_openvino(transformer, Path(temporary), source=folder, examples=examples)
        # The weights, in files beside it, before the graph that names them.
        for file in sorted(Path(temporary).iterdir(), key=lambda file: file == path):
            file.replace(place / file.name)
    return place / path.name


def _write_onnx(
    transformer: _BareTransformer, into: Path, *, source: Path, quantized: bool
) -> Path:
    from search_engine.encoders.backends.onnx_conversion import export_module, quantize_onnx

    names, output = transformer.names, transformer.output
    if not quantized:
        export_module(transformer, names, into / ONNX_FLOAT, output=output, source=source)
        return into / ONNX_FLOAT
    path = into / onnx_int8_name(own_variant())
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / ONNX_FLOAT
        export_module(transformer, names, whole, output=output, source=source)
        quantize_onnx(whole, path)
    return path


def _write_openvino(
    transformer: _BareTransformer,
    into: Path,
    *,
    source: Path,
    examples: Sequence[Mapping[str, NDArray[np.int64]]],
) -> Path:
    from search_engine.encoders.backends.openvino_conversion import (
        convert_module,
        quantize_openvino,
        save_openvino,
    )

    model = convert_module(transformer, transformer.names, source=source)
    for port, name in zip(model.inputs, transformer.names, strict=True):
        port.get_tensor().set_names({name})
    model.output(0).get_tensor().set_names({transformer.output})
    if examples:
        arrays = [[example[name] for name in transformer.names] for example in examples]
        model = quantize_openvino(model, arrays)
    path = into / (OPENVINO_INT8 if examples else OPENVINO_FLOAT)
    save_openvino(model, path)
    return path

"""Torch modules converted to OpenVINO's graphs, and those quantized to 8 bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from logging import ERROR, getLogger
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.backends.export_cache import graph_folder, write_graph
from search_engine.encoders.backends.openvino_library import openvino
from search_engine.encoders.backends.selection import ExportError
from search_engine.encoders.backends.tracing import Inputs, check_against_torch, example_inputs
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.modules.graph import load_graph

log = getLogger(__name__)
_CONVERTING = Lock()


def convert_graph(layout: Layout, *, fingerprint: str) -> Any:
    """All modules of a layout as an OpenVINO model, which is kept in the cache if possible.

    Raises:
        ExportError: OpenVINO cannot convert them.
        CheckpointError: the checkpoint cannot be read.
    """
    model = convert_module(load_graph(layout), layout.input_names, source=layout.folder)
    folder = graph_folder(fingerprint, backend="openvino")
    try:
        write_graph(folder, lambda into: save_openvino(model, into / "graph.xml"))
    except (OSError, RuntimeError) as error:
        # A cache that cannot be written is only slower the next time.
        log.warning("The exported graph is not kept in %s: %s", folder, error)
    return model


def convert_module(module: Any, names: Sequence[str], *, source: Path) -> Any:
    """A torch module as an OpenVINO model, compared with it.

    Args:
        module: takes int64 [b, tokens] of each name, gives one array.
        names: of its inputs, in order.
        source: the checkpoint, for an error's message.

    Raises:
        ExportError: OpenVINO cannot convert it.
    """
    import torch

    from search_engine.encoders.checkpoints.weights import quiet_transformers

    example = example_inputs(names)
    try:
        # Tracing warns of every branch that it fixes; the check finds those that matter.
        with torch.no_grad(), quiet_transformers(), _logging_as_it_is():
            model = openvino.convert_model(
                module, example_input=tuple(torch.from_numpy(array) for array in example.values())
            )
        compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

        def run(inputs: Inputs) -> NDArray[np.float32]:
            return np.asarray(compiled(list(inputs.values()))[0], np.float32)

        check_against_torch(run, module, example)
    # The frontend raises whatever its many translators raise.
    except Exception as error:
        raise ExportError(
            f"OpenVINO cannot convert {source} ({type(error).__name__}: {error})."
        ) from error
    return model


@contextmanager
def _logging_as_it_is() -> Iterator[None]:
    """Keep OpenVINO from leaving the root logger at errors only.

    Its conversion sets the root logger's level, and sets it back only where it succeeds, and to
    what it found, which may be what another thread's conversion had set.
    """
    root = getLogger()
    with _CONVERTING:
        level, filters, handlers = root.level, list(root.filters), list(root.handlers)
        try:
            yield
        finally:
            root.setLevel(level)
            root.filters[:] = filters
            root.handlers[:] = handlers


def _most_sensitive(model: Any) -> list[str]:
    """The product that loses most by quantization: of the first layer, the one that narrows.

    Its input, behind the activation, has a few values far larger than the rest. With
    all-MiniLM-L6-v2 it alone makes for half of what the cosines lose (1 - cosine on CoSQA 0.0025
    with it quantized, 0.0014 without), and takes an eighteenth of the multiplications.
    """
    for operation in model.get_ordered_ops():
        if operation.get_type_name() != "MatMul":
            continue
        weights = operation.input_value(1).get_partial_shape()
        if weights.rank.get_length() != 2 or weights.is_dynamic:
            continue
        rows, columns = weights.to_shape()
        transposed = operation.get_attributes().get("transpose_b", False)
        inner, outer = (columns, rows) if transposed else (rows, columns)
        if inner > outer:
            return [operation.get_friendly_name()]
    return []


def quantize_openvino(model: Any, inputs: Sequence[Sequence[NDArray[np.int64]]]) -> Any:
    """The model with 8-bit weights and activations, by NNCF's post-training quantization.

    Args:
        model: not changed.
        inputs: of each example, in the order of the model's; ranges are taken from all of them.
    """
    import nncf

    # Not by nncf's own function, which sets the level of handlers that others may have added.
    getLogger("nncf").setLevel(ERROR)
    # Its progress bars would go where results go.
    with redirect_stdout(StringIO()):
        return nncf.quantize(
            model.clone(),
            nncf.Dataset([list(arrays) for arrays in inputs]),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(names=_most_sensitive(model)),
            subset_size=len(inputs),
        )


def save_openvino(model: Any, path: Path) -> None:
    """Write an .xml file and the .bin file beside it, the weights as they are."""
    openvino.save_model(model, path, compress_to_fp16=False)

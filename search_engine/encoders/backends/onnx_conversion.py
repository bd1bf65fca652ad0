"""Torch modules exported as ONNX graphs, and those quantized to 8 bits."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from search_engine.encoders.backends.export_cache import write_graph
from search_engine.encoders.backends.onnx_variants import has_signed_weights, own_variant
from search_engine.encoders.backends.selection import ExportError
from search_engine.encoders.backends.tracing import Inputs, check_against_torch, example_inputs
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.checkpoints.weights import quiet_transformers
from search_engine.encoders.modules.graph import load_graph

log = logging.getLogger(__name__)


def export_graph(
    layout: Layout, folder: Path, *, quantized: bool, read: Callable[[Path], Any]
) -> Any:
    """All modules of a layout as an ONNX graph, which is kept in the folder if possible.

    Args:
        read: opens a session of a file.

    Raises:
        ExportError: torch cannot export them.
        CheckpointError: the checkpoint cannot be read.
    """
    graph = load_graph(layout)

    def write(into: Path) -> None:
        path = into / "graph.onnx"
        if not quantized:
            export_module(graph, layout.input_names, path, output="output", source=layout.folder)
            return
        with tempfile.TemporaryDirectory() as temporary:
            whole = Path(temporary) / path.name
            export_module(graph, layout.input_names, whole, output="output", source=layout.folder)
            quantize_onnx(whole, path)

    try:
        write_graph(folder, write)
        return read(folder / "graph.onnx")
    except OSError as error:
        # A cache that cannot be written is only slower the next time.
        log.warning("The exported graph is not kept in %s: %s", folder, error)
    with tempfile.TemporaryDirectory() as temporary:
        write(Path(temporary))
        return read(Path(temporary) / "graph.onnx")


def export_module(
    module: Any, names: Sequence[str], path: Path, *, output: str, source: Path
) -> None:
    """Write a torch module as an ONNX graph in float32, and compare it with the module.

    The module is traced, as OpenVINO's conversion does it, so that what one can run the other can;
    weights of more than 2 GB become files beside the graph.

    Args:
        module: takes int64 [b, tokens] of each name, gives one array.
        names: of its inputs, in order.
        output: the name that its output gets.
        source: the checkpoint, for an error's message.

    Raises:
        ExportError: torch cannot export it.
    """
    from search_engine.encoders.backends.onnx_backend import open_session

    example = example_inputs(names)
    arguments = tuple(torch.from_numpy(array) for array in example.values())
    try:
        # Tracing warns of every branch that it fixes; the check finds those that matter.
        with torch.no_grad(), quiet_transformers():
            dimensions = ["batch", "tokens"]
            axes = {name: dict(enumerate(dimensions)) for name in names}
            outputs = dict(enumerate(dimensions[: module(*arguments).ndim - 1]))
            torch.onnx.export(
                module,
                arguments,
                str(path),
                input_names=list(names),
                output_names=[output],
                dynamic_axes={**axes, output: outputs},
                dynamo=False,
            )
        session = open_session(path)
        taken = {each.name for each in session.get_inputs()}

        def run(inputs: Inputs) -> NDArray[np.float32]:
            given = {name: array for name, array in inputs.items() if name in taken}
            return np.asarray(session.run([output], given)[0], np.float32)

        check_against_torch(run, module, example)
    except OSError:
        raise
    # The exporter raises whatever its many translators raise.
    except Exception as error:
        raise ExportError(
            f"torch cannot export {source} as ONNX ({type(error).__name__}: {error})."
        ) from error


def quantize_onnx(source: Path, target: Path) -> None:
    """Write a graph with 8-bit weights; activations are quantized as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    weights = QuantType.QInt8 if has_signed_weights(own_variant()) else QuantType.QUInt8
    root = logging.getLogger()
    root.addFilter(_is_no_advice)
    try:
        quantize_dynamic(source, target, weight_type=weights)
    finally:
        root.removeFilter(_is_no_advice)


def _is_no_advice(record: logging.LogRecord) -> bool:
    # ONNX Runtime advises twice, through the root logger, to prepare the graph.
    return "pre-processing before quantization" not in record.getMessage()

"""The ONNX Runtime backend: a graph run by one session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from search_engine.encoders.backends.export_cache import graph_folder, read_graph
from search_engine.encoders.backends.onnx_variants import own_variant
from search_engine.encoders.backends.processor import usable_cores
from search_engine.encoders.backends.tracing import probe_batch
from search_engine.encoders.batching import Batch
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.errors import ConfigError

# On Windows it reports its use, without being asked; elsewhere a variable of the environment
# that search_engine/__init__.py sets keeps it from that.
onnxruntime.disable_telemetry_events()

_ERRORS_ONLY = 3


class ONNXBackend:
    """A graph run by ONNX Runtime, which several threads may call at once.

    Args:
        session: what has read the graph.
        input_names: of the arrays that it takes.
        dtype: what it is said to compute in.
        output: the name of the output that is meant.
    """

    name = "onnx"

    def __init__(
        self, session: Any, input_names: Sequence[str], *, dtype: str, output: str
    ) -> None:
        self.dtype = dtype
        self._input_names = tuple(input_names)
        self._output = output
        self._session = session

    @cached_property
    def width(self) -> int:
        """Numbers in one output, the last dimension."""
        return int(self.run_one(probe_batch(self._input_names)).shape[-1])

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """The output of each batch, float32 [b, ..., width], in order."""
        for batch in batches:
            yield batch, self.run_one(batch)

    def run_one(self, batch: Batch) -> NDArray[np.float32]:
        """The output of one batch, float32 [b, ..., width]."""
        inputs = {name: batch.inputs[name] for name in self._input_names}
        return np.asarray(self._session.run([self._output], inputs)[0], np.float32)


def open_onnx(layout: Layout, *, fingerprint: str, dtype: str, device: str) -> ONNXBackend:
    """The graph of a layout, from the cache or exported.

    Args:
        dtype: float32, or int8 (weights quantized, activations as they come).

    Raises:
        ExportError: torch cannot export it.
        ConfigError: ONNX Runtime has not the device.
        CheckpointError: the checkpoint cannot be read.
    """
    variant = own_variant() if dtype == "int8" else ""
    folder = graph_folder(fingerprint, backend="onnx", variant=variant)
    providers = _providers(device)
    session = read_graph(folder / "graph.onnx", lambda path: _open(path, providers))
    if session is None:
        from search_engine.encoders.backends.onnx_conversion import export_graph

        session = export_graph(
            layout, folder, quantized=dtype == "int8", read=lambda path: _open(path, providers)
        )
    # A trace leaves out what the modules do not use, such as the ids of types.
    names = [each.name for each in session.get_inputs()]
    return ONNXBackend(session, names, dtype=dtype, output="output")


def open_session(path: Path, *, device: str = "cpu") -> Any:
    """A session of the graph in a file.

    Raises:
        ConfigError: ONNX Runtime has not the device.
        Exception: the file cannot be read; ONNX Runtime's classes have no common root.
    """
    return _open(path, _providers(device))


def _open(path: Path, providers: Sequence[Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = usable_cores()
    # Threads that wait by spinning take the cores from whatever else runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=list(providers))


def _providers(device: str) -> list[Any]:
    if device == "cpu":
        return ["CPUExecutionProvider"]
    name, _, index = device.partition(":")
    available = onnxruntime.get_available_providers()
    if name != "cuda" or "CUDAExecutionProvider" not in available:
        raise ConfigError(
            f"the installed ONNX Runtime cannot use the device {device!r}; it has "
            f"{', '.join(available)}. Use the torch backend, or for cuda install onnxruntime-gpu."
        )
    return [("CUDAExecutionProvider", {"device_id": int(index or 0)}), "CPUExecutionProvider"]

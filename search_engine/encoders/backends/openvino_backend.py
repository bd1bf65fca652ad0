"""The OpenVINO backend: a graph compiled for the CPU."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.backends.export_cache import graph_folder, read_graph
from search_engine.encoders.backends.openvino_library import openvino
from search_engine.encoders.backends.tracing import probe_batch
from search_engine.encoders.batching import Batch
from search_engine.encoders.checkpoints.layout import Layout

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVINOBackend:
    """A graph run by OpenVINO on the CPU.

    Compiled twice, each on first use: for throughput, with several streams that keep all cores
    busy, and for latency, with all cores on one batch.

    Args:
        model: what OpenVINO has read or converted.
        input_names: of its inputs, in its order.
        dtype: what it is said to compute in; "int8" where its operations are quantized.
        precision: what its other operations compute in, float32 or bfloat16.
        output: which of its outputs is meant.
    """

    name = "openvino"

    def __init__(
        self,
        model: Any,
        input_names: Sequence[str],
        *,
        dtype: str,
        precision: str,
        output: int = 0,
    ) -> None:
        self.dtype = dtype
        self._precision = precision
        self._input_names = tuple(input_names)
        self._output = output
        self._model = model
        self._per_thread = threading.local()
        self._compiling = threading.Lock()

    @cached_property
    def width(self) -> int:
        """Numbers in one output, the last dimension."""
        shape = self._model.output(self._output).get_partial_shape()
        if shape.rank.is_static and shape[len(shape) - 1].is_static:
            return int(shape[len(shape) - 1].get_length())
        return int(self.run_one(probe_batch(self._input_names)).shape[-1])

    def _compile(self, hint: str) -> Any:
        return openvino.Core().compile_model(
            self._model,
            "CPU",
            {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": PRECISIONS[self._precision]},
        )

    @cached_property
    def _for_throughput(self) -> Any:
        return self._compile("THROUGHPUT")

    @cached_property
    def _for_latency(self) -> Any:
        return self._compile("LATENCY")

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """The output of each batch, float32 [b, ..., width], in the order of the batches."""
        with self._compiling:
            compiled = self._for_throughput
        # Requests without callbacks: AsyncInferQueue calls back into Python, and when the queue is
        # destroyed while the last callback still waits for the interpreter's lock, both hang.
        count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        idle = [compiled.create_infer_request() for _ in range(count)]
        running: deque[tuple[Any, Batch]] = deque()
        try:
            for batch in batches:
                if not idle:
                    request, done = running.popleft()
                    output = self._wait(request)
                    idle.append(request)
                    yield done, output
                request = idle.pop()
                request.start_async([batch.inputs[name] for name in self._input_names])
                running.append((request, batch))
            while running:
                request, done = running.popleft()
                yield done, self._wait(request)
        finally:
            for request, _ in running:
                request.wait()

    def run_one(self, batch: Batch) -> NDArray[np.float32]:
        """The output of one batch, float32 [b, ..., width]."""
        request = getattr(self._per_thread, "request", None)
        if request is None:
            with self._compiling:
                request = self._per_thread.request = self._for_latency.create_infer_request()
        request.infer([batch.inputs[name] for name in self._input_names])
        return self._read(request)

    def _wait(self, request: Any) -> NDArray[np.float32]:
        request.wait()
        return self._read(request)

    def _read(self, request: Any) -> NDArray[np.float32]:
        # Copied: the request's memory is written again by the next batch.
        return np.array(request.get_output_tensor(self._output).data, np.float32)


def open_openvino(layout: Layout, *, fingerprint: str, dtype: str) -> OpenVINOBackend:
    """The graph of a layout, from the cache or converted.

    Args:
        dtype: float32 or bfloat16.

    Raises:
        ExportError: OpenVINO cannot convert it.
        CheckpointError: the checkpoint cannot be read.
    """
    folder = graph_folder(fingerprint, backend="openvino")
    model = read_graph(folder / "graph.xml", read_openvino)
    if model is None:
        from search_engine.encoders.backends.openvino_conversion import convert_graph

        model = convert_graph(layout, fingerprint=fingerprint)
    return OpenVINOBackend(model, layout.input_names, dtype=dtype, precision=dtype)


def open_calibrated(layout: Layout, *, fingerprint: str, precision: str) -> OpenVINOBackend | None:
    """The graph of a layout that was quantized to 8 bits before; None where none was."""
    folder = graph_folder(fingerprint, backend="openvino", variant="int8")
    model = read_graph(folder / "graph.xml", read_openvino)
    if model is None:
        return None
    return OpenVINOBackend(model, layout.input_names, dtype="int8", precision=precision)


def read_openvino(path: Path) -> Any:
    """The model in an .xml file and the .bin file beside it."""
    return openvino.Core().read_model(path)

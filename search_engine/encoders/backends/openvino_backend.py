"""The OpenVINO backend: the whole graph of a checkpoint compiled for the CPU.

The converted graph is kept on disk under the checkpoint's fingerprint, so that a warm start
imports neither torch nor transformers.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.backends.selection import OpenVINOConversionError
from search_engine.encoders.batching import Batch
from search_engine.encoders.checkpoints.layout import Layout

# OpenVINO reports its import and every conversion over the network, without being asked, through
# this package; where the package is missing it reports nothing, so here it is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

# Part of the cache's key: to be raised when the modules compute something else.
GRAPH_VERSION = 1
PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}

log = getLogger(__name__)


class OpenVINOBackend:
    """A graph run by OpenVINO on the CPU.

    Compiled twice, each on first use: for throughput, with several streams that keep all cores
    busy, and for latency, with all cores on one batch.
    """

    name = "openvino"

    def __init__(self, layout: Layout, *, fingerprint: str, dtype: str) -> None:
        self.dtype = dtype
        self._input_names = layout.input_names
        self._core = openvino.Core()
        self._model = _read_cached(self._core, fingerprint) or _convert(layout, fingerprint)
        self._per_thread = threading.local()
        self._compiling = threading.Lock()

    @property
    def width(self) -> int:
        """Numbers in one output."""
        return int(self._model.output(0).get_partial_shape()[1].get_length())

    def _compile(self, hint: str) -> Any:
        return self._core.compile_model(
            self._model,
            "CPU",
            {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": PRECISIONS[self.dtype]},
        )

    @cached_property
    def _for_throughput(self) -> Any:
        return self._compile("THROUGHPUT")

    @cached_property
    def _for_latency(self) -> Any:
        return self._compile("LATENCY")

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """The output of each batch, float32 [b, width], in the order of the batches."""
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
                    output = _wait(request)
                    idle.append(request)
                    yield done, output
                request = idle.pop()
                request.start_async([batch.inputs[name] for name in self._input_names])
                running.append((request, batch))
            while running:
                request, done = running.popleft()
                yield done, _wait(request)
        finally:
            for request, _ in running:
                request.wait()

    def run_one(self, batch: Batch) -> NDArray[np.float32]:
        """The output of one batch, float32 [b, width]."""
        request = getattr(self._per_thread, "request", None)
        if request is None:
            with self._compiling:
                request = self._per_thread.request = self._for_latency.create_infer_request()
        request.infer([batch.inputs[name] for name in self._input_names])
        return np.array(request.get_output_tensor(0).data, np.float32)


def _wait(request: Any) -> NDArray[np.float32]:
    request.wait()
    # Copied: the request's memory is written again by the next batch.
    return np.array(request.get_output_tensor(0).data, np.float32)


def cache_folder() -> Path:
    """Where converted graphs are kept: `search-engine/openvino` in the user's cache folder."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "search-engine" / "openvino"


def _cached_folder(fingerprint: str) -> Path:
    return cache_folder() / f"{fingerprint}-{GRAPH_VERSION}"


def _read_cached(core: Any, fingerprint: str) -> Any | None:
    path = _cached_folder(fingerprint) / "graph.xml"
    if not path.is_file():
        return None
    try:
        return core.read_model(path)
    except RuntimeError as error:
        log.warning("The converted graph %s cannot be read and is made anew: %s", path, error)
        shutil.rmtree(path.parent, ignore_errors=True)
        return None


def _convert(layout: Layout, fingerprint: str) -> Any:
    import torch

    from search_engine.encoders.checkpoints.weights import quiet_transformers
    from search_engine.encoders.modules.graph import load_graph

    graph = load_graph(layout)
    # Two rows, one of them padded, so that tracing meets every branch of the mask.
    example = {name: np.ones((2, 8), np.int64) for name in layout.input_names}
    for name in ("attention_mask", "pooling_mask"):
        if name in example:
            example[name][1, 5:] = 0
    if "token_type_ids" in example:
        example["token_type_ids"][:, 4:] = 1
    try:
        # Tracing warns of every branch that it fixes; _check below finds those that matter.
        with torch.no_grad(), quiet_transformers():
            model = openvino.convert_model(
                graph, example_input=tuple(torch.from_numpy(array) for array in example.values())
            )
        _check(model, graph, example)
    # The frontend raises whatever its many translators raise.
    except Exception as error:
        raise OpenVINOConversionError(
            f"OpenVINO cannot convert {layout.folder} ({type(error).__name__}: {error})."
        ) from error
    _write_cached(model, fingerprint)
    return model


def _check(model: Any, graph: Any, example: dict[str, NDArray[np.int64]]) -> None:
    """Compare the converted graph with torch on another shape than the one it was traced with.

    A trace keeps whatever depended on the example as a constant; that must not pass unseen.
    """
    import torch

    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    inputs = [np.concatenate([array, array[:1]])[:, :7] for array in example.values()]
    with torch.no_grad():
        expected = graph(*(torch.from_numpy(np.ascontiguousarray(a)) for a in inputs)).numpy()
    found = compiled(inputs)[0]
    if not np.allclose(found, expected, rtol=1e-3, atol=1e-4):
        raise ValueError(f"its output differs from torch's by {np.abs(found - expected).max():.2g}")


def _write_cached(model: Any, fingerprint: str) -> None:
    """Keep a converted graph; a cache that cannot be written is only slower the next time."""
    final = _cached_folder(fingerprint)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=final.parent))
    except OSError as error:
        log.warning("The converted graph is not kept in %s: %s", final.parent, error)
        return
    try:
        openvino.save_model(model, temporary / "graph.xml", compress_to_fp16=False)
        for path in temporary.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        # One rename for both files; if another process was first, its graph is as good.
        if not final.exists():
            temporary.rename(final)
    except (OSError, RuntimeError) as error:
        log.warning("The converted graph is not kept in %s: %s", final, error)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

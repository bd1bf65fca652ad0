"""What runs a graph: the choice of backend and dtype, and the interface of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from logging import getLogger
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.batching import Batch
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.errors import CheckpointError, ConfigError

BackendName: TypeAlias = Literal["auto", "torch", "openvino"]
DtypeName: TypeAlias = Literal["auto", "float32", "float16", "bfloat16"]

log = getLogger(__name__)


class Backend(Protocol):
    """A loaded graph, ready to run; safe to call from several threads."""

    name: str
    dtype: str

    @property
    def width(self) -> int:
        """Numbers in one output."""

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """The output of each batch, float32 [b, width], in whatever order they are finished."""

    def run_one(self, batch: Batch) -> NDArray[np.float32]:
        """The output of a single batch, float32 [b, width], as soon as possible."""


def open_backend(
    layout: Layout, *, fingerprint: str, backend: BackendName, dtype: DtypeName, device: str | None
) -> Backend:
    """Load a checkpoint into the backend asked for; "auto" takes the fastest that can run it.

    Raises:
        ConfigError: backend, dtype and device contradict each other, or one is not installed.
        CheckpointError: the checkpoint cannot be read, or the backend that was asked for by
            name cannot run it.
    """
    name = _resolve_backend(backend, device)
    if name == "openvino":
        from search_engine.encoders.backends.openvino_backend import OpenVINOBackend

        try:
            return OpenVINOBackend(
                layout, fingerprint=fingerprint, dtype=_resolve_dtype(dtype, device)
            )
        except OpenVINOConversionError as error:
            if backend == "openvino":
                raise
            log.warning("%s Going on with the torch backend, which is slower.", error)
    from search_engine.encoders.backends.torch_backend import TorchBackend

    try:
        return TorchBackend(layout, dtype=_resolve_dtype(dtype, device), device=device or "cpu")
    except (AssertionError, RuntimeError) as error:
        # Torch says so where it was built without the device, or does not know it.
        if device is None:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"the device {device!r} cannot be used here: {reason}") from error


class OpenVINOConversionError(CheckpointError):
    """OpenVINO cannot convert the graph of a checkpoint."""


def _resolve_backend(backend: BackendName, device: str | None) -> str:
    if backend not in ("auto", "torch", "openvino"):
        raise ConfigError(f"backend {backend!r} is not one of auto, torch, openvino.")
    on_cpu = device is None or device == "cpu"
    if backend == "openvino" and not on_cpu:
        raise ConfigError(f"the openvino backend runs on the CPU, not on {device!r}; use torch.")
    installed = find_spec("openvino") is not None
    if backend == "openvino" and not installed:
        raise ConfigError("openvino is not installed: pip install 'search-engine[openvino]'.")
    if backend == "auto":
        return "openvino" if on_cpu and installed else "torch"
    return backend


def _resolve_dtype(dtype: DtypeName, device: str | None) -> str:
    if dtype not in ("auto", "float32", "float16", "bfloat16"):
        raise ConfigError(f"dtype {dtype!r} is not one of auto, float32, float16, bfloat16.")
    on_cpu = device is None or device == "cpu"
    if dtype == "float16" and on_cpu:
        raise ConfigError("float16 is for GPUs; on the CPU use bfloat16 or float32.")
    if dtype != "auto":
        return dtype
    if on_cpu:
        return "bfloat16" if _cpu_has_bfloat16() else "float32"
    import torch

    fast = str(device).startswith("cuda") and torch.cuda.is_bf16_supported()
    return "bfloat16" if fast else "float32"


@cache
def _cpu_has_bfloat16() -> bool:
    # Only instructions count: emulated bfloat16 is slower than float32.
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags

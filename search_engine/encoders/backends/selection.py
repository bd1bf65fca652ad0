"""What runs a graph: the choice of backend, dtype and device, and the interface of all backends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from logging import getLogger
from typing import Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.backends.processor import processor_flags
from search_engine.encoders.batching import Batch
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.checkpoints.module_specs import TRUNK
from search_engine.errors import CheckpointError, ConfigError

BackendName: TypeAlias = Literal["auto", "torch", "openvino", "onnx"]
DtypeName: TypeAlias = Literal["auto", "float32", "float16", "bfloat16", "int8"]

_PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime"}

log = getLogger(__name__)


class Backend(Protocol):
    """A loaded graph, ready to run; safe to call from several threads."""

    name: str
    dtype: str

    @property
    def width(self) -> int:
        """Numbers in one output, the last dimension."""

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """The output of each batch, float32 [b, ..., width], in whatever order they finish."""

    def run_one(self, batch: Batch) -> NDArray[np.float32]:
        """The output of a single batch, float32 [b, ..., width], as soon as possible."""


class ExportError(CheckpointError):
    """The graph of a checkpoint cannot be exported for a backend."""


def open_backend(
    layout: Layout, *, fingerprint: str, backend: BackendName, dtype: DtypeName, device: str | None
) -> Backend:
    """Load a checkpoint into the backend asked for; "auto" takes the fastest that can run it.

    A backend that is asked for by name runs the exported transformer that the checkpoint brings
    for it, if any; "auto" does so only where there are no other weights.

    Raises:
        ConfigError: backend, dtype and device contradict each other, one is not there, or an
            8-bit graph was not calibrated.
        CheckpointError: the checkpoint cannot be read, or the backend that was asked for by
            name cannot run it.
    """
    if [module.type for module in layout.modules] == ["SparseStaticEmbedding"]:
        from search_engine.encoders.backends.table_backend import TableBackend

        return TableBackend(layout)
    place = device or "cpu"
    candidates = _candidates(layout, backend, dtype=dtype, device=place)
    for position, name in enumerate(candidates, 1):
        try:
            return _open(
                layout,
                name,
                fingerprint=fingerprint,
                dtype=_resolve_dtype(layout, name, dtype=dtype, device=place),
                device=place,
                named=backend != "auto",
            )
        except ExportError as error:
            if position == len(candidates):
                raise
            log.warning("%s Going on with the %s backend.", error, candidates[position])
    raise ConfigError(
        "int8 needs OpenVINO or ONNX Runtime: pip install 'search-engine[openvino]' or "
        "'search-engine[onnx]'."
    )


def _open(
    layout: Layout, name: str, *, fingerprint: str, dtype: str, device: str, named: bool
) -> Backend:
    if name == "torch":
        return _open_torch(layout, dtype=dtype, device=device)
    from search_engine.encoders.backends.exported_files import find_exported, lacks_weights

    precision = _fast_dtype() if dtype == "int8" else dtype
    if name == "openvino" and layout.output == "tokens":
        # Only the graph of whole texts is calibrated.
        dtype = precision
    if name == "openvino" and dtype == "int8":
        from search_engine.encoders.backends.openvino_backend import open_calibrated

        calibrated = open_calibrated(layout, fingerprint=fingerprint, precision=precision)
        if calibrated is not None:
            return calibrated
    path = find_exported(layout, backend=name, quantized=dtype == "int8")
    if path is not None and (named or dtype == "int8" or lacks_weights(layout)):
        from search_engine.encoders.backends.exported_trunk import open_exported

        return open_exported(
            layout, path, name=name, dtype=dtype, precision=precision, device=device
        )
    if name == "onnx":
        from search_engine.encoders.backends.onnx_backend import open_onnx

        return open_onnx(layout, fingerprint=fingerprint, dtype=dtype, device=device)
    if dtype == "int8":
        raise ConfigError(
            f"{layout.folder} has no 8-bit graph for OpenVINO yet. Make one, once, from texts like "
            "those that it will read: `search-cli calibrate --index NAME`, or calibrate_int8() of "
            "search_engine.encoders.backends.calibration. The onnx backend needs no calibration."
        )
    from search_engine.encoders.backends.openvino_backend import open_openvino

    return open_openvino(layout, fingerprint=fingerprint, dtype=dtype)


def _open_torch(layout: Layout, *, dtype: str, device: str) -> Backend:
    from search_engine.encoders.backends.torch_backend import TorchBackend, check_device

    check_device(device)
    try:
        return TorchBackend(layout, dtype=dtype, device=device)
    except (AssertionError, RuntimeError) as error:
        # Torch says so where it was built without the device.
        if device == "cpu":
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"the device {device!r} cannot be used here: {reason}") from error


def _candidates(
    layout: Layout, backend: BackendName, *, dtype: DtypeName, device: str
) -> list[str]:
    """The backends that may run a layout, the fastest first."""
    if backend not in get_args(BackendName):
        raise ConfigError(f"backend {backend!r} is not one of {', '.join(get_args(BackendName))}.")
    if dtype not in get_args(DtypeName):
        raise ConfigError(f"dtype {dtype!r} is not one of {', '.join(get_args(DtypeName))}.")
    _check_combination(backend, dtype=dtype, device=device)
    if backend != "auto":
        return [backend]
    if device != "cpu":
        return ["torch"]
    names = [name for name in _PACKAGES if _is_installed(name)]
    if dtype == "bfloat16":
        names = [name for name in names if name != "onnx"]
    if dtype != "int8" or layout.trunk.type != TRUNK:
        names.append("torch")
    return _with_weights(layout, names)


def _with_weights(layout: Layout, names: list[str]) -> list[str]:
    """Those of the backends that a checkpoint without torch weights has an exported file for."""
    from search_engine.encoders.backends.exported_files import find_exported, lacks_weights

    if not lacks_weights(layout):
        return names
    having = [
        name
        for name in _PACKAGES
        if any(find_exported(layout, backend=name, quantized=each) for each in (False, True))
    ]
    usable = [name for name in names if name in having]
    if having and not usable:
        raise ConfigError(
            f"{layout.trunk.folder} has no weights but those exported for {', '.join(having)}, "
            f"which needs: pip install 'search-engine[{having[0]}]'."
        )
    return usable or names


def _check_combination(backend: BackendName, *, dtype: DtypeName, device: str) -> None:
    on_cpu = device == "cpu"
    if backend == "openvino" and not on_cpu:
        raise ConfigError(f"the openvino backend runs on the CPU, not on {device!r}; use torch.")
    if dtype == "float16" and on_cpu:
        raise ConfigError("float16 is for GPUs; on the CPU use bfloat16 or float32.")
    if dtype == "int8" and not on_cpu:
        raise ConfigError(f"int8 is for the CPU, not for {device!r}; use float16 or bfloat16.")
    if dtype == "int8" and backend == "torch":
        raise ConfigError("the torch backend has no int8; use openvino or onnx.")
    if dtype in ("float16", "bfloat16") and backend == "onnx":
        raise ConfigError(f"the onnx backend computes in float32 or int8, not in {dtype}.")
    if dtype == "float16" and backend == "openvino":
        raise ConfigError("the openvino backend has no float16; use bfloat16 or float32.")
    if backend in _PACKAGES:
        check_installed(backend)


def check_installed(backend: str) -> None:
    """See that the runtime of a backend is installed.

    Raises:
        ConfigError: it is not.
    """
    if not _is_installed(backend):
        raise ConfigError(
            f"{_PACKAGES[backend]} is not installed: pip install 'search-engine[{backend}]'."
        )


def _is_installed(backend: str) -> bool:
    return find_spec(_PACKAGES[backend]) is not None


def _resolve_dtype(layout: Layout, name: str, *, dtype: DtypeName, device: str) -> str:
    from search_engine.encoders.backends.exported_files import find_exported, lacks_weights

    # A static embedding has no multiplications that int8 would make faster.
    if dtype == "int8" and layout.trunk.type != TRUNK:
        return "float32"
    if dtype != "auto":
        return dtype
    if name in _PACKAGES and lacks_weights(layout):
        whole, quantized = (
            find_exported(layout, backend=name, quantized=each) for each in (False, True)
        )
        if whole is None and quantized is not None:
            return "int8"
    if name == "onnx":
        return "float32"
    if device == "cpu":
        return _fast_dtype()
    import torch

    fast = device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if fast else "float32"


def _fast_dtype() -> str:
    return "bfloat16" if _cpu_has_bfloat16() else "float32"


def _cpu_has_bfloat16() -> bool:
    # Only instructions count: emulated bfloat16 is slower than float32.
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(processor_flags())

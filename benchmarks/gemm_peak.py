"""The fastest matrix product that this machine reaches, for the share that a model takes of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import openvino
import torch
from openvino import opset13 as ops

ROWS = 2048
# Every product of the default model's layers: (inner, outer).
SHAPES = ((384, 384), (384, 1536), (1536, 384), (1024, 1024))
REPEATS = 30


def measure_peaks() -> dict[str, float]:
    """10^9 multiplications and additions a second by dtype, the best of torch and OpenVINO."""
    return {
        "float32": max(*_torch_rates("float32"), *_openvino_rates("float32")),
        "bfloat16": max(*_torch_rates("bfloat16"), *_openvino_rates("bfloat16")),
        "int8": max(_openvino_rates("int8")),
    }


def _rate(compute: Callable[[], object], inner: int, outer: int) -> float:
    for _ in range(5):
        compute()
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        compute()
        best = min(best, time.perf_counter() - started)
    return 2 * ROWS * inner * outer / best / 1e9


def _torch_rates(dtype: str) -> list[float]:
    rates = []
    with torch.inference_mode():
        for inner, outer in SHAPES:
            left = torch.randn(ROWS, inner).to(getattr(torch, dtype))
            linear = torch.nn.Linear(inner, outer, bias=False, dtype=getattr(torch, dtype))
            rates.append(_rate(lambda x=left, f=linear: f(x), inner, outer))
    return rates


def _openvino_rates(dtype: str) -> list[float]:
    hint = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}[dtype]
    rates = []
    for inner, outer in SHAPES:
        model = _int8_product(inner, outer) if dtype == "int8" else _product(inner, outer)
        compiled = openvino.Core().compile_model(
            model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
        )
        request = compiled.create_infer_request()
        given = np.random.default_rng(0).standard_normal((ROWS, inner)).astype(np.float32)
        rates.append(_rate(lambda r=request, x=given: r.infer([x]), inner, outer))
    return rates


def _product(inner: int, outer: int) -> openvino.Model:
    values = ops.parameter([ROWS, inner], np.float32)
    weights = np.random.default_rng(0).standard_normal((outer, inner)).astype(np.float32)
    return _model(values, values, ops.constant(weights))


def _int8_product(inner: int, outer: int) -> openvino.Model:
    """A quantized product: activations in 8 bits, weights too, as in the exported model."""
    values = ops.parameter([ROWS, inner], np.float32)
    bounds = [ops.constant(np.float32(each)) for each in (-4, 4, -4, 4)]
    quantized = ops.fake_quantize(values, *bounds, 256)
    weights = np.random.default_rng(0).integers(-127, 127, (outer, inner)).astype(np.int8)
    scale = ops.constant(np.full((outer, 1), 0.01, np.float32))
    decoded = ops.multiply(ops.convert(ops.constant(weights), np.float32), scale)
    return _model(values, quantized, decoded)


def _model(values: openvino.Node, left: openvino.Node, right: openvino.Node) -> openvino.Model:
    # Reduced, so that what is timed is the product and not the copy of its result.
    product = ops.matmul(left, right, False, True)
    result = ops.reduce_max(product, ops.constant(np.array([1])), False)
    return openvino.Model([result], [values])

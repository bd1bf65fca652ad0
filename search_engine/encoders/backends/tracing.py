"""What a graph is traced with, and the proof that the trace computes the same on other inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.backends.selection import ExportError
from search_engine.encoders.batching import Batch

Inputs: TypeAlias = Mapping[str, NDArray[np.int64]]


def example_inputs(names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Two rows of eight tokens, int64 [2, 8] each, one of them padded.

    So that tracing meets every branch of the mask.
    """
    example = {name: np.ones((2, 8), np.int64) for name in names}
    example["input_ids"][:, 1::2] = 2
    for name in ("attention_mask", "pooling_mask"):
        if name in example:
            example[name][1, 5:] = 0
    if "token_type_ids" in example:
        example["token_type_ids"][:, 4:] = 1
    return example


def probe_batch(names: Sequence[str]) -> Batch:
    """One token, to see what shape comes out."""
    inputs = {name: np.full((1, 1), name != "input_ids", np.int64) for name in names}
    if "token_type_ids" in inputs:
        inputs["token_type_ids"][:] = 0
    return Batch(np.zeros(1, np.intp), inputs)


def _depends_on_length(config: Any) -> bool:
    """Whether positions are rotated otherwise in a longer text."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(each for each in rope.values() if isinstance(each, dict))]
    return any(each.get("rope_type") in ("dynamic", "longrope") for each in kinds)


def check_against_torch(
    run: Callable[[Inputs], NDArray[np.float32]], module: Any, example: Inputs
) -> None:
    """Compare an exported graph with torch on another shape than the one it was traced with.

    A trace keeps whatever depended on the example as a constant; that must not pass unseen.

    Raises:
        ExportError: the outputs differ.
    """
    import torch

    configs = [part.config for part in module.modules() if hasattr(part, "config")]
    if any(_depends_on_length(config) for config in configs):
        raise ExportError("its rotations depend on the length of the text, which a trace fixes")
    inputs = {
        name: np.ascontiguousarray(np.concatenate([array, array[:1]])[:, :7])
        for name, array in example.items()
    }
    with torch.no_grad():
        expected = module(*(torch.from_numpy(array) for array in inputs.values())).numpy()
    found = run(inputs)
    if found.shape != expected.shape:
        raise ExportError(f"its output has the shape {found.shape}, and torch's {expected.shape}")
    if not np.allclose(found, expected, rtol=1e-3, atol=1e-4):
        worst = np.abs(found - expected).max()
        raise ExportError(f"its output differs from torch's by {worst:.2g}")

"""The graphs that a checkpoint brings: its transformer alone, exported for a runtime.

Their names are those of Sentence Transformers and Optimum, in the folder `onnx` or `openvino` of
the transformer, or beside its config.
"""

from __future__ import annotations

from pathlib import Path

from search_engine.encoders.backends.onnx_variants import ARM, AVX2, AVX512, VNNI, own_variant
from search_engine.encoders.checkpoints.fingerprint import weight_files
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.checkpoints.module_specs import TRUNK

OPENVINO_FLOAT = "openvino_model.xml"
OPENVINO_INT8 = "openvino_model_qint8_quantized.xml"
ONNX_FLOAT = "model.onnx"
# O4 is missing, since it computes in float16, which is for GPUs.
_ONNX_OPTIMIZED = ("model_O3.onnx", "model_O2.onnx", "model_O1.onnx")
# As transformers.js names them.
_ONNX_OTHER_INT8 = ("model_quantized.onnx", "model_int8.onnx", "model_uint8.onnx")


def lacks_weights(layout: Layout) -> bool:
    """Whether the transformer has no weights that torch can read."""
    return layout.trunk.type == TRUNK and not any(
        path.suffix == ".safetensors" or path.name.startswith("pytorch_model")
        for path in weight_files(layout.trunk)
    )


def find_exported(layout: Layout, *, backend: str, quantized: bool) -> Path | None:
    """The exported transformer that suits a backend and this processor; None where there is none.

    Args:
        backend: openvino or onnx.
        quantized: whether its weights are 8-bit.
    """
    if layout.trunk.type != TRUNK or not _is_enough(layout):
        return None
    if backend == "openvino":
        names = [OPENVINO_INT8 if quantized else OPENVINO_FLOAT]
    elif quantized:
        variants = dict.fromkeys([own_variant(), AVX2, AVX512, VNNI, ARM])
        names = [*(onnx_int8_name(variant) for variant in variants), *_ONNX_OTHER_INT8]
    else:
        names = [ONNX_FLOAT, *_ONNX_OPTIMIZED]
    folder = layout.trunk.folder
    places = [place / name for place in (folder / backend, folder) for name in names]
    return next((path for path in places if path.is_file()), None)


def _is_enough(layout: Layout) -> bool:
    """Whether the modules need only the last vectors, or logits, of all layers."""
    return (
        layout.num_layers is None
        and layout.trunk_task != "text-generation"
        and not layout.trunk_config.get("output_hidden_states")
    )


def onnx_int8_name(variant: str) -> str:
    """The name of an 8-bit ONNX file."""
    return f"model_{variant}.onnx"

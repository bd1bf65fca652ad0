"""A transformer that a checkpoint brings as an exported graph, with torch's modules after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from search_engine.encoders.backends.selection import Backend
from search_engine.encoders.backends.torch_backend import GraphBackend
from search_engine.encoders.batching import Batch
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.modules.graph import load_graph
from search_engine.encoders.modules.module import Features
from search_engine.errors import CheckpointError, ConfigError


class ExportedTrunk(nn.Module):
    """A transformer run by another runtime than torch.

    Attributes:
        width: numbers of a token's vector, or terms of its logits.
        labels: of a classifier, how many scores it gives.
    """

    def __init__(self, backend: Backend, input_names: list[str], *, layout: Layout) -> None:
        super().__init__()
        self._backend = backend
        self._input_names = input_names
        classifies = layout.trunk_task == "sequence-classification"
        self._feature = "scores" if classifies else "token_embeddings"
        self.width = self.labels = backend.width

    def forward(self, features: Features) -> Features:
        inputs = {name: features[name].cpu().numpy() for name in self._input_names}
        output = self._backend.run_one(Batch(np.arange(len(features["input_ids"])), inputs))
        device = features["input_ids"].device
        features[self._feature] = torch.from_numpy(output).to(device)
        return features


def open_exported(
    layout: Layout, path: Path, *, name: str, dtype: str, precision: str, device: str
) -> Backend:
    """The modules of a layout, its transformer read from an exported file.

    Args:
        name: the backend that runs the file, openvino or onnx.
        dtype: what the file is said to compute in.
        precision: what OpenVINO computes in where nothing is quantized.

    Raises:
        CheckpointError: the file cannot be read, or is not that of such a transformer.
        ConfigError: the runtime has not the device.
    """
    trunk, inputs = _open_file(
        path, layout, name=name, dtype=dtype, precision=precision, device=device
    )
    graph = load_graph(layout, trunk=ExportedTrunk(trunk, inputs, layout=layout))
    return GraphBackend(graph, name=name, dtype=dtype, device="cpu")


def _open_file(
    path: Path, layout: Layout, *, name: str, dtype: str, precision: str, device: str
) -> tuple[Backend, list[str]]:
    model: Any
    try:
        if name == "openvino":
            from search_engine.encoders.backends.openvino_backend import (
                OpenVINOBackend,
                read_openvino,
            )

            model = read_openvino(path)
            inputs = [port.get_any_name() for port in model.inputs]
            outputs = [sorted(port.get_names()) for port in model.outputs]
        else:
            from search_engine.encoders.backends.onnx_backend import ONNXBackend, open_session

            model = open_session(path, device=device)
            inputs = [port.name for port in model.get_inputs()]
            outputs = [[port.name] for port in model.get_outputs()]
    except ConfigError:
        raise
    # The runtimes raise classes of their own, which have no common root.
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read: {str(error).strip().splitlines()[0]} Download or export it "
            "again, or remove it to use the checkpoint's other weights."
        ) from error
    _check_inputs(path, inputs, layout)
    output = _find_output(path, outputs, layout)
    if name == "openvino":
        backend: Backend = OpenVINOBackend(
            model, inputs, dtype=dtype, precision=precision, output=output
        )
    else:
        backend = ONNXBackend(model, inputs, dtype=dtype, output=outputs[output][0])
    return backend, inputs


def _check_inputs(path: Path, inputs: list[str], layout: Layout) -> None:
    known = ("input_ids", "attention_mask", "token_type_ids")
    unknown = [name for name in inputs if name not in known or name not in layout.input_names]
    if unknown:
        raise CheckpointError(
            f"{path} takes {', '.join(unknown)}, which this checkpoint does not give; it gives "
            f"{', '.join(name for name in layout.input_names if name in known)}."
        )


def _find_output(path: Path, outputs: list[list[str]], layout: Layout) -> int:
    vectors = layout.trunk_task == "feature-extraction"
    wanted = ("last_hidden_state", "token_embeddings") if vectors else ("logits",)
    for position, names in enumerate(outputs):
        if set(names) & set(wanted):
            return position
    found = ", ".join("/".join(names) or "one without a name" for names in outputs)
    raise CheckpointError(
        f"{path} has no output {' or '.join(wanted)}, which {layout.task} needs; it has {found}."
    )

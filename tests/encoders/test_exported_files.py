"""Exported transformers inside a checkpoint, under Sentence Transformers' names."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

from search_engine.encoders.backends import onnx_variants, selection
from search_engine.encoders.backends.exported_files import find_exported
from search_engine.encoders.backends.exporting import export_checkpoint
from search_engine.encoders.backends.onnx_variants import own_variant
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.errors import CheckpointError, ConfigError
from tests.encoders.checkpoints import TEXTS, write_sentence_transformer, write_trunk

BACKENDS = ("onnx", "openvino")
FILES = {"onnx": "model.onnx", "openvino": "openvino_model.xml"}
INPUTS = {
    "input_ids": np.array([[2, 7, 9, 3], [2, 8, 3, 0], [2, 6, 5, 3]]),
    "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]]),
    "token_type_ids": np.array([[0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 1]]),
}


def run_directly(path: Path) -> dict[str, np.ndarray]:
    """What a file gives for INPUTS by its runtime alone, by the outputs' names."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert {each.name for each in session.get_inputs()} == set(INPUTS)
        names = [each.name for each in session.get_outputs()]
        return dict(zip(names, session.run(names, INPUTS), strict=True))
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = compiled(INPUTS)
    return {port.get_any_name(): outputs[port] for port in compiled.outputs}


def without_weights(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    (target / "model.safetensors").unlink()
    return target


@pytest.fixture(scope="module", params=BACKENDS)
def exported(
    bert: Path,
    masked_lm: Path,
    classifier: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> tuple[str, dict[str, Path]]:
    """A backend, and for each task a checkpoint that its exported file was added to."""
    root = tmp_path_factory.mktemp("exported")
    folders = {}
    for task, source in (("embedding", bert), ("sparse", masked_lm), ("score", classifier)):
        folders[task] = shutil.copytree(source, root / task)
        path = export_checkpoint(folders[task], backend=request.param, task=task)
        assert path == folders[task] / request.param / FILES[request.param]
    return request.param, folders


def test_the_files_hold_the_transformer_alone(exported: tuple[str, dict[str, Path]]) -> None:
    backend, folders = exported
    for kind, task, output in (
        (AutoModel, "embedding", "last_hidden_state"),
        (AutoModelForMaskedLM, "sparse", "logits"),
        (AutoModelForSequenceClassification, "score", "logits"),
    ):
        found = run_directly(folders[task] / backend / FILES[backend])
        with torch.no_grad():
            model = kind.from_pretrained(folders[task])
            outputs = model(**{name: torch.from_numpy(each) for name, each in INPUTS.items()})
        assert list(found) == [output]
        np.testing.assert_allclose(found[output], outputs[output].numpy(), atol=1e-5)


def test_a_checkpoint_with_nothing_else(
    exported: tuple[str, dict[str, Path]], tmp_path: Path
) -> None:
    backend, folders = exported
    whole = write_sentence_transformer(
        tmp_path / "st",
        folders["embedding"],
        pooling=("cls", "mean"),
        include_prompt=False,
        dense=True,
        normalize=True,
        prompts={"query": "query of the "},
    )
    folder = without_weights(whole, tmp_path / "exported")
    shutil.copytree(folders["embedding"] / backend, folder / backend)
    expected = BiEncoder(str(whole), backend="torch", dtype="float32")
    for asked in ("auto", backend):
        found = BiEncoder(str(folder), backend=asked, dtype="float32")
        assert (found.backend, found.dtype, found.dimension) == (backend, "float32", 6)
        for method in ("encode", "encode_query"):
            np.testing.assert_allclose(
                getattr(found, method)(TEXTS), getattr(expected, method)(TEXTS), atol=1e-5
            )


def test_sparse_vectors_and_scores(exported: tuple[str, dict[str, Path]], tmp_path: Path) -> None:
    pairs = [("the cell", text) for text in TEXTS]
    _, folders = exported
    for kind, task in ((SparseEncoder, "sparse"), (CrossEncoder, "score")):
        folder = without_weights(folders[task], tmp_path / task)
        results = []
        for each, name in ((folder, "auto"), (folders[task], "torch")):
            encoder = kind(str(each), backend=name, dtype="float32")
            if task == "score":
                results.append(encoder.predict(pairs))
            else:
                rows = encoder.encode_document(TEXTS)
                dense = np.zeros((len(rows), rows.size), np.float32)
                for position in range(len(rows)):
                    indices, weights = rows.row(position)
                    dense[position, indices] = weights
                results.append(dense)
        np.testing.assert_allclose(results[0], results[1], atol=1e-5)


def test_which_file_is_read(bert: Path, tmp_path: Path) -> None:
    """The file of another model stands in, so that its vectors tell which one was read."""
    folder = shutil.copytree(bert, tmp_path / "trunk")
    other = write_trunk(tmp_path / "other", seed=11)
    export_checkpoint(other, backend="onnx")
    shutil.copytree(other / "onnx", folder / "onnx")
    own, others = (
        BiEncoder(str(each), backend="torch", dtype="float32").encode(TEXTS)
        for each in (folder, other)
    )

    def vectors(**settings: object) -> np.ndarray:
        return BiEncoder(str(folder), dtype="float32", **settings).encode(TEXTS)

    np.testing.assert_allclose(vectors(backend="onnx"), others, atol=1e-5)
    np.testing.assert_allclose(vectors(), own, atol=1e-5)
    np.testing.assert_allclose(vectors(backend="openvino"), own, atol=1e-5)
    # The file has all layers.
    cut = BiEncoder(str(folder), backend="torch", dtype="float32", num_layers=1).encode(TEXTS)
    np.testing.assert_allclose(vectors(backend="onnx", num_layers=1), cut, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_eight_bits(bert: Path, tmp_path: Path, backend: str) -> None:
    whole = shutil.copytree(bert, tmp_path / "trunk")
    if backend == "openvino":
        with pytest.raises(ConfigError, match="there are none"):
            export_checkpoint(whole, backend=backend, dtype="int8")
    path = export_checkpoint(whole, backend=backend, dtype="int8", texts=TEXTS)
    names = {
        "onnx": [f"model_{own_variant()}.onnx"],
        "openvino": [
            "openvino_model_qint8_quantized.bin",
            "openvino_model_qint8_quantized.xml",
        ],
    }
    assert sorted(each.name for each in path.parent.iterdir()) == names[backend]
    expected = BiEncoder(str(whole), backend="torch", dtype="float32").encode(TEXTS)
    folder = without_weights(whole, tmp_path / "exported")
    for asked, dtype in ((backend, "int8"), ("auto", "auto")):
        encoder = BiEncoder(str(folder), backend=asked, dtype=dtype)
        assert (encoder.backend, encoder.dtype) == (backend, "int8")
        found = encoder.encode(TEXTS)
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        assert ((found * expected).sum(axis=1) / lengths).min() > 0.98
        assert not np.allclose(found, expected, atol=1e-4)


def test_the_file_that_suits_the_processor(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(names: list[str], folder: Path, *, quantized: bool) -> str | None:
        shutil.copytree(bert, folder)
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
        layout = read_layout(folder, task="embedding")
        path = find_exported(layout, backend="onnx", quantized=quantized)
        return None if path is None else str(path.relative_to(folder))

    folders = iter(tmp_path / f"copy-{number}" for number in range(10))
    int8 = [f"onnx/model_{name}.onnx" for name in ("qint8_avx512_vnni", "quint8_avx2")]
    monkeypatch.setattr(onnx_variants.platform, "machine", lambda: "x86_64")
    for flags, wanted in ((frozenset({"avx512_vnni"}), 0), (frozenset({"avx2"}), 1)):
        monkeypatch.setattr(onnx_variants, "processor_flags", lambda flags=flags: flags)
        assert found(int8, next(folders), quantized=True) == int8[wanted]
        assert onnx_variants.has_signed_weights(own_variant()) == (wanted == 0)
    monkeypatch.setattr(onnx_variants.platform, "machine", lambda: "arm64")
    assert own_variant() == "qint8_arm64"
    assert found(["model_quantized.onnx"], next(folders), quantized=True) == "model_quantized.onnx"
    optimized = [f"onnx/model_O{level}.onnx" for level in (1, 2, 3, 4)]
    assert found(optimized, next(folders), quantized=False) == "onnx/model_O3.onnx"
    assert found(optimized[3:], next(folders), quantized=False) is None
    assert found(optimized, next(folders), quantized=True) is None


def test_a_file_that_cannot_be_used(
    exported: tuple[str, dict[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, folders = exported
    folder = shutil.copytree(folders["score"], tmp_path / "trunk")
    path = folder / backend / FILES[backend]
    with pytest.raises(CheckpointError, match=r"no output last_hidden_state.*it has logits"):
        BiEncoder(str(folder), backend=backend)
    without_weights(folder, tmp_path / "exported")
    monkeypatch.setattr(selection, "_is_installed", lambda name: False)
    with pytest.raises(ConfigError, match=rf"exported for {backend}.*search-engine\[{backend}\]"):
        CrossEncoder(str(tmp_path / "exported"))
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(CheckpointError, match=f"{path.name} cannot be read"):
        CrossEncoder(str(folder), backend=backend)


def test_a_file_with_inputs_that_we_do_not_give(bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bert, tmp_path / "trunk")
    path = export_checkpoint(folder, backend="onnx")
    graph = onnx.load(path)
    graph.graph.input.append(
        onnx.helper.make_tensor_value_info("position_ids", onnx.TensorProto.INT64, [1])
    )
    onnx.save(graph, path)
    with pytest.raises(CheckpointError, match="takes position_ids, which"):
        BiEncoder(str(folder), backend="onnx")

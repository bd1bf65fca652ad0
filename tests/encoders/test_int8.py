"""8-bit graphs: calibrated for OpenVINO, quantized as they are for ONNX Runtime."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest

from search_engine.encoders.backends import calibration
from search_engine.encoders.backends.calibration import calibrate_int8, calibration_inputs
from search_engine.encoders.backends.export_cache import GRAPH_VERSION, cache_folder, graph_folder
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.encoders.tokenizers.opening import open_tokenizer
from search_engine.errors import ConfigError
from tests.encoders.checkpoints import TEXTS, write_trunk


def cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return (found * expected).sum(axis=1) / lengths


def close_but_rounded(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(cosines(found, expected).min() > 0.98) and not np.allclose(
        found, expected, atol=1e-4
    )


@pytest.fixture(scope="module")
def calibrated(bert: Path) -> Path:
    return calibrate_int8(str(bert), TEXTS, offline=True)


def test_a_calibrated_graph_is_kept_and_used(
    bert: Path, calibrated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = BiEncoder(str(bert), backend="openvino", dtype="int8")
    assert (encoder.backend, encoder.dtype) == ("openvino", "int8")
    assert calibrated == graph_folder(encoder.fingerprint, backend="openvino", variant="int8")
    expected = BiEncoder(str(bert), backend="torch", dtype="float32").encode(TEXTS)
    assert close_but_rounded(encoder.encode(TEXTS), expected)
    graph = openvino.Core().read_model(calibrated / "graph.xml")
    assert any(node.get_type_name() == "FakeQuantize" for node in graph.get_ops())
    stored = [node for node in graph.get_ops() if node.get_type_name() == "Constant"]
    assert any(node.get_element_type() == openvino.Type.i8 for node in stored)
    # The graph in float32 is as it was.
    float32 = BiEncoder(str(bert), backend="openvino", dtype="float32")
    np.testing.assert_allclose(float32.encode(TEXTS), expected, atol=1e-5)


def test_a_warm_start_imports_none_of_the_tools(bert: Path, calibrated: Path) -> None:
    script = (
        "import sys; from search_engine.encoders.bi_encoder import BiEncoder\n"
        f"e = BiEncoder({str(bert)!r}, offline=True, dtype='int8')\n"
        "e.encode(['a cell'])\n"
        "heavy = {'torch', 'transformers', 'nncf', 'onnx', 'onnxruntime'}\n"
        "print(e.backend, e.dtype, sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.split(maxsplit=2) == ["openvino", "int8", "[]\n"]


def test_calibrating_again_replaces_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_trunk(tmp_path / "trunk", head="SequenceClassification", seed=3)
    pairs = [("the cell", text) for text in TEXTS]
    with pytest.raises(ConfigError, match=r"search-cli calibrate.*calibrate_int8"):
        CrossEncoder(str(folder), backend="openvino", dtype="int8")
    graphs = []
    for count in (1, len(pairs)):
        kept = calibrate_int8(str(folder), pairs[:count], task="score", offline=True)
        graphs.append((kept / "graph.bin").read_bytes() + (kept / "graph.xml").read_bytes())
    assert graphs[0] != graphs[1]
    assert capsys.readouterr().out == ""
    assert not [path for path in cache_folder("openvino").iterdir() if path.name[0] == "."]
    expected = CrossEncoder(str(folder), backend="torch", dtype="float32").predict(pairs)
    found = CrossEncoder(str(folder), backend="openvino", dtype="int8").predict(pairs)
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert not np.array_equal(found, expected)


def test_what_a_graph_is_calibrated_on(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = read_layout(bert, task="embedding")
    tokenizer = open_tokenizer(layout)
    monkeypatch.setattr(calibration, "MOST_EXAMPLES", 3)
    texts = ["the", "a", "of", "cell", "membrane", "lipids"]
    inputs = calibration_inputs(layout, tokenizer, texts, prompt="and ")
    wanted = [tokenizer.whole.encode(text).ids for text in ("and the", "and of", "and membrane")]
    assert [each["input_ids"].tolist() for each in inputs] == [[ids] for ids in wanted]
    assert all((each["attention_mask"] == 1).all() for each in inputs)
    with pytest.raises(ConfigError, match="there are none"):
        calibrate_int8(str(bert), [], offline=True)
    monkeypatch.setattr(calibration, "find_spec", lambda name: None if name == "nncf" else object())
    with pytest.raises(ConfigError, match=r"nncf not installed.*\[int8\]"):
        calibrate_int8(str(bert), TEXTS, offline=True)


def test_onnx_needs_no_calibration(bert: Path, masked_lm: Path, classifier: Path) -> None:
    int8, whole = (
        BiEncoder(str(bert), backend=backend, dtype=dtype)
        for backend, dtype in (("onnx", "int8"), ("torch", "float32"))
    )
    assert (int8.backend, int8.dtype) == ("onnx", "int8")
    assert close_but_rounded(int8.encode(TEXTS), whole.encode(TEXTS))
    float32 = BiEncoder(str(bert), backend="onnx", dtype="float32")
    np.testing.assert_allclose(float32.encode(TEXTS), whole.encode(TEXTS), atol=1e-5)
    (folder,) = cache_folder("onnx").glob(f"{int8.fingerprint}-{GRAPH_VERSION}-*int8*")
    assert [path.name for path in folder.iterdir()] == ["graph.onnx"]
    operations = {node.op_type for node in onnx.load(folder / "graph.onnx").graph.node}
    assert {"DynamicQuantizeLinear", "MatMulInteger"} <= operations
    terms = [
        SparseEncoder(str(masked_lm), backend=backend, dtype=dtype).encode_document(TEXTS[:1])
        for backend, dtype in (("onnx", "int8"), ("torch", "float32"))
    ]
    dense = [np.bincount(each.indices, each.weights, each.size)[None] for each in terms]
    assert close_but_rounded(*dense)
    scores = [
        CrossEncoder(str(classifier), backend=backend, dtype=dtype).predict([("a", "cell")])
        for backend, dtype in (("onnx", "int8"), ("torch", "float32"))
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=0.1)
